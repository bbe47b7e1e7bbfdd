//! The mount and filter calls that neither nix nor rustix offers, one small function each, and
//! nothing else that is unsafe in the sandbox. Starting processes is `child`'s.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
    path::Path,
};

use nix::NixPath;

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// Mount attributes (linux/mount.h).
pub mod attr {
    pub const READ_ONLY: u64 = 0x1;
    pub const NO_SUID: u64 = 0x2;
    pub const NO_DEV: u64 = 0x4;
    pub const NO_EXEC: u64 = 0x8;
}

const OPEN_TREE_CLONE: libc::c_uint = 1;
const AT_RECURSIVE: libc::c_uint = 0x8000;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 0x4;
const MOVE_MOUNT_T_EMPTY_PATH: libc::c_uint = 0x40;
const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
const LANDLOCK_CREATE_RULESET_VERSION: libc::c_uint = 1;
const EMPTY: &CStr = c"";

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A detached copy of the mounts at `path`, with everything mounted below.
pub fn open_tree(path: &Path) -> io::Result<OwnedFd> {
    let flags = OPEN_TREE_CLONE | AT_RECURSIVE | libc::O_CLOEXEC as libc::c_uint;
    // SAFETY: `path` is a NUL-terminated string for the length of the call.
    let fd = path.with_nix_path(|path| {
        check(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })
    })??;
    // SAFETY: the call returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Sets attributes on a detached mount and all below it.
pub fn restrict_tree(tree: impl AsFd, set: u64) -> io::Result<()> {
    set_attributes(tree.as_fd().as_raw_fd(), AT_RECURSIVE, set)
}

/// Sets attributes on the one mount that `fd` is on.
pub fn restrict_mount(fd: impl AsFd, set: u64) -> io::Result<()> {
    set_attributes(fd.as_fd().as_raw_fd(), 0, set)
}

fn set_attributes(fd: i32, flags: libc::c_uint, set: u64) -> io::Result<()> {
    let attributes = MountAttr { set, clear: 0, propagation: 0, userns: 0 };
    let flags = flags | libc::AT_EMPTY_PATH as libc::c_uint;
    // SAFETY: the structure lives through the call and its size is passed with it.
    let done = unsafe {
        libc::syscall(libc::SYS_mount_setattr, fd, EMPTY.as_ptr(), flags, &raw const attributes, size_of::<MountAttr>())
    };
    check(done).map(drop)
}

/// Attaches a detached mount at the open directory or file `at`.
pub fn attach_tree(tree: impl AsFd, at: impl AsFd) -> io::Result<()> {
    let (tree, at) = (tree.as_fd().as_raw_fd(), at.as_fd().as_raw_fd());
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: both paths are the empty string; the descriptors are borrowed for the call.
    check(unsafe { libc::syscall(libc::SYS_move_mount, tree, EMPTY.as_ptr(), at, EMPTY.as_ptr(), flags) }).map(drop)
}

/// Closes every descriptor but `keep` and the standard streams: what a spawner does first, above all
/// with the listening sockets that execd was given.
pub fn close_all_but(keep: &OwnedFd) -> io::Result<()> {
    let keep = keep.as_raw_fd() as libc::c_uint;
    for (first, last) in [(3, keep.saturating_sub(1)), (keep + 1, libc::c_uint::MAX)] {
        // SAFETY: only a process that has just begun calls it, and uses none of these descriptors.
        if first <= last && unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Marks every descriptor from `first` on as close-on-exec.
pub fn close_on_exec_from(first: libc::c_uint) -> io::Result<()> {
    // SAFETY: marks descriptors only; nothing is closed while its owner still runs.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) }).map(drop)
}

/// Makes `fd` the descriptor `number` of the program that is loaded next.
pub fn hand_over(fd: impl AsFd, number: i32) -> io::Result<()> {
    // SAFETY: only a payload calls it, just before it is replaced by its program: nothing of this
    // process uses `number` any more.
    check(unsafe { libc::dup2(fd.as_fd().as_raw_fd(), number) }.into()).map(drop)
}

/// The kernel's Landlock version; 0 where there is none.
pub fn landlock_abi() -> i32 {
    let none = std::ptr::null::<libc::c_void>();
    // SAFETY: asks for a number only; the kernel reads no memory when the flag is set.
    let abi =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, LANDLOCK_CREATE_RULESET_VERSION) };
    i32::try_from(abi).unwrap_or(0).max(0)
}

/// Sets every signal's disposition back to what a new process expects: Rust ignores SIGPIPE, and
/// whoever started execd may have ignored more.
pub fn default_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL runs no code of ours; the refusals (SIGKILL, SIGSTOP) do nothing.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}
