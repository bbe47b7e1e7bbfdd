//! `sandbox/sys` for macOS.

use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
};

/// The highest signal.
const SIGNALS: i32 = 31;

/// Closes every descriptor but `keep` and the standard streams: what a spawner does first, above all
/// with the listening sockets that execd was given.
pub fn close_all_but(keep: &OwnedFd) -> io::Result<()> {
    for fd in descriptors()?.into_iter().filter(|fd| *fd > 2 && *fd != keep.as_raw_fd()) {
        // SAFETY: only a process that has just begun calls it, and uses none of these descriptors; the
        // one that listed them is closed by now, and closing it again does nothing.
        unsafe { libc::close(fd) };
    }
    Ok(())
}

/// Marks every descriptor from `first` on as close-on-exec.
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    let first = RawFd::try_from(first).map_err(io::Error::other)?;
    for fd in descriptors()?.into_iter().filter(|fd| *fd >= first) {
        // SAFETY: marks a descriptor only; one that is closed by now is refused.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

fn descriptors() -> io::Result<Vec<RawFd>> {
    let mut fds = Vec::new();
    for entry in fs::read_dir("/dev/fd")? {
        fds.extend(entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()));
    }
    Ok(fds)
}

/// Makes `fd` the descriptor `number` of the program that is loaded next.
pub fn hand_over(fd: impl AsFd, number: i32) -> io::Result<()> {
    // SAFETY: only a payload calls it, just before it is replaced by its program: nothing of this
    // process uses `number` any more.
    if unsafe { libc::dup2(fd.as_fd().as_raw_fd(), number) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sets every signal's disposition back to what a new process expects: Rust ignores SIGPIPE, and
/// whoever started execd may have ignored more.
pub fn default_signals() {
    for signal in 1..=SIGNALS {
        // SAFETY: SIG_DFL runs no code of ours; the refusals (SIGKILL, SIGSTOP) do nothing.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}
