//! The only file that starts processes. At the very top of main, before there is any thread,
//! execd forks the spawner: a process with one thread that takes requests over a socket and clones
//! an action's first process for each. So allocating after a fork is sound, a fork copies little,
//! and when execd dies, however it dies, the spawner and everything below it die with it.
//! What the first process then does is `sandbox`'s; asking for a run is `launch`'s.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::Signal,
        wait::{WaitPidFlag, waitpid},
    },
    unistd::{ForkResult, Pid, setsid},
};

use crate::{
    kernel::{self, Signals},
    packets,
    sandbox::{
        Fail, Network, Report, Step, confine,
        supervise::{self, Handles},
        sys,
    },
};
use shared::config::Rung;

/// The flags of the clone, and which of the optional descriptors come along.
const REQUEST_BYTES: usize = 9;
const WITH_CGROUP: u8 = 1;
const WITH_JOBSERVER: u8 = 2;

/// execd's end of the spawner.
#[derive(Debug)]
pub struct Spawner {
    requests: OwnedFd,
    pid: Pid,
}

/// One request: the namespaces wanted, and the descriptors of [`Handles`] in their order.
pub struct Request<'a> {
    /// The rung decides which namespaces are made.
    pub rung: Rung,
    /// Whether one of them is a network namespace.
    pub network: Network,
    /// The job, as JSON.
    pub job: BorrowedFd<'a>,
    /// Where reports go.
    pub result: BorrowedFd<'a>,
    /// Standard input, output and error.
    pub streams: [BorrowedFd<'a>; 3],
    /// `cgroup.procs` of the action's control group.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Where the payload takes jobserver tokens, and where it returns them.
    pub jobserver: Option<[BorrowedFd<'a>; 2]>,
}

impl Spawner {
    /// Forks the spawner. To be called before any thread is started.
    pub fn start() -> io::Result<Spawner> {
        let (ours, theirs) = packets::pair()?;
        let parent = rustix::process::getpid();
        let pid = fork(|| {
            if kernel::end_with_parent().is_err() || rustix::process::getppid() != Some(parent) {
                return 1;
            }
            i32::from(sys::close_all_but(&theirs).and_then(|()| serve(&theirs)).is_err())
        })?;
        Ok(Spawner { requests: ours, pid })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Hands one request over; what becomes of it comes back on its result socket.
    pub fn request(&self, request: &Request<'_>) -> io::Result<()> {
        let with_cgroup = if request.cgroup.is_some() { WITH_CGROUP } else { 0 };
        let with_jobserver = if request.jobserver.is_some() { WITH_JOBSERVER } else { 0 };
        let mut packet = clone_flags(request.rung, request.network).to_ne_bytes().to_vec();
        packet.push(with_cgroup | with_jobserver);
        let [stdin, stdout, stderr] = request.streams;
        let mut fds = vec![request.job, request.result, stdin, stdout, stderr];
        fds.extend(request.cgroup);
        fds.extend(request.jobserver.into_iter().flatten());
        packets::send(&self.requests, &packet, &fds)
    }
}

/// Forks; `child` runs in the child alone and says its exit code.
pub fn fork(child: impl FnOnce() -> i32) -> io::Result<Pid> {
    // SAFETY: every caller has one thread: execd before its runtime, the spawner, an action's
    // first process. The child ends in `_exit` and never returns into the parent's frames.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => leave(child()),
    }
}

/// Ends this process without running what the parent registered for its own end.
fn leave(code: i32) -> ! {
    // SAFETY: ends the process; nothing runs afterwards.
    unsafe { libc::_exit(code) }
}

#[cfg(target_os = "linux")]
fn clone_flags(rung: Rung, network: Network) -> u64 {
    let mut flags = 0;
    if rung >= Rung::Namespaces {
        flags |= libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
        if network == Network::None {
            flags |= libc::CLONE_NEWNET;
        }
    }
    flags as u32 as u64
}

/// macOS has no namespaces.
#[cfg(target_os = "macos")]
fn clone_flags(_: Rung, _: Network) -> u64 {
    0
}

/// A first process, as the spawner knows it: its number, and a handle where the kernel has such.
type First = (u32, Option<OwnedFd>);

/// Clones with namespaces: `None` in the child.
#[cfg(target_os = "linux")]
fn clone(flags: u64) -> io::Result<Option<First>> {
    use std::os::fd::FromRawFd;
    let mut pidfd: i32 = -1;
    // SAFETY: all zeroes is a valid clone_args: no stack, no thread-local storage, no ids.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = flags | libc::CLONE_PIDFD as u64;
    arguments.pidfd = &raw mut pidfd as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: without CLONE_VM and with one thread this is a fork: the child has its own copy of
    // everything. `pidfd` outlives the call.
    let mut made = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
    if made < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS) {
        // Filters that look at flags answer so, since they cannot read those of clone3.
        let flags = arguments.flags | libc::SIGCHLD as u64;
        // SAFETY: the same; the older call takes the place of the pidfd third.
        made = unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, &raw mut pidfd, 0_usize, 0_usize) };
    }
    match u32::try_from(made) {
        Ok(0) => Ok(None),
        // SAFETY: the kernel just made this descriptor for us.
        Ok(pid) => Ok(Some((pid, Some(unsafe { OwnedFd::from_raw_fd(pidfd) })))),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Forks: `None` in the child.
#[cfg(target_os = "macos")]
fn clone(_: u64) -> io::Result<Option<First>> {
    // SAFETY: the spawner has one thread; the child never returns into its frames.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Some((child.as_raw().unsigned_abs(), None))),
        ForkResult::Child => Ok(None),
    }
}

