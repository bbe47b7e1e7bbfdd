//! Copies a blob out of an opened file of the store: inside the kernel where it can, shared extents
//! included.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::BorrowedFd,
};

use rustix::io::Errno;

/// Appends `size` bytes of `from`, beginning at `offset`, to `to`.
pub fn copy_range(from: BorrowedFd<'_>, mut offset: u64, mut size: u64, to: &File) -> io::Result<()> {
    while size > 0 {
        let count = usize::try_from(size).unwrap_or(usize::MAX);
        match in_kernel(from, &mut offset, to, count) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(copied) => size -= copied as u64,
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
                return through(from, offset, size, to);
            }
            Err(err) => return Err(err.into()),
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn in_kernel(from: BorrowedFd<'_>, offset: &mut u64, to: &File, count: usize) -> rustix::io::Result<usize> {
    rustix::fs::copy_file_range(from, Some(offset), to, None, count)
}

#[cfg(not(target_os = "linux"))]
fn in_kernel(_: BorrowedFd<'_>, _: &mut u64, _: &File, _: usize) -> rustix::io::Result<usize> {
    Err(Errno::NOSYS)
}

fn through(from: BorrowedFd<'_>, mut offset: u64, mut size: u64, mut to: &File) -> io::Result<()> {
    let mut buffer = vec![0_u8; 256 << 10];
    while size > 0 {
        let room = buffer.len().min(usize::try_from(size).unwrap_or(usize::MAX));
        let count = rustix::io::pread(from, &mut buffer[..room], offset)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.write_all(&buffer[..count])?;
        (offset, size) = (offset + count as u64, size - count as u64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Seek},
        os::fd::AsFd,
    };

    use super::*;

    #[test]
    fn a_range_is_copied_both_ways() {
        let mut from = tempfile::tempfile().expect("a file");
        from.write_all(b"..blob..").expect("room");
        for way in [copy_range, through] {
            let mut to = tempfile::tempfile().expect("a file");
            way(from.as_fd(), 2, 4, &to).expect("it is there");
            let mut text = String::new();
            to.rewind().and_then(|()| to.read_to_string(&mut text)).expect("it was written");
            assert_eq!(text, "blob");
            assert!(way(from.as_fd(), 6, 4, &to).is_err());
        }
    }
}
