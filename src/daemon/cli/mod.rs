//! The words people type after `vx`: one clap tree, one file a command, the flags that several
//! share in `groups` and `targets`. What is not here is refused by name.

mod audit;
mod build;
mod clean;
mod clippy;
#[cfg(test)]
mod completions;
mod doc;
mod fetch;
pub mod groups;
mod request;
mod run;
pub mod targets;
mod test;
mod why;
mod words;

pub use audit::AuditArgs;
pub use build::BuildArgs;
pub use clean::CleanArgs;
pub use clippy::ClippyArgs;
pub use doc::{DocArgs, Shown};
pub use fetch::FetchArgs;
pub use request::{Request, TestWords, Then};
pub use run::RunArgs;
pub use test::{BenchArgs, TestArgs};
pub use why::WhyArgs;
pub use words::{Word, is_ping, parse};
