//! What isolation means here: the rungs, what an action is given (a [`Job`]) and what every rung
//! has to do with it (the trait [`Sandbox`]). How a rung does it is in its own file; who starts
//! processes is `child`; SANDBOX.md is the promise in words.

pub mod cgroup;
pub mod confine;
pub mod job;
pub mod landlock;
pub mod linux;
pub mod none;
pub mod notify;
pub mod overlay;
pub mod probe;
pub mod sockets;
pub mod supervise;
pub mod sys;

pub use job::{Access, Ended, Fail, Identity, Job, Layer, Live, Mount, Network, Report, Root, Status, Step, Usage};

#[cfg(test)]
mod tests;

use shared::config::Rung;

/// One rung of the ladder, as the processes of an action meet it. All three run inside the
/// action's own first process or its payload, which have one thread each.
pub trait Sandbox {
    /// In the first process, before anything is started: makes the view.
    fn enter(&self, job: &Job) -> Result<(), Fail>;
    /// In the payload, last before its program is loaded: gives up what it may not have.
    fn confine(&self, job: &Job) -> Result<(), Fail>;
    /// In the first process, when the payload has ended or is to end: kills whatever is left.
    fn sweep(&self);
}

/// The implementation of a rung.
pub fn of(rung: Rung) -> &'static dyn Sandbox {
    match rung {
        Rung::Namespaces | Rung::Full => &linux::Namespaces,
        Rung::Landlock => &landlock::Landlock,
        Rung::Process => &none::Process,
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
