//! The flags that several words share, in cargo's own groups: which packages, features and profile,
//! where the manifest is, how far cargo may go and how it is configured, what is said. Each word flattens those it takes;
//! target words differ from word to word and stand in `targets`.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, ValueHint};

use crate::{
    cargo::{
        messages::{Format, JsonDiagnostics, Messages, Rendering},
        select::{FeatureDefaults, NO_VALUE, Network, ProfileChoice, RustVersion, Workspace},
    },
    graph::AfterFailure,
};

/// The values of `--message-format`.
const FORMATS: [&str; 6] =
    ["human", "short", "json", "json-diagnostic-short", "json-diagnostic-rendered-ansi", "json-render-diagnostics"];
const JSON: Format = Format { rendering: Rendering::Full, messages: Messages::Json(JsonDiagnostics::Plain) };
const TWO_FORMATS: &str = "cannot specify two kinds of `message-format` arguments";

/// Which packages.
#[derive(Debug, Clone, Default, Args)]
pub struct PackageArgs {
    /// Only this package (see `cargo help pkgid`)
    #[arg(short, long, value_name = "SPEC", num_args = 0..=1, default_missing_value = NO_VALUE, value_hint = ValueHint::Other)]
    pub package: Vec<String>,
    /// All packages of the workspace
    #[arg(long, visible_alias = "all")]
    workspace: bool,
    /// Exclude packages
    #[arg(long, value_name = "SPEC", value_hint = ValueHint::Other)]
    exclude: Vec<String>,
}

impl PackageArgs {
    /// This package alone.
    pub fn only(package: Option<String>) -> Self {
        PackageArgs { package: package.into_iter().collect(), ..PackageArgs::default() }
    }

    /// Whether the words go together, or cargo's words about that.
    pub fn check(&self) -> Result<(), String> {
        match self.workspace || self.exclude.is_empty() {
            true => Ok(()),
            false => Err("--exclude can only be used together with --workspace".to_owned()),
        }
    }

    /// `--workspace` with its `--exclude`s.
    pub fn workspace(&self) -> Option<Workspace> {
        self.workspace.then(|| Workspace { exclude: self.exclude.clone() })
    }
}

/// Which features.
#[derive(Debug, Clone, Default, Args)]
pub struct FeatureArgs {
    /// Space- or comma-separated list of features to activate
    #[arg(short = 'F', long, value_hint = ValueHint::Other)]
    pub features: Vec<String>,
    /// Activate all available features
    #[arg(long)]
    all_features: bool,
    /// Do not activate the `default` feature
    #[arg(long)]
    no_default_features: bool,
}

impl FeatureArgs {
    /// `--all-features` and `--no-default-features`.
    pub fn defaults(&self) -> FeatureDefaults {
        match (self.all_features, self.no_default_features) {
            (false, false) => FeatureDefaults::Default,
            (false, true) => FeatureDefaults::NoDefault,
            (true, false) => FeatureDefaults::All,
            (true, true) => FeatureDefaults::AllNoDefault,
        }
    }
}

/// What every word that builds takes.
#[derive(Debug, Clone, Default, Args)]
pub struct CommonArgs {
    #[command(flatten)]
    pub features: FeatureArgs,
    #[command(flatten)]
    pub platform: PlatformArgs,
    #[command(flatten)]
    pub jobs: JobArgs,
    #[command(flatten)]
    pub manifest: ManifestArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

impl CommonArgs {
    /// What a word that builds nothing has of it.
    pub fn of(manifest: &ManifestArgs, term: &TermArgs) -> Self {
        CommonArgs { manifest: manifest.clone(), output: term.clone().into(), ..CommonArgs::default() }
    }
}

/// Which profile.
#[derive(Debug, Clone, Default, Args)]
pub struct ProfileArgs {
    /// In release mode, with optimisations
    #[arg(short, long, conflicts_with = "profile")]
    release: bool,
    /// With the specified profile
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Other)]
    profile: Option<String>,
}

impl ProfileArgs {
    /// That of this name.
    pub fn named(profile: Option<String>) -> Self {
        ProfileArgs { release: false, profile }
    }

    /// What was chosen.
    pub fn choice(&self) -> ProfileChoice {
        match (&self.profile, self.release) {
            (Some(name), _) => ProfileChoice::Named(name.clone()),
            (None, true) => ProfileChoice::Release,
            (None, false) => ProfileChoice::Default,
        }
    }
}

