//! `vx test` and `vx bench`: cargo's flags of those names, as far as vx honours them.

use clap::{Args, ValueHint};

use super::{
    groups::{CommonArgs, FailureArgs, PackageArgs, ProfileArgs},
    request::{Request, TestWords, Then},
    targets::TargetArgs,
};
use crate::cargo::{select::Intent, testing::What};

/// The flags of `vx test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    #[command(flatten)]
    words: Words,
    #[command(flatten)]
    profile: ProfileArgs,
    /// Test only the documentation of libraries
    #[arg(long)]
    doc: bool,
}

/// The flags of `vx bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(flatten)]
    words: Words,
    /// With the specified profile
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Other)]
    profile: Option<String>,
}

#[derive(Debug, Args)]
struct Words {
    /// Only those whose names contain this
    #[arg(value_name = "NAME", value_hint = ValueHint::Other)]
    name: Option<String>,
    /// Arguments of the programs that test
    #[arg(value_name = "ARGS", last = true, value_hint = ValueHint::Other)]
    args: Vec<String>,
    /// Compile them, but do not run them
    #[arg(long)]
    no_run: bool,
    /// Run all of them, also when one has failed
    #[arg(long)]
    no_fail_fast: bool,
    #[command(flatten)]
    packages: PackageArgs,
    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    common: CommonArgs,
}

impl Words {
    fn request(self, intent: Intent, profile: ProfileArgs, what: What) -> Request {
        let Words { name, args, no_run, no_fail_fast, packages, targets, common } = self;
        let args = name.into_iter().chain(args).collect();
        let then = Then::Test(TestWords { what, args, no_run, no_fail_fast });
        Request {
            intent,
            packages,
            targets,
            profile,
            // cargo has other words for going on here.
            failure: FailureArgs::default(),
            common,
            then,
            clippy: None,
        }
    }
}

impl TestArgs {
    /// What is asked for, or why it makes no sense, as cargo says it.
    pub fn request(self) -> Result<Request, String> {
        let TestArgs { mut words, profile, doc } = self;
        if doc && words.targets.is_specific() {
            return Err("can't mix --doc with other target selecting options".to_owned());
        }
        if doc && words.no_run {
            return Err("can't skip running doc tests with --no-run".to_owned());
        }
        if doc {
            words.targets = TargetArgs::documentation();
        } else if words.name.is_some() && !words.targets.is_specific() {
            words.targets = TargetArgs::named_tests();
        }
        Ok(words.request(Intent::Test, profile, What::Tests))
    }
}

impl BenchArgs {
    /// What is asked for.
    pub fn request(self) -> Request {
        self.words.request(Intent::Bench, ProfileArgs::named(self.profile), What::Benches)
    }
}
