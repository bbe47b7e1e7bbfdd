//! The kernel's notifications of system calls: a filter in the payload that tells whoever holds its
//! other end of every open, connect and program before it is made, and the calls by which that end answers
//! "go on". It observes only: what an action may do is decided elsewhere, since what is read here
//! may have changed when the call is made.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use super::bpf::{EQUAL, LOAD, NUMBER, RETURN};

/// One call that an action is about to make.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    id: u64,
    /// Who makes it, as seen from here.
    pub pid: u32,
    /// Its number.
    pub number: libc::c_long,
    /// Its arguments.
    pub arguments: [u64; 6],
}

/// `struct seccomp_data`: the lower and upper half of the fifth argument.
const FIFTH: [u32; 2] = [16 + 4 * 8, 16 + 4 * 8 + 4];

const fn request(direction: libc::c_ulong, number: libc::c_ulong, size: usize) -> libc::c_ulong {
    direction << 30 | (size as libc::c_ulong) << 16 | (b'!' as libc::c_ulong) << 8 | number
}
const RECEIVE: libc::c_ulong = request(3, 0, size_of::<libc::seccomp_notif>());
const SEND: libc::c_ulong = request(3, 1, size_of::<libc::seccomp_notif_resp>());
const IS_VALID: libc::c_ulong = request(1, 2, size_of::<u64>());
const SET_FLAGS: libc::c_ulong = request(1, 4, size_of::<u64>());
const WAKE_UP_HERE: u64 = 1;

/// What is notified of: opens, connects, programs, and datagrams with an address.
fn program() -> Vec<libc::sock_filter> {
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let always = [
        libc::SYS_openat,
        libc::SYS_openat2,
        libc::SYS_connect,
        libc::SYS_execve,
        libc::SYS_execveat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open,
    ];
    let count = always.len() as u8;
    let mut steps = vec![step(LOAD, 0, 0, NUMBER)];
    // Behind these: sendto's five steps, then "go on", then "notify".
    steps.extend(always.iter().zip(0..).map(|(call, at)| step(EQUAL, count - at + 5, 0, *call as u32)));
    steps.extend([
        step(EQUAL, 0, 4, libc::SYS_sendto as u32),
        step(LOAD, 0, 0, FIFTH[0]),
        step(EQUAL, 0, 3, 0),
        step(LOAD, 0, 0, FIFTH[1]),
        step(EQUAL, 0, 1, 0),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        step(RETURN, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
    ]);
    steps
}

/// Sets the filter on this process and all that it starts; the other end. Nothing that is notified
/// of may be called here before somebody holds that.
pub fn install() -> io::Result<OwnedFd> {
    let steps = program();
    let program = libc::sock_fprog { len: steps.len() as libc::c_ushort, filter: steps.as_ptr().cast_mut() };
    let wait_killable = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    for flags in [wait_killable, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER] {
        // SAFETY: the program lives through the call, and the kernel copies it.
        let fd = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
        if fd >= 0 {
            // SAFETY: the kernel just made this descriptor for us.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) });
        }
    }
    Err(io::Error::last_os_error())
}

/// Asks that the caller runs on where it is answered, which costs less; an older kernel does without.
pub fn answer_nearby(listener: BorrowedFd<'_>) {
    // SAFETY: the kernel takes a number only.
    let _not_there = unsafe { libc::ioctl(listener.as_raw_fd(), SET_FLAGS as _, WAKE_UP_HERE) };
}

/// The next call. `NotFound` where its caller was killed meanwhile.
pub fn receive(listener: BorrowedFd<'_>) -> io::Result<Call> {
    // SAFETY: all zeroes is a valid value, and what the kernel asks for.
    let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is of the size that the request names.
    if unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE as _, &raw mut call) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Call { id: call.id, pid: call.pid, number: call.data.nr.into(), arguments: call.data.args })
}

/// Lets the call be made.
pub fn go_on(listener: BorrowedFd<'_>, call: &Call) {
    let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
    let mut answer = libc::seccomp_notif_resp { id: call.id, val: 0, error: 0, flags };
    // SAFETY: the structure is of the size that the request names.
    let _its_caller_is_gone = unsafe { libc::ioctl(listener.as_raw_fd(), SEND as _, &raw mut answer) };
}

/// Whether the caller still waits: what was read of its process was its own then.
pub fn is_valid(listener: BorrowedFd<'_>, call: &Call) -> bool {
    // SAFETY: the kernel reads one number.
    unsafe { libc::ioctl(listener.as_raw_fd(), IS_VALID as _, &raw const call.id) == 0 }
}

/// Reads of another process's memory into `into`; how many bytes.
pub fn memory(pid: u32, address: u64, into: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: into.len() };
    // SAFETY: `local` is ours and as long as it says; the kernel checks the other one.
    let read = unsafe { libc::process_vm_readv(pid as i32, &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}
