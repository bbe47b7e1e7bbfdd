//! The control plane, defined once: the D-Bus interfaces that each service has (`build.vx.Control1`,
//! `org.freedesktop.LogControl1`, casd's `build.vx.Store1`), the traits behind them, the serving of
//! them (session bus and control socket) and the other end. What a service says about itself is its
//! own affair: its `control.rs`. The reference for people is vx-control(7).
//!
//! `GetStatus() -> a{sv}` answers flat keys. What `vxctl status` shows of them:
//!
//! | key | type | from | meaning |
//! |---|---|---|---|
//! | `state` | s | all | `serving`, or `draining` when it was told to leave |
//! | `config_error` | s | all | what is wrong with vx.toml while an older or default one is in use |
//! | `log_dropped` | t | all | lines of the log that nobody took in time, since the start |
//! | `exceptions` | as | daemon | what vx.toml grants to single packages, and why; only where it does |
//! | `sessions` | t | daemon | clients connected with a session |
//! | `actions` | t | daemon, exec | actions that run now |
//! | `hits`, `misses` | t | daemon, cas | action-cache look-ups since the start |
//! | `wrapped_hits`, `wrapped_built`, `wrapped_plain` | t | daemon | calls of rustc that cargo made through vx: found, run as Actions, run as they are; only where there were any |
//! | `store_bytes`, `budget_bytes` | t | cas | what the store takes on disk, and may take |
//! | `blobs`, `results` | t | cas | blobs and action results in it |
//! | `note` | s or as | all | what an administrator should know (a store that was set aside …) |
//! | `slots`, `ran` | t | exec | actions at once; actions run since the start |
//! | `tcp` | s | cas, exec | the address served beside the socket, or why it is not |
//! | `stage_bytes` | t | exec | inputs staged for the next action |
//! | `incremental_bytes` | t | exec | what rustc keeps for the next compilation of workspaces |
//! | `rung`, `rung_why` | s | exec | the isolation reached; the next rung and what it lacks, as `full: no cgroup` |
//!
//! Keys that nobody knows are shown by `vxctl status --json` only, so that a newer service and an
//! older vxctl get along.

use std::{any::Any, sync::Arc};

use crate::config::ConfigError;

mod interface;
mod log_control;
mod remote;
mod serve;
mod value;

pub use interface::INTERFACE;
pub use remote::{ControlError, LongRemote, Remote, Report, session_bus};
pub use serve::{Serving, serve};
pub use value::Value;

/// What a service does for the control plane. All of it may block for a file's read, no longer.
pub trait Controlled: Send + Sync {
    /// The service as it is now: the keys above.
    fn status(&self) -> Vec<(&'static str, Value)>;
    /// Reads vx.toml again. On an error the configuration in use stays.
    fn reload(&self) -> Result<(), ConfigError>;
    /// The store that it keeps; none but casd keeps one.
    fn store(&self) -> Option<Arc<dyn Store>> {
        None
    }
}

/// Flat keys and their values, as a status has them.
pub type Keys = Vec<(&'static str, Value)>;

/// The upkeep of a store (`build.vx.Store1`). These may take as long as reading all of it; an error
/// is one line for people.
pub trait Store: Send + Sync {
    /// Reads every blob and result and says what is damaged.
    fn verify(&self) -> Result<Keys, String>;
    /// Brings the store down to its budget.
    fn gc(&self) -> Result<Keys, String>;
    /// What is in it.
    fn stats(&self) -> Result<Keys, String>;
}

/// What the shell of a service lends to its control plane.
pub trait Shell: Send + Sync {
    /// Held while a control connection is open or a call runs: the service is not idle.
    fn attend(&self) -> Box<dyn Any + Send>;
    /// Finish what runs, take nothing new, leave.
    fn drain(&self);
    /// The log.
    fn log(&self) -> &dyn Log;
}

/// The log of a service, as it can be asked for and changed while the service runs.
pub trait Log: Send + Sync {
    /// One of syslog's words: `err`, `warning`, `info`, `debug` ….
    fn level(&self) -> String;
    /// Changes it; what is no such word is refused in words.
    fn set_level(&self, level: &str) -> Result<(), String>;
    /// `journal` or `console`.
    fn target(&self) -> String;
    /// Changes it; refused in words where there is none such.
    fn set_target(&self, target: &str) -> Result<(), String>;
    /// The name that its lines carry.
    fn identifier(&self) -> String;
    /// The newest remembered lines that come after a number, at most so many.
    fn lines(&self, after: u64, most: usize) -> Vec<LogLine>;
    /// How many lines were lost because nobody took them in time.
    fn dropped(&self) -> u64;
}

/// One remembered line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Counted from 1 since the service started.
    pub number: u64,
    /// Microseconds since 1970.
    pub usec: u64,
    /// syslog's number: 3 is an error, 4 a warning, 6 information, 7 debugging.
    pub priority: u8,
    /// The message and its fields.
    pub text: String,
}

#[cfg(test)]
mod tests;
