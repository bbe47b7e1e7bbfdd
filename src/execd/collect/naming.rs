//! Whether an output names one of a few places in its bytes. What that means for its key is the client's
//! business.

use std::{fs::File, os::unix::fs::FileExt};

use memchr::memmem::Finder;

/// Searched at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Whether the bytes of a file hold one of the texts. One that cannot be read counts as if they did.
pub fn names(file: &File, texts: &[&str]) -> bool {
    let finders: Vec<Finder<'_>> = texts.iter().map(Finder::new).collect();
    let keep = texts.iter().map(|text| text.len()).max().unwrap_or(0).saturating_sub(1);
    let mut buffer = vec![0; CHUNK_BYTES + keep];
    let (mut offset, mut kept) = (0, 0);
    loop {
        let Ok(got) = file.read_at(&mut buffer[kept..], offset) else { return true };
        if got == 0 {
            return false;
        }
        let whole = kept + got;
        if finders.iter().any(|finder| finder.find(&buffer[..whole]).is_some()) {
            return true;
        }
        offset += got as u64;
        // What may be its beginning.
        kept = whole.min(keep);
        buffer.copy_within(whole - kept..whole, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_name_across_two_chunks_is_found() {
        let found = |before: usize, text: &str| {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(&vec![b'/'; before]).expect("written");
            file.write_all(text.as_bytes()).expect("written");
            names(&file, &["/vx/ws", "/vx/build/"])
        };
        for before in [0, 1, CHUNK_BYTES - 3, CHUNK_BYTES, CHUNK_BYTES + 4, 2 * CHUNK_BYTES + 2] {
            assert!(found(before, "/vx/ws/a"), "{before}");
            assert!(found(before, "/vx/build/a"), "{before}");
            assert!(!found(before, "/vx/w /vx/build"), "{before}");
        }
    }
}
