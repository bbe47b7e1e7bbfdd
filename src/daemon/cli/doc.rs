//! `vx doc`: cargo's flags of that name.

use clap::{Args, ValueHint};

use super::{
    groups::{CommonArgs, FailureArgs, PackageArgs, ProfileArgs},
    request::{Request, Then},
    targets::TargetArgs,
};
use crate::cargo::select::{Documentation, Intent, PrivateItems};

/// The flags of `vx doc`.
#[derive(Debug, Args)]
pub struct DocArgs {
    /// Open the documentation in a browser afterwards
    #[arg(long)]
    open: bool,
    /// Leave dependencies out
    #[arg(long)]
    no_deps: bool,
    /// Document private items too
    #[arg(long)]
    document_private_items: bool,
    #[command(flatten)]
    packages: PackageArgs,
    /// Only this package's library
    #[arg(long)]
    lib: bool,
    /// All binaries
    #[arg(long)]
    bins: bool,
    /// Only the specified binary
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Other)]
    bin: Vec<String>,
    /// All examples
    #[arg(long)]
    examples: bool,
    /// Only the specified example
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Other)]
    example: Vec<String>,
    #[command(flatten)]
    profile: ProfileArgs,
    #[command(flatten)]
    failure: FailureArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// Whether a browser is to show what was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// It is only said where it is.
    Named,
    /// `--open`.
    Opened,
}

impl DocArgs {
    /// What is asked for.
    pub fn request(self) -> Request {
        let private = if self.document_private_items { PrivateItems::Documented } else { PrivateItems::LeftOut };
        Request {
            intent: Intent::Doc(Documentation { no_deps: self.no_deps, private }),
            packages: self.packages,
            targets: TargetArgs::of_doc((self.lib, self.bins, self.examples), self.bin, self.example),
            profile: self.profile,
            failure: self.failure,
            common: self.common,
            then: Then::Document(if self.open { Shown::Opened } else { Shown::Named }),
            clippy: None,
        }
    }
}
