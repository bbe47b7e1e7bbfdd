//! Rung `process`: no isolation of what can be read, only a clean environment, an own session,
//! inputs in a real folder, and an end that takes every descendant along.

use std::{fs, thread, time::Duration};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};

use super::{Fail, Job, Root, Sandbox, Step, confine};

/// Rounds of killing before giving up on a payload that forks faster than it can be killed.
const ROUNDS: usize = 10_000;

/// A plain process whose first process is the subreaper of everything below.
pub struct Process;

impl Sandbox for Process {
    fn enter(&self, job: &Job) -> Result<(), Fail> {
        let subreaper = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        subreaper.map_err(|err| Fail::new(Step::Clone, "as subreaper", err))?;
        match job.root {
            Root::Host => Ok(()),
            _ => Err(Fail::new(Step::Mount, "a root of its own without namespaces", nix::errno::Errno::EINVAL)),
        }
    }

    fn confine(&self, job: &Job) -> Result<(), Fail> {
        confine::limits(job)?;
        confine::privileges()
    }

    /// Kills children until none is left; grandchildren become children by then, because the
    /// first process is their subreaper.
    fn sweep(&self) {
        for round in 0..ROUNDS {
            let children = children();
            if children.is_empty() {
                return;
            }
            for pid in children {
                let _gone_already = kill(pid, Signal::SIGKILL);
            }
            while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status.pid().is_some()) {}
            if round > 10 {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

fn children() -> Vec<Pid> {
    let text = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect()
}
