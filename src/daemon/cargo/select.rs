//! The words that the person's selection becomes for cargo's own commands.

use std::path::PathBuf;

use super::config::{Config, ConfigError};

/// What the targets are wanted for: which of cargo's commands decides about units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Intent {
    #[default]
    Build,
    /// Only whether they compile.
    Check,
    /// Test programs, and what they need.
    Test,
    /// Benchmarks likewise.
    Bench,
    /// The documentation.
    Doc(Documentation),
}

/// What is documented beside the public items of what was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Documentation {
    /// `--no-deps`.
    pub no_deps: bool,
    pub private: PrivateItems,
}

/// `--document-private-items`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrivateItems {
    LeftOut,
    Documented,
}

/// What a word that needs a value has where none was given, which no argument can hold. cargo gets the bare
/// word then, and says what the value could be.
pub const NO_VALUE: &str = "\0";

/// Which profile is built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ProfileChoice {
    /// That of the word: `dev`, `test` or `bench`.
    #[default]
    Default,
    Release,
    Named(String),
}

/// How far cargo may go to get what it lacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Network {
    #[default]
    Allowed,
    /// `--locked`: the lock file must stand as it is.
    Locked,
    /// `--offline`: nothing is fetched.
    Offline,
    /// `--frozen`: both.
    Frozen,
}

impl Network {
    /// Whether nothing may be fetched.
    pub fn is_offline(self) -> bool {
        matches!(self, Network::Offline | Network::Frozen)
    }

    fn is_locked(self) -> bool {
        matches!(self, Network::Locked | Network::Frozen)
    }
}

/// What the person asked to build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    pub intent: Intent,
    pub profile: ProfileChoice,
    pub packages: Vec<String>,
    /// `--workspace`.
    pub workspace: Option<Workspace>,
    pub targets: Vec<TargetChoice>,
    pub features: Vec<String>,
    pub feature_defaults: FeatureDefaults,
    pub manifest_path: Option<String>,
    pub network: Network,
    /// `--target`.
    pub platforms: Vec<String>,
    /// `--target-dir`, from the person's folder.
    pub target_dir: Option<PathBuf>,
    pub rust_version: RustVersion,
    /// `--config`.
    pub config: Vec<String>,
    /// The words for clippy, where it lints the members.
    pub clippy: Option<Vec<String>>,
}

/// Whether packages may ask for a newer rustc.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RustVersion {
    #[default]
    Obeyed,
    /// `--ignore-rust-version`.
    Ignored,
}

/// `--workspace` with its `--exclude`s.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workspace {
    pub exclude: Vec<String>,
}

/// One of the target words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetChoice {
    Lib,
    Bins,
    Bin(String),
    Examples,
    Example(String),
    Tests,
    Test(String),
    Benches,
    Bench(String),
    /// `--all-targets`.
    All,
    /// All that test and may hold a test of some name: no examples, no documentation.
    NamedTests,
    /// `--doc`.
    Documentation,
}

/// `--all-features` and `--no-default-features`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FeatureDefaults {
    #[default]
    Default,
    NoDefault,
    All,
    /// Both words; cargo lets `all` win.
    AllNoDefault,
}

impl Selection {
    /// For `cargo build --unit-graph`, or the intent's command in place of `build`. Always offline: what is missing is fetched before, by the
    /// one command that has the network.
    pub fn graph_args(&self) -> Vec<String> {
        let mut args = Vec::new();
        match &self.profile {
            ProfileChoice::Default => {}
            ProfileChoice::Release => args.push("--release".to_owned()),
            ProfileChoice::Named(name) => args.push(format!("--profile={name}")),
        }
        args.extend(self.packages.iter().map(|spec| with_value("--package", spec)));
        if let Some(workspace) = &self.workspace {
            args.push("--workspace".to_owned());
            args.extend(workspace.exclude.iter().map(|spec| format!("--exclude={spec}")));
        }
        for target in self.targets.iter().filter(|target| **target != TargetChoice::NamedTests) {
            args.push(match target {
                TargetChoice::Lib => "--lib".to_owned(),
                TargetChoice::Bins => "--bins".to_owned(),
                TargetChoice::Bin(name) => with_value("--bin", name),
                TargetChoice::Examples => "--examples".to_owned(),
                TargetChoice::Example(name) => with_value("--example", name),
                TargetChoice::Tests => "--tests".to_owned(),
                TargetChoice::Test(name) => with_value("--test", name),
                TargetChoice::Benches => "--benches".to_owned(),
                TargetChoice::Bench(name) => with_value("--bench", name),
                TargetChoice::All => "--all-targets".to_owned(),
                TargetChoice::NamedTests => continue,
                TargetChoice::Documentation => "--doc".to_owned(),
            });
        }
        if let Intent::Doc(Documentation { no_deps: true, .. }) = self.intent {
            args.push("--no-deps".to_owned());
        }
        args.extend(self.platforms.iter().map(|triple| format!("--target={triple}")));
        if self.rust_version == RustVersion::Ignored {
            args.push("--ignore-rust-version".to_owned());
        }
        self.common_args(&mut args);
        // The name of a test: which one makes no other graph.
        args.extend(self.targets.contains(&TargetChoice::NamedTests).then(|| "_".to_owned()));
        args
    }

