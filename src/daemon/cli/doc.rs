//! `vx doc`: cargo's flags of that name.

use clap::Args;

use super::{
    groups::{CommonArgs, FailureArgs, PackageArgs, ProfileArgs},
    request::{Request, Then},
    targets::{MadeArgs, TargetArgs},
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
    #[command(flatten)]
    made: MadeArgs,
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
            targets: TargetArgs::of_doc(self.made),
            profile: self.profile,
            failure: self.failure,
            common: self.common,
            then: Then::Document(if self.open { Shown::Opened } else { Shown::Named }),
            clippy: None,
        }
    }
}
