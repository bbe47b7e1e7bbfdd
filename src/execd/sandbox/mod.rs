//! What isolation means here: the rungs, what an action is given (a [`Job`]) and what every rung
//! has to do with it (the trait [`Sandbox`]). How a rung does it is in its own file; who starts
//! processes is `child`; SANDBOX.md is the promise in words.

pub mod cgroup;
pub mod confine;
pub mod job;
pub mod linux;
pub mod none;
pub mod overlay;
pub mod probe;
pub mod supervise;
pub mod sys;

pub use job::{Access, Ended, Fail, Identity, Job, Live, Mount, Network, Report, Root, Status, Step, Usage};

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
        Rung::Process | Rung::Landlock => &none::Process,
    }
}
