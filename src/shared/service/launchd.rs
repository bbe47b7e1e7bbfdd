//! Takes the sockets that launchd holds for this job. The one place that calls launchd's library.

use std::{
    ffi::{CString, c_char, c_int},
    os::{
        fd::{FromRawFd, OwnedFd},
        unix::net::UnixListener,
    },
    ptr,
};

use rustix::io::{FdFlags, fcntl_setfd};

use crate::paths::SOCKET_NAMES;

unsafe extern "C" {
    /// launch.h: the descriptors of a named entry of the job's `Sockets`, in memory that the caller frees.
    fn launch_activate_socket(name: *const c_char, fds: *mut *mut c_int, count: *mut usize) -> c_int;
}

/// The service's sockets, where it is a job of launchd's: main and control.
pub(super) fn sockets() -> Option<(UnixListener, Option<UnixListener>)> {
    let [main, control] = SOCKET_NAMES.map(socket);
    Some((main?, control))
}

fn socket(name: &str) -> Option<UnixListener> {
    let name = CString::new(name).ok()?;
    let (mut fds, mut count) = (ptr::null_mut::<c_int>(), 0_usize);
    // SAFETY: the name ends with a zero and both pointers are to values of ours.
    let failed = unsafe { launch_activate_socket(name.as_ptr(), &raw mut fds, &raw mut count) };
    if failed != 0 || fds.is_null() {
        return None;
    }
    // SAFETY: launchd wrote `count` descriptors there, which are this process's alone to own, each once; the memory
    // is malloc's and not used afterwards.
    let descriptors: Vec<OwnedFd> = unsafe {
        let descriptors = std::slice::from_raw_parts(fds, count).iter().map(|fd| OwnedFd::from_raw_fd(*fd)).collect();
        libc::free(fds.cast());
        descriptors
    };
    let first = descriptors.into_iter().next()?;
    // launchd leaves them open for children.
    fcntl_setfd(&first, FdFlags::CLOEXEC).ok()?;
    Some(UnixListener::from(first))
}
