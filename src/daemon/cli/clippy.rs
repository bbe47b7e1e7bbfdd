//! `vx clippy`: the flags of `vx check`, and what clippy itself is told.

use clap::{Args, ValueHint};

use super::{BuildArgs, Request};
use crate::cargo::select::Intent;

/// The flags of `vx clippy`.
#[derive(Debug, Args)]
pub struct ClippyArgs {
    #[command(flatten)]
    build: BuildArgs,
    /// Lint only the chosen packages, not the members that they depend on
    #[arg(long)]
    no_deps: bool,
    /// For clippy: lints to allow, warn of, deny or forbid, and what else rustc takes
    #[arg(last = true, value_name = "ARGS", value_hint = ValueHint::Other)]
    args: Vec<String>,
}

impl ClippyArgs {
    /// What is asked for.
    pub fn request(self) -> Request {
        let no_deps = self.no_deps.then(|| "--no-deps".to_owned());
        let words = no_deps.into_iter().chain(self.args).collect();
        Request { clippy: Some(words), ..self.build.request(Intent::Check) }
    }
}