/// Where the manifest is, how far cargo may go and how it is configured.
#[derive(Debug, Clone, Default, Args)]
pub struct ManifestArgs {
    /// Path to Cargo.toml
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub manifest_path: Option<PathBuf>,
    /// Assert that Cargo.lock stays as it is
    #[arg(long)]
    locked: bool,
    /// Do not access the network
    #[arg(long)]
    offline: bool,
    /// --locked and --offline
    #[arg(long)]
    frozen: bool,
    /// Override a configuration value
    #[arg(long, value_name = "KEY=VALUE|PATH", value_hint = ValueHint::Other)]
    pub config: Vec<String>,
}

impl ManifestArgs {
    /// How far cargo may go to get what it lacks.
    pub fn network(&self) -> Network {
        match (self.locked, self.offline) {
            _ if self.frozen => Network::Frozen,
            (true, true) => Network::Frozen,
            (true, false) => Network::Locked,
            (false, true) => Network::Offline,
            (false, false) => Network::Allowed,
        }
    }

    /// `--manifest-path` for cargo, where the person gave one; `found` is the manifest that it is.
    pub fn for_cargo(&self, found: &Path) -> Option<String> {
        self.manifest_path.as_ref().map(|_| found.to_string_lossy().into_owned())
    }
}

/// For which targets, and where outputs go.
#[derive(Debug, Clone, Default, Args)]
pub struct PlatformArgs {
    /// For the target triple
    #[arg(long = "target", value_name = "TRIPLE", num_args = 0..=1, default_missing_value = NO_VALUE, value_hint = ValueHint::Other)]
    pub platforms: Vec<String>,
    /// Directory for all generated artifacts
    #[arg(long, value_name = "DIRECTORY", value_hint = ValueHint::DirPath)]
    pub target_dir: Option<PathBuf>,
    /// Ignore `rust-version` specification in packages
    #[arg(long)]
    ignore_rust_version: bool,
}

impl PlatformArgs {
    /// Whether packages may ask for a newer rustc.
    pub fn rust_version(&self) -> RustVersion {
        if self.ignore_rust_version { RustVersion::Ignored } else { RustVersion::Obeyed }
    }
}

/// How many actions at once.
#[derive(Debug, Clone, Default, Args)]
pub struct JobArgs {
    /// How many actions may run at once; a negative number counts down from the number of cores
    #[arg(short, long, value_name = "N", allow_hyphen_values = true, value_hint = ValueHint::Other)]
    jobs: Option<String>,
}

impl JobArgs {
    /// How many actions may run at once, the configuration's number where the words have none; or why
    /// that makes no sense.
    pub fn jobs(&self, configured: Option<&str>, cores: usize) -> Result<usize, String> {
        let signed = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        let chosen = self.jobs.as_deref().or(configured);
        let parsed = chosen.filter(|jobs| *jobs != "default").map(|jobs| jobs.parse::<i32>().map_err(|_| jobs));
        let wrong =
            |jobs| format!("could not parse `{jobs}`. Number of parallel jobs should be `default` or a number.");
        match parsed.transpose().map_err(wrong)? {
            None => Ok(cores),
            Some(0) => Err("jobs may not be 0".to_owned()),
            Some(jobs) if jobs < 0 => Ok(usize::try_from((signed(cores) + jobs).max(1)).unwrap_or(1)),
            Some(jobs) => Ok(usize::try_from(jobs).unwrap_or(cores)),
        }
    }
}

/// What happens to the others when something fails.
#[derive(Debug, Clone, Default, Args)]
pub struct FailureArgs {
    /// Build everything that does not need what failed
    #[arg(long)]
    keep_going: bool,
}

impl FailureArgs {
    /// What was chosen.
    pub fn after_failure(&self) -> AfterFailure {
        if self.keep_going { AfterFailure::GoOn } else { AfterFailure::Stop }
    }
}

/// What is said, and how.
#[derive(Debug, Clone, Default, Args)]
pub struct OutputArgs {
    /// Form of messages
    #[arg(long, value_name = "FMT", value_delimiter = ',', ignore_case = true, value_parser = FORMATS)]
    message_format: Vec<String>,
    /// Say nothing but warnings and errors
    #[arg(short, long)]
    pub quiet: bool,
    /// Say for each unit whether it was found or built; twice: show what build scripts print
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Colours in what is said
    #[arg(long, value_name = "WHEN", ignore_case = true, value_parser = ["auto", "always", "never"])]
    pub color: Option<String>,
}

