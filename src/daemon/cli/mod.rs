//! The words people type after `vx`: one clap tree, one file a command, the flags that several
//! share in `groups` and `targets`. What is not here is refused by name.

mod audit;
mod build;
#[cfg(test)]
mod completions;
pub mod groups;
mod request;
pub mod targets;
mod why;
mod words;

pub use audit::AuditArgs;
pub use build::BuildArgs;
pub use request::Request;
pub use why::WhyArgs;
pub use words::{Word, is_ping, parse};
