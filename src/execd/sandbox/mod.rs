//! What isolation means here: the rungs, what an action is given (a [`Job`]) and what every rung
//! has to do with it (the trait [`Sandbox`]). How a rung does it is in its own file; who starts
//! processes is `child`; SANDBOX.md is the promise in words.

#[cfg(target_os = "linux")]
mod bpf;
#[cfg_attr(target_os = "macos", path = "../macos/cgroup.rs")]
pub mod cgroup;
#[cfg_attr(target_os = "macos", path = "../macos/confine.rs")]
pub mod confine;
pub mod job;
#[cfg(target_os = "linux")]
pub mod landlock;
#[cfg(target_os = "linux")]
pub mod linux;
pub mod none;
#[cfg_attr(target_os = "macos", path = "../macos/notify.rs")]
pub mod notify;
pub mod open;
#[cfg(target_os = "linux")]
pub mod overlay;
pub mod probe;
#[cfg(target_os = "linux")]
pub mod sockets;
pub mod supervise;
#[cfg_attr(target_os = "macos", path = "../macos/sys.rs")]
pub mod sys;

pub use job::{Access, Ended, Fail, Identity, Job, Layer, Live, Mount, Network, Report, Root, Status, Step, Usage};

#[cfg(all(test, target_os = "linux"))]
mod tests;

use nix::unistd::Pid;
use shared::config::Rung;

/// One rung of the ladder, as the processes of an action meet it. All three run inside the
/// action's own first process or its payload, which have one thread each.
pub trait Sandbox {
    /// In the first process, before anything is started: makes the view.
    fn enter(&self, job: &Job) -> Result<(), Fail>;
    /// In the payload, last before its program is loaded: gives up what it may not have.
    fn confine(&self, job: &Job) -> Result<(), Fail>;
    /// In the first process, when the payload has ended or is to end: kills whatever is left.
    fn sweep(&self, payload: Pid);
}

/// The implementation of a job's rung.
pub fn of(job: &Job) -> &'static dyn Sandbox {
    if job.is_open() {
        return &open::Open;
    }
    match job.rung {
        #[cfg(target_os = "linux")]
        Rung::Namespaces | Rung::Full => &linux::Namespaces,
        #[cfg(target_os = "linux")]
        Rung::Landlock => &landlock::Landlock,
        _ => &none::Process,
    }
}

/// Most processes of one action on a rung. Without namespaces the kernel counts the person's own
/// too, so those of the whole machine are added.
pub fn processes(rung: Rung) -> u64 {
    if rung >= Rung::Namespaces {
        return cgroup::PROCESSES;
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let all = load.split(' ').nth(3).and_then(|word| word.split_once('/')?.1.parse::<u64>().ok());
    all.map_or(0, |all| all + cgroup::PROCESSES)
}
