//! The few calls that make bytes durable, and the one that starts them on their way early.

use std::{fs::File, io, path::Path};

/// Makes the entries of a folder durable.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Asks the kernel to begin writing a file, so that syncing many costs one wait and not one each.
#[cfg(target_os = "linux")]
pub fn begin_writing(file: &File) {
    use std::os::fd::AsRawFd;
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and the call takes no
    // pointer. Its result is no matter: the fdatasync that follows tells the truth.
    unsafe {
        libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE);
    }
}

#[cfg(not(target_os = "linux"))]
pub fn begin_writing(_: &File) {}
