//! `vx fetch`: cargo's flags of the same word.

use clap::{Args, ValueHint};

use super::{
    Request,
    groups::{CommonArgs, ManifestArgs, TermArgs},
};
use crate::cargo::select::{NO_VALUE, with_value};

/// The flags of `vx fetch`.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Fetch what this target needs; without, what any does
    #[arg(long, value_name = "TRIPLE", num_args = 0..=1, default_missing_value = NO_VALUE, value_hint = ValueHint::Other)]
    target: Vec<String>,
    #[command(flatten)]
    manifest: ManifestArgs,
    #[command(flatten)]
    term: TermArgs,
}

impl FetchArgs {
    /// What of it every word has.
    pub fn request(&self) -> Request {
        Request { common: CommonArgs::of(&self.manifest, &self.term), ..Request::default() }
    }

    /// The words for cargo that no other word of vx has.
    pub fn words(&self) -> Vec<String> {
        self.target.iter().map(|triple| with_value("--target", triple)).chain(self.term.for_cargo()).collect()
    }
}
