//! The words people type after `vx`: one clap tree, one file a command. What is not here is
//! refused by name.

mod audit;
mod build;
#[cfg(test)]
mod completions;
mod why;
mod words;

pub use audit::AuditArgs;
pub use build::BuildArgs;
pub use why::WhyArgs;
pub use words::{Word, is_ping, parse};
