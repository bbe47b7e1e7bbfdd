//! The only file that starts processes. At the very top of main, before there is any thread,
//! execd forks the spawner: a process with one thread that takes requests over a socket and clones
//! an action's first process for each. So allocating after a fork is sound, a fork copies little,
//! and when execd dies, however it dies, the spawner and everything below it die with it.
//! What the first process then does is `sandbox`'s; asking for a run is `launch`'s.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::{ForkResult, Pid, setsid},
};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use crate::sandbox::{
    Fail, Network, Report, Step, confine,
    supervise::{self, Handles},
};
use shared::config::Rung;

/// Job, result, three streams, and perhaps a control group and a jobserver's two pipes.
const REQUEST_FDS: usize = 8;
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
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let parent = rustix::process::getpid();
        let pid = fork(|| {
            let dies_with_parent =
                rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
            if dies_with_parent.is_err() || rustix::process::getppid() != Some(parent) {
                return 1;
            }
            i32::from(ours_in_child(&theirs).and_then(|()| serve(&theirs)).is_err())
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
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(REQUEST_FDS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        sendmsg(&self.requests, &[io::IoSlice::new(&packet)], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
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

/// Clones with namespaces: `None` in the child, its pidfd in the parent.
fn clone(flags: u64) -> io::Result<Option<OwnedFd>> {
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
    match made {
        0 => Ok(None),
        // SAFETY: the kernel just made this descriptor for us.
        pid if pid > 0 => Ok(Some(unsafe { OwnedFd::from_raw_fd(pidfd) })),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The spawner's own end: everything but its socket and the standard streams is closed, above all
/// the listening sockets that execd was given.
fn ours_in_child(keep: &OwnedFd) -> io::Result<()> {
    let keep = keep.as_raw_fd() as libc::c_uint;
    for (first, last) in [(3, keep.saturating_sub(1)), (keep + 1, libc::c_uint::MAX)] {
        // SAFETY: this process has only just begun and uses none of these descriptors.
        if first <= last && unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The spawner's life: one request, one clone; ends when execd does.
fn serve(requests: &OwnedFd) -> io::Result<()> {
    // An own session: a Ctrl-C meant for execd is for execd to pass on.
    let _already_a_leader = setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let _best_effort = rustix::thread::set_name(c"vx-execd-spawn");
    let _made_once = confine::compile();
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        mask.add(signal);
    }
    mask.thread_block()?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    loop {
        let mut fds =
            [PollFd::new(requests.as_fd(), PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        let _interrupted = poll(&mut fds, PollTimeout::NONE);
        let [request, _] = fds;
        while let Ok(Some(_)) = signals.read_signal() {}
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
    let mut packet = [0_u8; REQUEST_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(REQUEST_FDS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(requests, &mut [IoSliceMut::new(&mut packet)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    if got.bytes == 0 {
        return Ok(None);
    }
    let whole = got.bytes == packet.len() && !got.flags.contains(ReturnFlags::CTRUNC);
    let [flags @ .., with] = packet;
    let mut fds = fds.into_iter();
    let handles = match (fds.next(), fds.next(), fds.next(), fds.next(), fds.next()) {
        (Some(job), Some(result), Some(stdin), Some(stdout), Some(stderr)) if whole => {
            let cgroup = if with & WITH_CGROUP == 0 { None } else { fds.next() };
            let jobserver = if with & WITH_JOBSERVER == 0 { None } else { fds.next().zip(fds.next()) };
            let jobserver = jobserver.map(|(tokens, returned)| [tokens, returned]);
            Some(Handles { job, result, streams: [stdin, stdout, stderr], cgroup, jobserver })
        }
        _ => None,
    };
    Ok(Some((u64::from_ne_bytes(flags), handles)))
}

fn begin(flags: u64, handles: Option<Handles>, requests: &OwnedFd, signals: &SignalFd) {
    let Some(handles) = handles else { return };
    match clone(flags) {
        Ok(None) => {
            let tied = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
            let _already_a_leader = setsid();
            // The first process must not hold the spawner's socket open.
            for fd in [requests.as_raw_fd(), signals.as_fd().as_raw_fd()] {
                // SAFETY: the owners of both are in the spawner's frames, to which this process
                // never returns.
                unsafe { libc::close(fd) };
            }
            leave(if tied.is_ok() { supervise::first(handles) } else { 1 })
        }
        Ok(Some(pidfd)) => started(&handles.result, &pidfd),
        Err(err) => {
            let names = if flags == 0 { "for the action" } else { "user, mount, pid, ipc, uts, network" };
            supervise::send(&handles.result, &Report::Failed(Fail::new(Step::Clone, names, err)));
        }
    }
}

fn started(result: &OwnedFd, pidfd: &OwnedFd) {
    let fds = [pidfd.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if let (true, Ok(bytes)) =
        (ancillary.push(SendAncillaryMessage::ScmRights(&fds)), serde_json::to_vec(&Report::Started))
    {
        let _execd_is_gone = sendmsg(result, &[io::IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL);
    }
}
