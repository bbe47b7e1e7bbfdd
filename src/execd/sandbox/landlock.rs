//! Rung `landlock`: no namespaces, the host's own root. Landlock lets the payload read what the job
//! names and write to its own folders, a filter refuses every socket but a pair. What it cannot
//! cut (SANDBOX.md): modes and times of files.

use std::{io, path::Path};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    Scope,
};
use nix::unistd::Pid;

use super::{Access, Fail, Job, Mount, Sandbox, Step, confine, none};

/// What programs of the host read beside their own files: of the machine what tells nobody about
/// others, and the payload's own process. What it starts has no own there: a rule is for a folder
/// that exists.
const READ: &[&str] = &[
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/loadavg",
    "/proc/uptime",
    "/proc/version",
    "/proc/filesystems",
    "/proc/sys/kernel",
    "/proc/sys/vm",
];
/// Devices that hold nothing of anybody.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// A plain process in a Landlock domain of its own.
pub struct Landlock;

impl Sandbox for Landlock {
    fn enter(&self, job: &Job) -> Result<(), Fail> {
        none::Process.enter(job)
    }

    fn confine(&self, job: &Job) -> Result<(), Fail> {
        confine::limits(job)?;
        confine::privileges()?;
        let refused = |why: String| Fail::new(Step::Landlock, why, io::Error::from_raw_os_error(libc::EACCES));
        match domain(job).map_err(|err| refused(err.to_string()))? {
            RulesetStatus::NotEnforced => return Err(refused("it is not enforced".to_owned())),
            RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced => {}
        }
        confine::filter_sockets(job.network)?;
        confine::filter()
    }

    fn sweep(&self, payload: Pid) {
        none::Process.sweep(payload);
    }
}

fn domain(job: &Job) -> Result<RulesetStatus, confine::Wall> {
    let abi = ABI::V6;
    let (read, all) = (AccessFs::from_read(abi), AccessFs::from_all(abi));
    let run: BitFlags<AccessFs> = AccessFs::Execute.into();
    let mut rules = Ruleset::default().handle_access(all)?.scope(Scope::from_all(abi))?.create()?;
    let fixed = READ.iter().map(|path| (Path::new(path), read & !run));
    let devices = DEVICES.iter().map(|path| (Path::new(path), AccessFs::from_file(abi) & !run));
    let declared = job.mounts.iter().filter_map(|mount| {
        let Mount::Bind { from, at, access } = mount else { return None };
        let rights = match access {
            Access::ReadOnly => read,
            Access::Writable => all,
            Access::Data => read & !run,
            Access::WritableData => all & !run,
            Access::Device => AccessFs::from_file(abi) & !run,
        };
        (from == at).then_some((Path::new(from.as_os()), rights))
    });
    for (path, rights) in fixed.chain(devices).chain(declared) {
        // What is not there now cannot be opened later either.
        let Ok(fd) = PathFd::new(path) else { continue };
        let rights = if path.is_dir() { rights } else { rights & AccessFs::from_file(abi) };
        rules = rules.add_rule(PathBeneath::new(fd, rights))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}
