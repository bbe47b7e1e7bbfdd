//! `vx clean`: cargo's flags of the same word.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::{
    Request,
    groups::{CommonArgs, ManifestArgs, ProfileArgs, TermArgs},
};
use crate::cargo::select::{NO_VALUE, ProfileChoice, with_value};

/// The flags of `vx clean`.
#[derive(Debug, Args)]
pub struct CleanArgs {
    /// Only what was made of this package
    #[arg(short, long, value_name = "SPEC", num_args = 0..=1, default_missing_value = NO_VALUE, value_hint = ValueHint::Other)]
    package: Vec<String>,
    /// Only what was made of the members of the workspace
    #[arg(long)]
    workspace: bool,
    /// Only the documentation
    #[arg(long)]
    pub doc: bool,
    /// Say what would be removed, and remove nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Only what was made for this target, of chosen packages
    #[arg(long, value_name = "TRIPLE", num_args = 0..=1, default_missing_value = NO_VALUE, value_hint = ValueHint::Other)]
    target: Vec<String>,
    /// The folder of all outputs
    #[arg(long, value_name = "DIRECTORY", value_hint = ValueHint::DirPath)]
    pub target_dir: Option<PathBuf>,
    #[command(flatten)]
    profile: ProfileArgs,
    #[command(flatten)]
    manifest: ManifestArgs,
    #[command(flatten)]
    term: TermArgs,
}

impl CleanArgs {
    /// What of it every word has.
    pub fn request(&self) -> Request {
        let common = CommonArgs::of(&self.manifest, &self.term);
        Request { common, profile: self.profile.clone(), ..Request::default() }
    }

    /// Whether packages are chosen, of which cargo knows the files.
    pub fn names_packages(&self) -> bool {
        self.workspace || !self.package.is_empty()
    }

    /// The profile, where one is chosen.
    pub fn profile(&self) -> Option<String> {
        match self.profile.choice() {
            ProfileChoice::Default => None,
            ProfileChoice::Release => Some("release".to_owned()),
            ProfileChoice::Named(name) => Some(name),
        }
    }

    /// The words for cargo that no other word of vx has; what it says where is the caller's.
    pub fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.package.iter().map(|spec| with_value("--package", spec)).collect();
        words.extend(self.workspace.then(|| "--workspace".to_owned()));
        words.extend(self.doc.then(|| "--doc".to_owned()));
        words.extend(self.target.iter().map(|triple| with_value("--target", triple)));
        words.extend(self.profile().map(|name| format!("--profile={name}")));
        words
    }

    /// How much cargo says.
    pub fn speech(&self) -> Vec<String> {
        self.term.for_cargo()
    }
}
