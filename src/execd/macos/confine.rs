//! `sandbox/confine` for macOS: limits, and nothing else that a process could give up by itself.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use shared::config::Rung;

use crate::sandbox::{Fail, Job, Step};

/// Sets resource limits and the file creation mask. How many processes a user may have is the
/// system's own to say.
pub fn limits(job: &Job) -> Result<(), Fail> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let fail = |err| Fail::new(Step::Limits, "of the payload", io::Error::from(err));
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(fail)?;
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).map_err(fail)?;
    if job.file_bytes != 0 {
        let most = job.file_bytes.min(hard);
        setrlimit(Resource::RLIMIT_FSIZE, most, most).map_err(fail)?;
    }
    Ok(())
}

/// There are none to give up.
pub fn privileges() -> Result<(), Fail> {
    Ok(())
}

/// Nothing is made beforehand.
pub fn prepare() {}

/// No rung but `process`.
pub fn offered(rung: Rung) -> Result<(), String> {
    Err(format!("macOS has nothing that rung {} is made of", rung.name()))
}
