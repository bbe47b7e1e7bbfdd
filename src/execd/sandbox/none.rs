//! Rung `process`: no isolation of what can be read, only a clean environment, an own session,
//! inputs in a real folder, and an end that takes every descendant along.

use std::{thread, time::Duration};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};

use super::{Fail, Job, Root, Sandbox, Step, confine};
use crate::kernel;

/// Rounds of killing before giving up on a payload that forks faster than it can be killed.
const ROUNDS: usize = 10_000;

/// A plain process whose first process is the subreaper of everything below.
pub struct Process;

impl Sandbox for Process {
    fn enter(&self, job: &Job) -> Result<(), Fail> {
        kernel::adopt_orphans().map_err(|err| Fail::new(Step::Clone, "as subreaper", err))?;
        match job.root {
            Root::Host => Ok(()),
            _ => Err(Fail::new(Step::Mount, "a root of its own without namespaces", nix::errno::Errno::EINVAL)),
        }
    }

    fn confine(&self, job: &Job) -> Result<(), Fail> {
        confine::limits(job)?;
        confine::privileges()
    }

    /// Kills what the kernel finds until nothing is left.
    fn sweep(&self, payload: Pid) {
        for round in 0..ROUNDS {
            let left = kernel::left_of(payload);
            if left.is_empty() {
                return;
            }
            for pid in left {
                let _gone_already = kill(pid, Signal::SIGKILL);
            }
            while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status.pid().is_some()) {}
            if round > 10 {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}
