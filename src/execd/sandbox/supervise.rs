//! An action's first process: makes the view, has the payload started, reaps everything that ends
//! up with it, and at the payload's end (or execd's word, or execd's death) leaves nothing behind
//! and reports. One thread, no runtime.

use std::{
    convert::Infallible,
    ffi::{CString, OsStr},
    fs::File,
    io::{self, Read, Seek},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        resource::{UsageWho, getrusage},
        signal::{SigSet, SigmaskHow, Signal, kill, killpg, sigprocmask},
        time::TimeValLike,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, execve, setpgid, setsid},
};

use shared::config::Rung;

use super::{Ended, Fail, Job, Report, Sandbox, Status, Step, Usage, notify, of, sys};
use crate::{
    beneath, child, jobserver,
    kernel::{self, Signals},
    packets,
};

/// The descriptors of one run, as the spawner received them.
pub struct Handles {
    /// The job, as JSON.
    pub job: OwnedFd,
    /// Packets to execd; its closing, or any packet from there, ends the run.
    pub result: OwnedFd,
    /// The payload's standard streams.
    pub streams: [OwnedFd; 3],
    /// `cgroup.procs` of the action's control group.
    pub cgroup: Option<OwnedFd>,
    /// Where the payload takes jobserver tokens, and where it returns them.
    pub jobserver: Option<[OwnedFd; 2]>,
}

/// The descriptors that a payload keeps.
struct Inherited {
    streams: [OwnedFd; 3],
    jobserver: Option<[OwnedFd; 2]>,
}

/// What execd sends to end a run.
pub const END: &[u8] = b"end";
/// What execd sends when it watches what it was handed.
pub const GO: &[u8] = b"go";

/// What execd sends to have a person's program get a signal.
pub fn signal_packet(number: u8) -> [u8; 2] {
    [SIGNAL, number]
}

const SIGNAL: u8 = b's';

/// Runs one job to its end. What it returns is the first process's exit code.
pub fn first(handles: Handles) -> i32 {
    let Handles { job, result, streams, cgroup, jobserver } = handles;
    let ended = read(job).and_then(|job| {
        let sandbox = of(&job);
        set_up(&job, sandbox, cgroup)?;
        if !be_watched(&job, &result)? {
            return Ok(Status::Killed);
        }
        start(&job, sandbox, &result, &Inherited { streams, jobserver })
            .map(|payload| watch(payload, &job, sandbox, &result))
    });
    let report = match ended {
        Ok(status) => Report::Ended(Ended { status, usage: usage() }),
        Err(fail) => Report::Failed(fail),
    };
    send(&result, &report);
    0
}

/// Sends one packet; execd being gone is not worth a word here.
pub fn send(result: &OwnedFd, report: &Report) {
    if let Ok(bytes) = serde_json::to_vec(report) {
        let _nobody_listens = packets::send(result, &bytes, &[]);
    }
}

fn read(job: OwnedFd) -> Result<Job, Fail> {
    let fail = |err: io::Error| Fail::new(Step::Job, "of this run", err);
    let mut file = File::from(job);
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(fail)?;
    serde_json::from_slice(&bytes).map_err(|err| fail(io::Error::from(err)))
}

fn set_up(job: &Job, sandbox: &dyn Sandbox, cgroup: Option<OwnedFd>) -> Result<(), Fail> {
    if job.is_open() {
        return sandbox.enter(job);
    }
    if let Some(procs) = cgroup {
        let fail = |err: io::Error| Fail::new(Step::Cgroup, "of this action", err);
        rustix::io::write(&procs, b"0").map_err(|err| fail(err.into()))?;
        if job.rung >= Rung::Namespaces {
            kernel::hide_control_groups().map_err(fail)?;
        }
    }
    // Better a payload than execd when memory runs out; a kernel without the file changes nothing.
    let _best_effort = std::fs::write("/proc/self/oom_score_adj", "300");
    sandbox.enter(job)?;
    // After the maps: a process that cannot be dumped does not own its /proc files.
    kernel::hide();
    Ok(())
}

