//! Whose process is at the other end of a socket. rustix takes a peer without a process id for an
//! impossible one, but that is what a daemon outside a container's process namespace has.

use std::{io, mem, os::fd::AsRawFd, os::unix::net::UnixStream};

/// The user id of whoever listens there, by SO_PEERCRED (unix(7)).
pub fn user(stream: &UnixStream) -> io::Result<u32> {
    let mut peer = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut length = mem::size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: `peer` and `length` are alive, and `length` is the size of `peer`.
    let outcome = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    };
    if outcome == 0 { Ok(peer.uid) } else { Err(io::Error::last_os_error()) }
}
