//! The clap tree itself, and what a command line that does not fit it is answered.

use std::ffi::OsString;

use clap::{Parser, Subcommand, error::ErrorKind};
use shared::{fault::exit, wire::text::Text};

use super::{AuditArgs, BenchArgs, BuildArgs, CleanArgs, ClippyArgs, DocArgs, FetchArgs, RunArgs, TestArgs, WhyArgs};

/// Builds Cargo workspaces through the services of this machine.
#[derive(Debug, Parser)]
#[command(name = "vx", version, arg_required_else_help = true, styles = STYLES)]
pub struct Words {
    #[command(subcommand)]
    word: Word,
}

/// What was asked for.
#[derive(Debug, Subcommand)]
pub enum Word {
    /// Compile the packages of a workspace and what they depend on
    #[command(visible_alias = "b")]
    Build(Box<BuildArgs>),
    /// Find the errors in the packages of a workspace without making programs of them
    #[command(visible_alias = "c")]
    Check(Box<BuildArgs>),
    /// Find errors as `check` does, and lint the members of the workspace with clippy
    Clippy(Box<ClippyArgs>),
    /// Compile a program of the workspace and run it
    #[command(visible_alias = "r")]
    Run(Box<RunArgs>),
    /// Compile the tests of a workspace and run them
    #[command(visible_alias = "t")]
    Test(Box<TestArgs>),
    /// Compile the benchmarks of a workspace and run them
    Bench(Box<BenchArgs>),
    /// Write the documentation of the packages of a workspace and of what they depend on
    #[command(visible_alias = "d")]
    Doc(Box<DocArgs>),
    /// Fetch what a workspace depends on
    Fetch(FetchArgs),
    /// Remove what was built in a workspace
    Clean(Box<CleanArgs>),
    /// Say why units of the last build were run, or that they were found
    Why(WhyArgs),
    /// Say what build scripts and macros opened, and what they tried and were refused
    Audit(AuditArgs),
    /// Ask whether the daemon is there
    Ping,
}

/// A command line that is answered at once.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// What to print.
    pub text: String,
    /// To standard output, as help is; else to standard error.
    pub on_stdout: bool,
    /// The exit code.
    pub exit: u8,
}

/// Words of cargo's: used wrongly they exit as cargo does.
const CARGO_WORDS: [&str; 14] =
    ["build", "b", "check", "c", "run", "r", "test", "t", "bench", "clippy", "doc", "d", "fetch", "clean"];

const STYLES: clap::builder::Styles = clap::builder::Styles::plain();

/// A `+toolchain` in front, and the word.
pub type Command = (Option<String>, Word);

/// Whether the words are just `ping`: asked often, and to be answered in less time than the tree
/// of all words takes to build.
pub fn is_ping(argv: &[Text]) -> bool {
    matches!(argv, [word] if word.0 == b"ping")
}