/// Hands execd the place that it is to watch, and waits for its word; without it nothing starts.
fn be_watched(job: &Job, result: &OwnedFd) -> Result<bool, Fail> {
    let Some(at) = &job.watched else { return Ok(true) };
    let fail = |err| Fail::new(Step::Watch, at.as_os().to_string_lossy(), err);
    let place = beneath::root(Path::new(at.as_os())).map_err(fail)?;
    hand(result, &Report::Laid, &place).map_err(fail)?;
    let packet = packets::receive(result).map_err(fail)?;
    Ok(packet.is_some_and(|packet| packet.bytes == GO))
}

/// One packet with a descriptor.
fn hand(result: &OwnedFd, report: &Report, fd: &OwnedFd) -> io::Result<()> {
    packets::send(result, &serde_json::to_vec(report).unwrap_or_default(), &[fd.as_fd()])
}

/// Hands execd the end by which it hears of opens and connects. Where another listener stands
/// above this one, or the kernel has none, nothing is heard.
fn be_heard(result: &OwnedFd) -> Result<(), Fail> {
    let Ok(listener) = notify::install() else { return Ok(()) };
    hand(result, &Report::Heard, &listener).map_err(|err| Fail::new(Step::Watch, "of its calls", err))
}

fn start(job: &Job, sandbox: &dyn Sandbox, result: &OwnedFd, inherited: &Inherited) -> Result<Pid, Fail> {
    child::fork(|| {
        let Err(fail) = payload(job, sandbox, inherited, result);
        send(result, &Report::Failed(fail));
        127
    })
    .map_err(|err| Fail::new(Step::Fork, "the payload", err))
}

/// In the payload: everything up to the program's first instruction.
fn payload(job: &Job, sandbox: &dyn Sandbox, inherited: &Inherited, result: &OwnedFd) -> Result<Infallible, Fail> {
    let fail = |err: Errno| Fail::new(Step::Program, "with its streams", err);
    sys::default_signals();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).map_err(fail)?;
    if !job.is_open() {
        setsid().map_err(fail)?;
    }
    kernel::end_with_parent().map_err(|err| Fail::new(Step::Program, "tied to its first process", err))?;
    let [stdin, stdout, stderr] = &inherited.streams;
    let streams = nix::unistd::dup2_stdin(stdin)
        .and_then(|()| nix::unistd::dup2_stdout(stdout))
        .and_then(|()| nix::unistd::dup2_stderr(stderr));
    streams.map_err(|err| Fail::new(Step::Program, "with its streams", err))?;
    rustix::process::chdir(job.cwd.as_os())
        .map_err(|err| Fail::new(Step::WorkingDirectory, job.cwd.as_os().to_string_lossy(), err))?;
    sandbox.confine(job)?;
    if job.heard {
        be_heard(result)?;
    }
    sys::close_on_exec_from(3).map_err(|err| Fail::new(Step::Program, "without other descriptors", err))?;
    for (fd, number) in inherited.jobserver.iter().flatten().zip(jobserver::DESCRIPTORS) {
        sys::hand_over(fd, number).map_err(|err| Fail::new(Step::Program, "with its jobserver", err))?;
    }
    load(job)
}

