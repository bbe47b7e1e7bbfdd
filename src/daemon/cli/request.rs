//! What a word that builds something comes to, whichever word it was.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{
    doc::Shown,
    groups::{CommonArgs, FailureArgs, PackageArgs, ProfileArgs},
    targets::TargetArgs,
};
use crate::cargo::{
    select::{Intent, Selection},
    testing::What,
};

/// What is to be built, and how the person wants to hear of it.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub intent: Intent,
    pub packages: PackageArgs,
    pub targets: TargetArgs,
    pub profile: ProfileArgs,
    pub failure: FailureArgs,
    pub common: CommonArgs,
    pub then: Then,
    /// The words for clippy, where it takes rustc's place.
    pub clippy: Option<Vec<String>>,
}

/// What follows when everything is built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Then {
    #[default]
    Nothing,
    /// The program is run with these words.
    Run(Vec<OsString>),
    /// What tests or measures is run.
    Test(TestWords),
    /// What was documented is named, or shown.
    Document(Shown),
}

/// How programs that test are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestWords {
    pub what: What,
    /// Each of them gets these.
    pub args: Vec<String>,
    pub no_run: bool,
    pub no_fail_fast: bool,
}

impl Request {
    /// `--manifest-path`.
    pub fn manifest_path(&self) -> Option<&PathBuf> {
        self.common.manifest.manifest_path.as_ref()
    }

    /// What to build, in cargo's terms. `manifest` is the one that was found.
    pub fn selection(&self, manifest: &Path) -> Selection {
        Selection {
            intent: self.intent,
            profile: self.profile.choice(),
            packages: self.packages.package.clone(),
            workspace: self.packages.workspace(),
            targets: self.targets.choices(),
            features: self.common.features.features.clone(),
            feature_defaults: self.common.features.defaults(),
            manifest_path: self.common.manifest.for_cargo(manifest),
            network: self.common.manifest.network(),
            platforms: self.common.platform.platforms.clone(),
            target_dir: self.common.platform.target_dir.clone(),
            rust_version: self.common.platform.rust_version(),
            config: self.common.manifest.config.clone(),
            clippy: self.clippy.clone(),
        }
    }
}
