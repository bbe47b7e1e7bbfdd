//! `vx run`: cargo's flags of that name, as far as vx honours them.

use std::ffi::OsString;

use clap::{Args, ValueHint};

use super::{
    groups::{CommonArgs, FailureArgs, PackageArgs, ProfileArgs},
    request::{Request, Then},
    targets::TargetArgs,
};
use crate::cargo::select::{Intent, NO_VALUE};

/// The flags of `vx run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Package with the program (see `cargo help pkgid`)
    #[arg(short, long, value_name = "SPEC", num_args = 0..=1, default_missing_value = NO_VALUE, value_hint = ValueHint::Other)]
    package: Option<String>,
    /// The binary to run
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = NO_VALUE, value_hint = ValueHint::Other)]
    bin: Vec<String>,
    /// The example to run
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = NO_VALUE, value_hint = ValueHint::Other)]
    example: Vec<String>,
    #[command(flatten)]
    profile: ProfileArgs,
    #[command(flatten)]
    failure: FailureArgs,
    #[command(flatten)]
    common: CommonArgs,
    /// Arguments of the program
    #[arg(value_name = "ARGS", trailing_var_arg = true, value_hint = ValueHint::Other)]
    args: Vec<OsString>,
}

impl RunArgs {
    /// What is asked for, or why it makes no sense, as cargo says it.
    pub fn request(self) -> Result<Request, String> {
        let RunArgs { package, bin, example, profile, failure, common, args } = self;
        let is_pattern = |name: &&String| name.contains(['*', '?', '[', ']']);
        if let Some(pattern) = package.as_ref().filter(is_pattern) {
            return Err(format!("`vx run` does not support glob pattern `{pattern}` on package selection"));
        }
        if bin.iter().chain(&example).any(|name| is_pattern(&name)) {
            return Err("`vx run` does not support glob patterns on target selection".to_owned());
        }
        Ok(Request {
            intent: Intent::Build,
            packages: PackageArgs::only(package),
            targets: TargetArgs::named(bin, example),
            profile,
            failure,
            common,
            then: Then::Run(args),
            clippy: None,
        })
    }
}