fn load(job: &Job) -> Result<Infallible, Fail> {
    let name = job.argv.first().map(|name| name.as_os()).unwrap_or_default();
    let fail = |err: Errno| Fail::new(Step::Program, name.to_string_lossy(), err);
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|_| fail(Errno::EINVAL));
    let argv = job.argv.iter().map(|word| text(&word.0)).collect::<Result<Vec<_>, _>>()?;
    let env = job.env.iter().map(|(name, value)| text(&[&name.0, &b"="[..], &value.0].concat()));
    let env = env.collect::<Result<Vec<_>, _>>()?;
    if name.as_bytes().contains(&b'/') {
        return execve(&text(name.as_bytes())?, &argv, &env).map_err(fail);
    }
    let path = job.env.iter().find(|(name, _)| name.0 == b"PATH").map(|(_, value)| value.as_os());
    let mut last = Errno::ENOENT;
    for dir in std::env::split_paths(path.unwrap_or(OsStr::new("/usr/bin:/bin"))) {
        let program = text(Path::new(&dir).join(name).as_os_str().as_bytes())?;
        let Err(err) = execve(&program, &argv, &env);
        if !matches!(err, Errno::ENOENT | Errno::ENOTDIR) {
            last = err;
        }
    }
    Err(fail(last))
}

/// Reaps until the payload has ended or is to end, then takes everything down.
fn watch(payload: Pid, job: &Job, sandbox: &dyn Sandbox, result: &OwnedFd) -> Status {
    let group = job.is_open().then(|| Group::of(payload));
    let status = match Signals::of(&[Signal::SIGCHLD]) {
        Ok(signals) => until_end(payload, group.as_ref(), &signals, result),
        // Without the signal, waiting in the call itself still ends; only "end" is not heard then,
        // and execd kills the first process instead.
        Err(_) => block(payload),
    };
    sandbox.sweep(payload);
    while waitpid(None, None).is_ok() {}
    status
}

/// The processes that a person's terminal would send its signals to.
struct Group(Pid);

impl Group {
    /// Made here too: a signal may come before the payload has done so.
    fn of(payload: Pid) -> Self {
        let _has_done_so = setpgid(payload, payload);
        Group(payload)
    }

    fn send(&self, number: u8) {
        let Ok(signal) = Signal::try_from(i32::from(number)) else { return };
        if killpg(self.0, signal).is_err() {
            let _gone_already = kill(self.0, signal);
        }
    }
}

fn until_end(payload: Pid, group: Option<&Group>, signals: &Signals, result: &OwnedFd) -> Status {
    loop {
        // Before the first wait too: the payload may have ended before the signal was blocked.
        if let Some(status) = reap(payload) {
            return status;
        }
        let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN), PollFd::new(result.as_fd(), PollFlags::POLLIN)];
        let _interrupted = poll(&mut fds, PollTimeout::NONE);
        let [_, from_execd] = fds;
        signals.clear();
        if from_execd.any() == Some(true) {
            // Its closing means the same as its word.
            let word = packets::receive(result).ok().flatten().map_or_else(Vec::new, |packet| packet.bytes);
            match (word.as_slice(), group) {
                ([SIGNAL, number], Some(group)) => {
                    group.send(*number);
                    continue;
                }
                (_, Some(group)) => group.send(Signal::SIGKILL as u8),
                (_, None) => {}
            }
            return Status::Killed;
        }
    }
}

fn reap(payload: Pid) -> Option<Status> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == payload => return Some(Status::Exited(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == payload => {
                return Some(Status::Signalled(signal as i32));
            }
            Ok(WaitStatus::StillAlive) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

fn block(payload: Pid) -> Status {
    match waitpid(payload, None) {
        Ok(WaitStatus::Exited(_, code)) => Status::Exited(code),
        Ok(WaitStatus::Signaled(_, signal, _)) => Status::Signalled(signal as i32),
        _ => Status::Killed,
    }
}

/// Everything that was waited for, which by now is everything there was.
fn usage() -> Usage {
    let Ok(used) = getrusage(UsageWho::RUSAGE_CHILDREN) else {
        return Usage::default();
    };
    let cpu_us = used.user_time().num_microseconds() + used.system_time().num_microseconds();
    Usage {
        cpu: Duration::from_micros(u64::try_from(cpu_us).unwrap_or(0)),
        max_rss_bytes: u64::try_from(used.max_rss()).unwrap_or(0) * kernel::RSS_BYTES,
    }
}
