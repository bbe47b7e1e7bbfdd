//! The words people type after `vx`: one clap tree, one file a command. What is not here is
//! refused by name.

mod build;
#[cfg(test)]
mod completions;
mod words;

pub use build::BuildArgs;
pub use words::{Word, is_ping, parse};