/// Reads the words after the program's name.
pub fn parse(argv: &[OsString]) -> Result<Command, Answer> {
    let plus = argv.first().and_then(|first| first.to_str()?.strip_prefix('+')).map(str::to_owned);
    let rest = &argv[usize::from(plus.is_some())..];
    let (front, rest) = rest.split_at(in_front(rest));
    let (word, rest) = rest.split_at(rest.len().min(1));
    let words = ["vx".into()].into_iter().chain([word, &kept(front, rest), rest].concat());
    let is_cargo_word = word.first().and_then(|word| word.to_str()).is_some_and(|word| CARGO_WORDS.contains(&word));
    match Words::try_parse_from(words) {
        Ok(words) => Ok((plus, words.word)),
        Err(err) => {
            let on_stdout = matches!(err.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            let exit = match () {
                () if on_stdout => exit::OK,
                // As cargo says it.
                () if is_cargo_word => exit::CARGO_USAGE,
                () => exit::USAGE,
            };
            Err(Answer { text: err.render().to_string(), on_stdout, exit })
        }
    }
}

/// How many words before the one that says what is to be done are options, with their values, which cargo
/// takes there too.
fn in_front(words: &[OsString]) -> usize {
    let mut count = 0;
    while let Some(word) = words.get(count).and_then(|word| word.to_str()) {
        let is_short = |word: &str| !word.is_empty() && word.chars().all(|letter| matches!(letter, 'q' | 'v'));
        count += match word {
            "--config" | "--color" => 2,
            "--quiet" | "--verbose" | "--locked" | "--offline" | "--frozen" => 1,
            _ if word.starts_with("--config=") || word.starts_with("--color=") => 1,
            _ if word.strip_prefix('-').is_some_and(is_short) => 1,
            _ => break,
        };
    }
    count.min(words.len())
}

/// Of the options in front those that are not said again behind the word, where they may stand once and win.
fn kept(front: &[OsString], rest: &[OsString]) -> Vec<OsString> {
    let again = |names: &[&str]| {
        let options = rest.iter().take_while(|word| *word != "--").filter_map(|word| word.to_str());
        options.map(|word| word.split_once('=').map_or(word, |(name, _)| name)).any(|word| names.contains(&word))
    };
    let mut kept = Vec::new();
    let mut words = front.iter();
    while let Some(word) = words.next() {
        let name = word.to_str().unwrap_or_default();
        let value = matches!(name, "--config" | "--color").then(|| words.next()).flatten();
        let is_again = match name {
            "-q" | "--quiet" => again(&["-q", "--quiet"]),
            "--locked" | "--offline" | "--frozen" => again(&[name]),
            _ => name.starts_with("--color") && again(&["--color"]),
        };
        kept.extend([Some(word), value].into_iter().flatten().filter(|_| !is_again).cloned());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> Answer {
        let argv: Vec<_> = line.split_whitespace().map(OsString::from).collect();
        parse(&argv).expect_err("these words are refused")
    }

    #[test]
    fn unknown_words_are_named() {
        let answer = refused("publish");
        assert!(answer.text.contains("'publish'"), "{}", answer.text);
        assert_eq!((answer.exit, answer.on_stdout), (exit::USAGE, false));
        for (line, nearest) in
            [("bild", "'build'"), ("build --relaese", "'--release'"), ("build --color alway", "'always'")]
        {
            let answer = refused(line);
            assert!(answer.text.contains(nearest), "{}", answer.text);
        }
        let answer = refused("build --timings");
        assert!(answer.text.contains("'--timings'"), "{}", answer.text);
        assert_eq!(answer.exit, exit::CARGO_USAGE);
    }

    #[test]
    fn help_goes_to_standard_output() {
        for line in ["--help", "help", "-h"] {
            let answer = refused(line);
            assert_eq!((answer.exit, answer.on_stdout), (exit::OK, true), "{line}");
            assert!(answer.text.contains("build") && answer.text.contains("ping"), "{line}");
        }
        let of_build = refused("help build");
        assert_eq!((of_build.exit, of_build.on_stdout), (exit::OK, true));
        assert!(of_build.text.contains("--message-format"), "{}", of_build.text);
        assert_eq!(of_build.text, refused("build --help").text);
        let unknown = refused("help bild");
        assert_eq!((unknown.exit, unknown.on_stdout), (exit::USAGE, false));
    }

    #[test]
    fn a_toolchain_may_stand_in_front() {
        let (plus, word) = parse(&["+nightly".into(), "build".into(), "-r".into()]).expect("good words");
        assert_eq!(plus.as_deref(), Some("nightly"));
        assert!(matches!(word, Word::Build(_)));
    }

    #[test]
    fn configuration_may_stand_in_front() {
        let words = |line: &str| {
            let argv: Vec<_> = line.split(' ').map(OsString::from).collect();
            match parse(&argv).expect("good words").1 {
                Word::Build(args) => args.request(crate::cargo::select::Intent::Build).common.manifest.config,
                _ => Vec::new(),
            }
        };
        assert_eq!(words("+nightly --config a=1 --config=b=2 build --config c=3"), ["a=1", "b=2", "c=3"]);
        let request = |line: &str| {
            let argv: Vec<_> = line.split(' ').map(OsString::from).collect();
            match parse(&argv).expect("good words").1 {
                Word::Build(args) => args.request(crate::cargo::select::Intent::Build).common,
                _ => Default::default(),
            }
        };
        let common = request("-vq --color always --locked build -v --color=never --locked");
        assert_eq!((common.output.verbose, common.output.quiet), (2, true));
        assert_eq!(common.output.color.as_deref(), Some("never"));
        assert_eq!(common.manifest.network(), crate::cargo::select::Network::Locked);
        assert!(request("--quiet build -q").output.quiet);
        for (line, exit) in
            [("--config a=1 ping", exit::USAGE), ("--config", exit::USAGE), ("--config a=1", exit::USAGE)]
        {
            let answer = refused(line);
            assert!(answer.text.contains("--config"), "{line}: {}", answer.text);
            assert_eq!(answer.exit, exit, "{line}");
        }
    }
}