/// What of it a word without messages has.
#[derive(Debug, Clone, Default, Args)]
pub struct TermArgs {
    /// Say nothing but warnings and errors
    #[arg(short, long)]
    quiet: bool,
    /// Say more
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
    /// Colours in what is said
    #[arg(long, value_name = "WHEN", ignore_case = true, value_parser = ["auto", "always", "never"])]
    color: Option<String>,
}

impl TermArgs {
    /// The same for cargo.
    pub fn for_cargo(&self) -> Vec<String> {
        let mut words: Vec<String> = (0..self.verbose.min(2)).map(|_| "--verbose".to_owned()).collect();
        words.extend(self.quiet.then(|| "--quiet".to_owned()));
        words.extend(self.color.iter().map(|when| format!("--color={when}")));
        words
    }
}

impl From<TermArgs> for OutputArgs {
    fn from(TermArgs { quiet, verbose, color }: TermArgs) -> Self {
        OutputArgs { message_format: Vec::new(), quiet, verbose, color }
    }
}

impl OutputArgs {
    /// The form of messages, or cargo's words about two that exclude each other.
    pub fn format(&self) -> Result<Format, String> {
        let mut chosen: Option<Format> = None;
        for word in &self.message_format {
            let word = word.to_ascii_lowercase();
            if let Some(detail) = word.strip_prefix("json-") {
                let format = chosen.get_or_insert(JSON);
                let Messages::Json(diagnostics) = &mut format.messages else { return Err(TWO_FORMATS.to_owned()) };
                match detail {
                    "diagnostic-short" => format.rendering = Rendering::Short,
                    "render-diagnostics" => *diagnostics = JsonDiagnostics::Rendered,
                    // Who reads them on a terminal gets the colours there.
                    _ if *diagnostics == JsonDiagnostics::Plain => *diagnostics = JsonDiagnostics::Ansi,
                    _ => {}
                }
                continue;
            }
            if chosen.is_some() {
                return Err(TWO_FORMATS.to_owned());
            }
            chosen = Some(match word.as_str() {
                "json" => JSON,
                "short" => Format { rendering: Rendering::Short, messages: Messages::Human },
                _ => Format::default(),
            });
        }
        Ok(chosen.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        jobs: JobArgs,
    }

    #[test]
    fn words_about_jobs_stand_above_configuration() {
        let jobs = |words: &[&str], configured: Option<&str>| {
            let line = Line::parse_from(["vx"].iter().chain(words));
            line.jobs.jobs(configured, 4)
        };
        assert_eq!(jobs(&[], None), Ok(4));
        assert_eq!(jobs(&[], Some("2")), Ok(2));
        assert_eq!(jobs(&["-j3"], Some("2")), Ok(3));
        assert_eq!(jobs(&["-j", "default"], Some("2")), Ok(4));
        assert_eq!(jobs(&[], Some("-1")), Ok(3));
        assert_eq!(jobs(&["-j", "-9"], None), Ok(1));
        assert_eq!(jobs(&[], Some("0")), Err("jobs may not be 0".to_owned()));
        let wrong = "could not parse `x`. Number of parallel jobs should be `default` or a number.";
        assert_eq!(jobs(&[], Some("x")), Err(wrong.to_owned()));
        assert!(jobs(&["-j", "99999999999"], None).is_err());
    }

    #[test]
    fn forms_of_messages_add_up_or_exclude_each_other() {
        let format = |words: &str| Line::parse_from(["vx", "--message-format", words]).output.format();
        let json = |rendering, diagnostics| Ok(Format { rendering, messages: Messages::Json(diagnostics) });
        assert_eq!(format("human"), Ok(Format::default()));
        assert_eq!(format("Short"), Ok(Format { rendering: Rendering::Short, messages: Messages::Human }));
        assert_eq!(format("json"), json(Rendering::Full, JsonDiagnostics::Plain));
        assert_eq!(format("json-diagnostic-short"), json(Rendering::Short, JsonDiagnostics::Plain));
        assert_eq!(
            format("json,json-diagnostic-short,json-diagnostic-rendered-ansi"),
            json(Rendering::Short, JsonDiagnostics::Ansi)
        );
        assert_eq!(
            format("json-render-diagnostics,json-diagnostic-rendered-ansi"),
            json(Rendering::Full, JsonDiagnostics::Rendered)
        );
        for wrong in ["json,short", "human,json-render-diagnostics", "json,json"] {
            assert_eq!(format(wrong), Err(TWO_FORMATS.to_owned()), "{wrong}");
        }
    }
}
