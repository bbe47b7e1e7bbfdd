//! `vx build`: cargo's flags of the same name, as far as vx honours them.

use std::path::PathBuf;

use clap::Args;

use crate::cargo::{
    diagnostics::Verbosity,
    select::{FeatureDefaults, Network, ProfileChoice, Selection, TargetChoice, Workspace},
};

/// The flags of `vx build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Package to build (see `cargo help pkgid`)
    #[arg(short, long, value_name = "SPEC")]
    package: Vec<String>,
    /// Build all packages of the workspace
    #[arg(long, visible_alias = "all")]
    workspace: bool,
    /// Exclude packages from the build
    #[arg(long, value_name = "SPEC", requires = "workspace")]
    exclude: Vec<String>,
    /// Build only this package's library
    #[arg(long)]
    lib: bool,
    /// Build all binaries
    #[arg(long)]
    bins: bool,
    /// Build only the specified binary
    #[arg(long, value_name = "NAME")]
    bin: Vec<String>,
    /// Space- or comma-separated list of features to activate
    #[arg(short = 'F', long)]
    features: Vec<String>,
    /// Activate all available features
    #[arg(long)]
    all_features: bool,
    /// Do not activate the `default` feature
    #[arg(long)]
    no_default_features: bool,
    /// Build in release mode, with optimisations
    #[arg(short, long, conflicts_with = "profile")]
    release: bool,
    /// Build with the specified profile
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// How many actions may run at once; a negative number counts down from the number of cores
    #[arg(short, long, value_name = "N", allow_hyphen_values = true)]
    jobs: Option<i64>,
    /// Path to Cargo.toml
    #[arg(long, value_name = "PATH")]
    pub manifest_path: Option<PathBuf>,
    /// Say nothing but warnings and errors
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
    /// Say for each unit whether it was found or built
    #[arg(short, long)]
    verbose: bool,
    /// Assert that Cargo.lock stays as it is
    #[arg(long)]
    locked: bool,
    /// Do not access the network
    #[arg(long)]
    offline: bool,
    /// --locked and --offline
    #[arg(long)]
    frozen: bool,
}

impl BuildArgs {
    /// What to build, in cargo's terms. `manifest` is the one that was found.
    pub fn selection(&self, manifest: &std::path::Path) -> Selection {
        Selection {
            profile: match (&self.profile, self.release) {
                (Some(name), _) => ProfileChoice::Named(name.clone()),
                (None, true) => ProfileChoice::Release,
                (None, false) => ProfileChoice::Dev,
            },
            packages: self.package.clone(),
            workspace: self.workspace.then(|| Workspace { exclude: self.exclude.clone() }),
            targets: self.targets(),
            features: self.features.clone(),
            feature_defaults: match (self.all_features, self.no_default_features) {
                (false, false) => FeatureDefaults::Default,
                (false, true) => FeatureDefaults::NoDefault,
                (true, false) => FeatureDefaults::All,
                (true, true) => FeatureDefaults::AllNoDefault,
            },
            manifest_path: self.manifest_path.as_ref().map(|_| manifest.to_string_lossy().into_owned()),
            network: match (self.locked, self.offline) {
                _ if self.frozen => Network::Frozen,
                (true, true) => Network::Frozen,
                (true, false) => Network::Locked,
                (false, true) => Network::Offline,
                (false, false) => Network::Allowed,
            },
        }
    }

    fn targets(&self) -> Vec<TargetChoice> {
        let lib = self.lib.then_some(TargetChoice::Lib);
        let bins = self.bins.then_some(TargetChoice::Bins);
        lib.into_iter().chain(bins).chain(self.bin.iter().cloned().map(TargetChoice::Bin)).collect()
    }

    /// How much to say.
    pub fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        }
    }

    /// How many actions may run at once, or why that makes no sense.
    pub fn jobs(&self, cores: usize) -> Result<usize, String> {
        let signed = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        match self.jobs {
            None => Ok(cores),
            Some(0) => Err("jobs may not be 0".to_owned()),
            Some(jobs) if jobs < 0 => Ok(usize::try_from((signed(cores) + jobs).max(1)).unwrap_or(1)),
            Some(jobs) => Ok(usize::try_from(jobs).unwrap_or(cores)),
        }
    }
}