/// The spawner's life: one request, one clone; ends when execd does.
fn serve(requests: &OwnedFd) -> io::Result<()> {
    // An own session: a Ctrl-C meant for execd is for execd to pass on.
    let _already_a_leader = setsid();
    kernel::adopt_orphans()?;
    kernel::set_name(c"vx-execd-spawn");
    confine::prepare();
    let signals = Signals::of(&[Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP])?;
    loop {
        let mut fds =
            [PollFd::new(requests.as_fd(), PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        let _interrupted = poll(&mut fds, PollTimeout::NONE);
        let [request, _] = fds;
        signals.clear();
        while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status.pid().is_some()) {}
        if request.any() != Some(true) {
            continue;
        }
        match receive(requests)? {
            Some((flags, handles)) => begin(flags, handles, requests, &signals),
            None => return Ok(()),
        }
    }
}

/// One packet, or `None` when execd is gone. A packet that is no request is dropped with its
/// descriptors, which execd sees as a closed result socket.
fn receive(requests: &OwnedFd) -> io::Result<Option<(u64, Option<Handles>)>> {
    let Some(packets::Packet { bytes, fds }) = packets::receive(requests)? else { return Ok(None) };
    let Ok(packet) = <[u8; REQUEST_BYTES]>::try_from(bytes) else { return Ok(Some((0, None))) };
    let [flags @ .., with] = packet;
    let mut fds = fds.into_iter();
    let handles = match (fds.next(), fds.next(), fds.next(), fds.next(), fds.next()) {
        (Some(job), Some(result), Some(stdin), Some(stdout), Some(stderr)) => {
            let cgroup = if with & WITH_CGROUP == 0 { None } else { fds.next() };
            let jobserver = if with & WITH_JOBSERVER == 0 { None } else { fds.next().zip(fds.next()) };
            let jobserver = jobserver.map(|(tokens, returned)| [tokens, returned]);
            Some(Handles { job, result, streams: [stdin, stdout, stderr], cgroup, jobserver })
        }
        _ => None,
    };
    Ok(Some((u64::from_ne_bytes(flags), handles)))
}

fn begin(flags: u64, handles: Option<Handles>, requests: &OwnedFd, signals: &Signals) {
    let Some(handles) = handles else { return };
    match clone(flags) {
        Ok(None) => {
            let tied = kernel::end_with_parent();
            let _already_a_leader = setsid();
            // The first process must not hold the spawner's socket open.
            for fd in [requests.as_raw_fd(), signals.as_fd().as_raw_fd()] {
                // SAFETY: the owners of both are in the spawner's frames, to which this process
                // never returns.
                unsafe { libc::close(fd) };
            }
            leave(if tied.is_ok() { supervise::first(handles) } else { 1 })
        }
        Ok(Some(first)) => started(&handles.result, &first),
        Err(err) => {
            let names = if flags == 0 { "for the action" } else { "user, mount, pid, ipc, uts, network" };
            supervise::send(&handles.result, &Report::Failed(Fail::new(Step::Clone, names, err)));
        }
    }
}

fn started(result: &OwnedFd, (pid, handle): &First) {
    if let Ok(bytes) = serde_json::to_vec(&Report::Started(*pid)) {
        let fds: Vec<_> = handle.iter().map(AsFd::as_fd).collect();
        let _execd_is_gone = packets::send(result, &bytes, &fds);
    }
}
