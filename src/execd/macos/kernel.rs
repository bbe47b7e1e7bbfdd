//! `kernel` for macOS. No handle of a process, no subreaper, no end with the parent: the spawner and
//! first processes watch the sockets that close when execd goes, and whoever of an action is left is
//! found by parent and session.

use std::{
    ffi::CStr,
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use nix::{
    sys::{
        signal::{self, SigSet, Signal},
        stat::Mode,
    },
    unistd::{Pid, mkfifo},
};
use rustix::event::kqueue::{Event, EventFilter, EventFlags, kevent, kqueue};
use shared::paths;

use crate::macos::processes;

/// What `ru_maxrss` counts in.
pub const RSS_BYTES: u64 = 1;
/// Signals that are read at once.
const SIGNALS: usize = 8;

/// Signals that are read instead of being delivered.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// From now on these.
    pub fn of(signals: &[Signal]) -> io::Result<Signals> {
        let mut mask = SigSet::empty();
        signals.iter().for_each(|signal| mask.add(*signal));
        mask.thread_block()?;
        let queue = kqueue()?;
        rustix::io::fcntl_setfd(&queue, rustix::io::FdFlags::CLOEXEC)?;
        let event = |signal: &Signal| {
            let signal = rustix::process::Signal::from_named_raw(*signal as i32)?;
            Some(Event::new(EventFilter::Signal { signal, times: 0 }, EventFlags::ADD, std::ptr::null_mut()))
        };
        let changes: Vec<_> = signals.iter().filter_map(event).collect();
        let signals = Signals(queue);
        signals.ask(&changes)?;
        Ok(signals)
    }

    /// Forgets those that came.
    pub fn clear(&self) {
        while matches!(self.ask(&[]), Ok(count) if count > 0) {}
    }

    /// Hands changes over, or takes what came, of which there is no more to know than that.
    fn ask(&self, changes: &[Event]) -> io::Result<usize> {
        let mut came = Vec::with_capacity(if changes.is_empty() { SIGNALS } else { 0 });
        // SAFETY: no event names a descriptor, so none can be one that is closed.
        let count =
            unsafe { kevent(&self.0, changes, rustix::buffer::spare_capacity(&mut came), Some(Duration::ZERO)) }?;
        Ok(count)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Nothing to do: who is to end with execd sees a socket close.
pub fn end_with_parent() -> io::Result<()> {
    Ok(())
}

/// Nobody adopts but launchd.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(())
}

/// What this first process has below it, and what is in the payload's session.
pub fn left_of(payload: Pid) -> Vec<Pid> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    processes::below(&[own, payload.as_raw()]).into_iter().map(Pid::from_raw).collect()
}

/// A process keeps the name of its program.
pub fn set_name(_: &CStr) {}

/// There are none.
pub fn hide_control_groups() -> io::Result<()> {
    Ok(())
}

/// The system asks the person before anybody looks into another process.
pub fn hide() {}

/// Ends a first process. Its number is its own as long as its socket is open, and nobody calls this
/// afterwards.
pub fn kill(pid: u32, _: Option<&OwnedFd>) {
    if let Some(pid) = i32::try_from(pid).ok().filter(|pid| *pid > 0) {
        let _gone_already = signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// A file without a name.
pub fn nameless_file() -> io::Result<File> {
    let path = passing_name()?;
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// A name for a moment, in the private folder of vx's sockets.
fn passing_name() -> io::Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let dir = paths::runtime_dir().ok_or(io::ErrorKind::NotFound)?;
    Ok(dir.join(format!(".exec-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))))
}

/// A pipe whose reading end is there twice: one whose reads block, and one whose reads do not. A
/// pipe has no second opening here, so it has a name while it is made.
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
        let path = passing_name()?;
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?;
        let opened = Pipe::open_at(&path);
        fs::remove_file(&path)?;
        opened
    }

    /// In this order: a reader that does not block waits for nobody, the writer finds it, and the
    /// reader that blocks finds the writer.
    fn open_at(path: &PathBuf) -> io::Result<Pipe> {
        let peeker = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        let writer = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        let reader = OpenOptions::new().read(true).open(path)?;
        Ok(Pipe { reader: reader.into(), peeker: peeker.into(), writer: writer.into() })
    }
}

/// Brings everything to disk, what the disk itself holds back too.
pub fn sync_all(dir: &File) -> io::Result<()> {
    rustix::fs::sync();
    Ok(rustix::fs::fcntl_fullfsync(dir)?)
}

/// A file's type and permissions.
pub fn mode(stat: &rustix::fs::Stat) -> u32 {
    stat.st_mode.into()
}

/// Which boot this is.
pub fn boot_id() -> String {
    let id = processes::told::<64>(c"kern.bootsessionuuid").unwrap_or_default();
    String::from_utf8_lossy(&id).trim_end_matches('\0').to_owned()
}
