//! Memory for a program that lives for a moment: handed out from one static block, page by page as
//! it is touched, and given back by the exit. musl's allocator maps and unmaps a page for nearly
//! each size it meets, which cost a ping more than its question. Beyond the block the system's
//! allocator serves.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::UnsafeCell,
    ptr,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Untouched pages cost nothing; an environment of ordinary size needs a tenth of it.
const BYTES: usize = 256 << 10;

#[repr(align(16))]
struct Block(UnsafeCell<[u8; BYTES]>);

/// The allocator.
pub struct Arena {
    block: Block,
    used: AtomicUsize,
}

// SAFETY: each byte of the block is handed out at most once at a time, by an atomic update of
// `used`; nobody else touches the block.
unsafe impl Sync for Arena {}

impl Arena {
    /// Nothing handed out yet.
    pub const fn new() -> Self {
        Arena { block: Block(UnsafeCell::new([0; BYTES])), used: AtomicUsize::new(0) }
    }

    fn base(&self) -> *mut u8 {
        self.block.0.get().cast()
    }

    /// Where in the block a pointer lies, if it does.
    fn offset(&self, pointer: *mut u8) -> Option<usize> {
        (pointer as usize).checked_sub(self.base() as usize).filter(|offset| *offset < BYTES)
    }

    fn take(&self, layout: Layout) -> Option<*mut u8> {
        // The block is aligned to 16; larger wishes go to the system.
        let used = self.used.load(Ordering::Relaxed);
        let start = used.next_multiple_of(layout.align());
        let end = start.checked_add(layout.size())?;
        if end > BYTES || layout.align() > 16 {
            return None;
        }
        // Another thread may have been quicker; this program has none, so the system serves then.
        self.used.compare_exchange(used, end, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        // SAFETY: `start` and the bytes behind it lie in the block, as just checked.
        Some(unsafe { self.base().add(start) })
    }
}

// SAFETY: a block is aligned as asked, does not overlap another that is alive, and what does not
// come from the arena is the system allocator's, told apart by address.
unsafe impl GlobalAlloc for Arena {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about `layout` is handed on.
        self.take(layout).unwrap_or_else(|| unsafe { System.alloc(layout) })
    }

    #[inline(never)]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if self.offset(pointer).is_none() {
            // SAFETY: it does not lie in the block, so the system allocator gave it. What does lie
            // there waits for the exit.
            unsafe { System.dealloc(pointer, layout) }
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(offset) = self.offset(pointer) else {
            // SAFETY: as above.
            return unsafe { System.realloc(pointer, layout, size) };
        };
        let (end, wanted) = (offset + layout.size(), offset.saturating_add(size));
        let grown =
            wanted <= BYTES && self.used.compare_exchange(end, wanted, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if grown || size <= layout.size() {
            return pointer;
        }
        // SAFETY: the caller promises that `size` fits the alignment.
        let moved = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !moved.is_null() {
            // SAFETY: both are alive, as long as the shorter, and apart.
            unsafe { ptr::copy_nonoverlapping(pointer, moved, layout.size()) };
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_apart_aligned_and_grow() {
        static ARENA: Arena = Arena::new();
        let layout = |size, align| Layout::from_size_align(size, align).expect("a layout");
        // SAFETY: sizes are not 0, blocks are written within their size and given back as taken.
        unsafe {
            let one = ARENA.alloc(layout(3, 1));
            let two = ARENA.alloc(layout(8, 8));
            assert_eq!(two as usize % 8, 0);
            assert!(two as usize >= one as usize + 3);
            ptr::write_bytes(two, 7, 8);
            assert_eq!(ARENA.realloc(two, layout(8, 8), 64), two, "the last grows where it is");
            ptr::write_bytes(one, 5, 3);
            let moved = ARENA.realloc(one, layout(3, 1), 16);
            assert!(moved != one && *moved == 5 && *two == 7);
            let large = ARENA.alloc(layout(BYTES, 1));
            assert!(ARENA.offset(large).is_none() && !large.is_null());
            ARENA.dealloc(large, layout(BYTES, 1));
        }
    }
}
