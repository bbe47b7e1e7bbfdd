//! `vx build` and `vx check`: cargo's flags of the same names, as far as vx honours them.

use clap::Args;

use super::{
    groups::{CommonArgs, FailureArgs, PackageArgs, ProfileArgs},
    request::{Request, Then},
    targets::TargetArgs,
};
use crate::cargo::select::Intent;

/// The flags of `vx build` and `vx check`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    #[command(flatten)]
    packages: PackageArgs,
    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    profile: ProfileArgs,
    #[command(flatten)]
    failure: FailureArgs,
    #[command(flatten)]
    common: CommonArgs,
}

impl BuildArgs {
    /// What is asked for by a word of this intent.
    pub fn request(self, intent: Intent) -> Request {
        let BuildArgs { packages, targets, profile, failure, common } = self;
        Request { intent, packages, targets, profile, failure, common, then: Then::Nothing, clippy: None }
    }
}
