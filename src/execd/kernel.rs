//! What each kernel does in its own way, one small function each, for everything of execd but the
//! walls of the sandbox. This is Linux's; `macos/kernel.rs` has the same names.

use std::{
    ffi::CStr,
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
};

use nix::{
    sched::{CloneFlags, unshare},
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
    unistd::Pid,
};
use rustix::{
    fs::{MemfdFlags, memfd_create},
    process::{DumpableBehavior, pidfd_send_signal, set_child_subreaper, set_dumpable_behavior},
};

/// What `ru_maxrss` counts in.
pub const RSS_BYTES: u64 = 1024;

/// Signals that are read instead of being delivered.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// From now on these.
    pub fn of(signals: &[Signal]) -> io::Result<Signals> {
        let mut mask = SigSet::empty();
        signals.iter().for_each(|signal| mask.add(*signal));
        mask.thread_block()?;
        Ok(Signals(SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    /// Forgets those that came.
    pub fn clear(&self) {
        while let Ok(Some(_)) = self.0.read_signal() {}
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// From now on this process ends with its parent.
pub fn end_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?)
}

/// From now on this process is the parent of whatever below it loses its own.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// What this process, which adopts orphans, has below it: its children, others become those.
pub fn left_of(_payload: Pid) -> Vec<Pid> {
    let text = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect()
}

/// What this thread is called.
pub fn set_name(name: &CStr) {
    let _best_effort = rustix::thread::set_name(name);
}

/// Control groups are seen from the own one on.
pub fn hide_control_groups() -> io::Result<()> {
    Ok(unshare(CloneFlags::CLONE_NEWCGROUP)?)
}

/// Nobody of the same user looks into this process.
pub fn hide() {
    let _best_effort = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Ends a first process.
pub fn kill(_pid: u32, handle: Option<&OwnedFd>) {
    if let Some(handle) = handle {
        let _gone_already = pidfd_send_signal(handle, rustix::process::Signal::KILL);
    }
}

/// A file without a name.
pub fn nameless_file() -> io::Result<File> {
    Ok(File::from(memfd_create("vx-job", MemfdFlags::CLOEXEC)?))
}

/// A pipe whose reading end is there twice: one whose reads block, and one whose reads do not. Not
/// to block is a property of what all copies of a descriptor share.
#[derive(Debug)]
pub struct Pipe {
    /// Its reads block.
    pub reader: OwnedFd,
    /// Its reads do not.
    pub peeker: OwnedFd,
    /// Its writes do not.
    pub writer: OwnedFd,
}

impl Pipe {
    /// A new one.
    pub fn open() -> io::Result<Pipe> {
        let (reader, writer) = io::pipe()?;
        let (reader, writer) = (OwnedFd::from(reader), OwnedFd::from(writer));
        rustix::io::ioctl_fionbio(&writer, true)?;
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        let peeker = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path)?;
        Ok(Pipe { reader, peeker: peeker.into(), writer })
    }
}

/// Brings all of the file system that `dir` is on to disk.
pub fn sync_all(dir: &File) -> io::Result<()> {
    Ok(rustix::fs::syncfs(dir)?)
}

/// A file's type and permissions.
pub fn mode(stat: &rustix::fs::Stat) -> u32 {
    stat.st_mode
}

/// Which boot this is. Empty where nobody knows (no /proc).
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
