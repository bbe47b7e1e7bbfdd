//! The processes of the machine and what they hold, as libproc tells. The one file of execd that asks
//! it; who belongs to whom is `family`'s.

use std::{ffi::CStr, mem::MaybeUninit};

use super::family::{self, Process};

/// More than any Mac runs; the list is asked for in one go.
const PROCESSES: usize = 1 << 16;

/// All processes below `roots` but those that left every session and parent of theirs.
pub fn below(roots: &[i32]) -> Vec<i32> {
    let all: Vec<_> = numbers().into_iter().filter_map(process).collect();
    family::below(&all, roots)
}

fn numbers() -> Vec<i32> {
    let mut pids = vec![0_i32; PROCESSES];
    let bytes = i32::try_from(size_of_val(pids.as_slice())).unwrap_or(i32::MAX);
    // SAFETY: the buffer is as long as is said, and lives through the call.
    let count = unsafe { libc::proc_listallpids(pids.as_mut_ptr().cast(), bytes) };
    pids.truncate(usize::try_from(count).unwrap_or(0));
    pids
}

fn process(pid: i32) -> Option<Process> {
    let mut info = MaybeUninit::<libc::proc_bsdinfo>::zeroed();
    let size = size_of::<libc::proc_bsdinfo>() as i32;
    // SAFETY: the structure is as long as is said, and lives through the call.
    let written = unsafe { libc::proc_pidinfo(pid, libc::PROC_PIDTBSDINFO, 0, info.as_mut_ptr().cast(), size) };
    if written != size {
        return None;
    }
    // SAFETY: it was zeroed, which is a value of it, and the call wrote all of it.
    let parent = unsafe { info.assume_init() }.pbi_ppid;
    let session = rustix::process::getsid(rustix::process::Pid::from_raw(pid)).ok()?;
    Some(Process { pid, parent: i32::try_from(parent).ok()?, session: session.as_raw_nonzero().get() })
}

/// Memory that one process holds, as Activity Monitor counts it, bytes.
pub fn held(pid: i32) -> u64 {
    let mut info = MaybeUninit::<libc::rusage_info_v2>::zeroed();
    // SAFETY: the structure is that of the flavour, and lives through the call.
    let failed = unsafe { libc::proc_pid_rusage(pid, libc::RUSAGE_INFO_V2, info.as_mut_ptr().cast()) };
    // SAFETY: it was zeroed, which is a value of it.
    if failed == 0 { unsafe { info.assume_init() }.ri_phys_footprint } else { 0 }
}

/// A value of the kernel's; `None` when there is none of that length at most.
pub fn told<const LENGTH: usize>(name: &CStr) -> Option<Vec<u8>> {
    let mut value = [0_u8; LENGTH];
    let mut length = LENGTH;
    // SAFETY: name and buffer live through the call, and `length` says how long the buffer is.
    let failed = unsafe {
        libc::sysctlbyname(name.as_ptr(), value.as_mut_ptr().cast(), &raw mut length, std::ptr::null_mut(), 0)
    };
    (failed == 0).then(|| value[..length.min(LENGTH)].to_vec())
}
