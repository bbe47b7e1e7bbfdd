//! `vx build` and `vx check`: cargo's flags of the same names, as far as vx honours them.

use clap::Args;

use super::{
    groups::{FailureArgs, FeatureArgs, JobArgs, ManifestArgs, OutputArgs, PackageArgs, PlatformArgs, ProfileArgs},
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
    features: FeatureArgs,
    #[command(flatten)]
    profile: ProfileArgs,
    #[command(flatten)]
    platform: PlatformArgs,
    #[command(flatten)]
    jobs: JobArgs,
    #[command(flatten)]
    failure: FailureArgs,
    #[command(flatten)]
    manifest: ManifestArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl BuildArgs {
    /// What is asked for by a word of this intent.
    pub fn request(self, intent: Intent) -> Request {
        let BuildArgs { packages, targets, features, profile, platform, jobs, failure, manifest, output } = self;
        Request {
            intent,
            packages,
            targets,
            features,
            profile,
            platform,
            manifest,
            jobs,
            failure,
            output,
            then: Then::Nothing,
            clippy: None,
        }
    }
}
