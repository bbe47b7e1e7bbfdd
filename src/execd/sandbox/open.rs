//! No sandbox: a program of the person's own, which may do what the person may. What it leaves
//! running when it ends goes on, as it would below a shell.

use nix::{
    sys::stat::{Mode, umask},
    unistd::{Pid, setpgid},
};

use super::{Fail, Job, Root, Sandbox, Step};

/// A plain process in a process group of its own, below a leader of the same session, so that it
/// can be stopped and continued.
pub struct Open;

impl Sandbox for Open {
    fn enter(&self, _: &Job) -> Result<(), Fail> {
        Ok(())
    }

    fn confine(&self, job: &Job) -> Result<(), Fail> {
        if let Root::Open { umask: Some(mask) } = job.root {
            umask(Mode::from_bits_truncate(mask as libc::mode_t));
        }
        setpgid(Pid::from_raw(0), Pid::from_raw(0))
            .map_err(|err| Fail::new(Step::Program, "in a group of its own", err))
    }

    fn sweep(&self, _: Pid) {}
}