    /// The targets to build for, the configuration's where the words name none; nothing stands for
    /// the host.
    pub fn platforms(&self, config: &Config) -> Result<Vec<String>, ConfigError> {
        let platforms = if self.platforms.is_empty() { config.targets() } else { self.platforms.clone() };
        if platforms.iter().any(|triple| triple == NO_VALUE) {
            return Err(ConfigError::NoTargetNamed);
        }
        if platforms.iter().any(|triple| triple.trim().is_empty()) {
            return Err(ConfigError::NoTarget);
        }
        match platforms.iter().find(|triple| triple.ends_with(".json")) {
            Some(file) => Err(ConfigError::refused(
                "build.target",
                format!("or --target is the file `{file}`; vx builds for targets that rustc knows by name"),
            )),
            None => Ok(platforms),
        }
    }

    /// For `cargo metadata --format-version 1`: without the filter it wants packages of other
    /// platforms, which may never have been fetched.
    pub fn metadata_args(&self, host: &str, platforms: &[String]) -> Vec<String> {
        let platforms = platforms.iter().map(String::as_str).filter(|triple| *triple != host);
        let filter = |triple| format!("--filter-platform={triple}");
        let mut args: Vec<String> = std::iter::once(host).chain(platforms).map(filter).collect();
        self.common_args(&mut args);
        args
    }

    /// For `cargo fetch`, which may write the lock file unless told not to. All platforms'
    /// packages, or the next command misses the ones that dependencies on this platform name.
    pub fn fetch_args(&self) -> Vec<String> {
        let mut args = Vec::new();
        args.extend(self.manifest_path.iter().map(|path| format!("--manifest-path={path}")));
        args.extend(self.configuration());
        args.extend(match self.network {
            Network::Allowed => None,
            Network::Locked => Some("--locked".to_owned()),
            Network::Offline => Some("--offline".to_owned()),
            Network::Frozen => Some("--frozen".to_owned()),
        });
        args
    }

    /// For `cargo clean`, which is told what to clean behind these.
    pub fn errand_args(&self) -> Vec<String> {
        let mut args: Vec<String> = self.manifest_path.iter().map(|path| format!("--manifest-path={path}")).collect();
        args.extend(self.configuration());
        args.push("--offline".to_owned());
        args.extend(self.network.is_locked().then(|| "--locked".to_owned()));
        args
    }

    fn configuration(&self) -> impl Iterator<Item = String> {
        self.config.iter().map(|word| format!("--config={word}"))
    }

    fn common_args(&self, args: &mut Vec<String>) {
        args.extend(self.features.iter().map(|feature| format!("--features={feature}")));
        let (all, no_default) = match self.feature_defaults {
            FeatureDefaults::Default => (false, false),
            FeatureDefaults::NoDefault => (false, true),
            FeatureDefaults::All => (true, false),
            FeatureDefaults::AllNoDefault => (true, true),
        };
        args.extend(all.then(|| "--all-features".to_owned()));
        args.extend(no_default.then(|| "--no-default-features".to_owned()));
        args.extend(self.manifest_path.iter().map(|path| format!("--manifest-path={path}")));
        args.extend(self.configuration());
        args.push("--offline".to_owned());
        if self.network.is_locked() {
            args.push("--locked".to_owned());
        }
    }
}

/// A word for cargo, with its value where it has one.
pub fn with_value(word: &str, value: &str) -> String {
    if value == NO_VALUE { word.to_owned() } else { format!("{word}={value}") }
}

/// How cargo refuses words that ask for what is not there.
const ABOUT_WORDS: [&str; 13] = [
    " target named `",
    " target matches pattern `",
    " takes one argument.",
    " requires a SPEC format value",
    " did not match any packages",
    "package pattern(s) `",
    " looks like a file path",
    "` is not defined",
    "profile name `",
    " in profile name: ",
    " does not contain this feature",
    " packages contains this feature",
    "no library targets found in package",
];

/// Whether cargo's refusal is about its words, and nothing that could be fetched changes it.
pub fn is_about_words(said: &str) -> bool {
    ABOUT_WORDS.iter().any(|words| said.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_cargo() {
        let selection = Selection {
            intent: Intent::Test,
            profile: ProfileChoice::Named("fast".to_owned()),
            packages: vec!["a".to_owned()],
            workspace: Some(Workspace { exclude: vec!["b".to_owned()] }),
            targets: vec![TargetChoice::Bin("x".to_owned()), TargetChoice::Lib, TargetChoice::Tests],
            features: vec!["f g".to_owned()],
            feature_defaults: FeatureDefaults::NoDefault,
            manifest_path: Some("m/Cargo.toml".to_owned()),
            network: Network::Frozen,
            platforms: vec!["t".to_owned()],
            target_dir: None,
            rust_version: RustVersion::Ignored,
            config: vec!["build.jobs=1".to_owned()],
            clippy: None,
        };
        assert_eq!(
            selection.graph_args().join(" "),
            "--profile=fast --package=a --workspace --exclude=b --bin=x --lib --tests --target=t --ignore-rust-version --features=f g --no-default-features \
             --manifest-path=m/Cargo.toml --config=build.jobs=1 --offline --locked"
        );
        assert_eq!(
            selection.metadata_args("h", &["h".to_owned(), "t".to_owned()]).join(" "),
            "--filter-platform=h --filter-platform=t --features=f g --no-default-features --manifest-path=m/Cargo.toml --config=build.jobs=1 --offline --locked"
        );
        assert_eq!(selection.fetch_args().join(" "), "--manifest-path=m/Cargo.toml --config=build.jobs=1 --frozen");
        assert_eq!(Selection::default().graph_args(), ["--offline"]);
    }
}
