//! What one session's output looks like: colours, how much is said, progress, the form of
//! messages. Words on the command line stand above cargo's configuration, that above the terminal.

use std::collections::BTreeMap;

use crate::{
    cargo::{
        config::Config,
        diagnostics::Verbosity,
        messages::Format,
        term::{Future, Term, When},
    },
    cli::groups::OutputArgs,
    output::Colour,
};

/// One session's choices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    pub colour: Colour,
    pub verbosity: Verbosity,
    pub format: Format,
    pub progress: Progress,
    pub future: Future,
}

/// Whether what runs now is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Never,
    /// In so many columns, where the person says so; else in the terminal's.
    Shown {
        columns: Option<usize>,
    },
}

/// What standard error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    Terminal,
    Other,
}

impl Surface {
    /// A terminal where there is one.
    pub fn of<T>(terminal: Option<T>) -> Self {
        if terminal.is_some() { Surface::Terminal } else { Surface::Other }
    }
}

impl Look {
    /// Resolves the choices, or says in cargo's words why they make no sense.
    pub fn resolve(
        args: &OutputArgs,
        config: &Config,
        environment: &BTreeMap<String, String>,
        surface: Surface,
    ) -> Result<Self, String> {
        let term = config.term();
        let verbosity = verbosity(args, &term)?;
        let color = args.color.as_deref().or(term.color.as_deref());
        let colour = colour(color, environment, surface)?;
        let is_set = |name: &str| environment.contains_key(name);
        let is_dumb = environment.get("TERM").is_some_and(|term| term == "dumb");
        let progress = match term.progress {
            When::Never => Progress::Never,
            When::Auto if verbosity == Verbosity::Quiet || is_dumb || is_set("CI") || is_set("TF_BUILD") => {
                Progress::Never
            }
            _ => Progress::Shown { columns: term.width },
        };
        Ok(Look { colour, verbosity, format: args.format()?, progress, future: config.future() })
    }
}

fn verbosity(args: &OutputArgs, term: &Term) -> Result<Verbosity, String> {
    match (args.verbose, args.quiet) {
        (1.., true) => Err("cannot set both --verbose and --quiet".to_owned()),
        (2.., false) => Ok(Verbosity::VeryVerbose),
        (1, false) => Ok(Verbosity::Verbose),
        (0, true) => Ok(Verbosity::Quiet),
        (0, false) => match (term.verbose, term.quiet) {
            (Some(true), Some(true)) => Err("cannot set both `term.verbose` and `term.quiet`".to_owned()),
            (Some(true), _) => Ok(Verbosity::Verbose),
            (_, Some(true)) => Ok(Verbosity::Quiet),
            _ => Ok(Verbosity::Normal),
        },
    }
}

/// cargo's rules: what is chosen; else NO_COLOR, CLICOLOR_FORCE, CLICOLOR; else whether it is a
/// terminal that shows them.
pub fn colour(
    chosen: Option<&str>,
    environment: &BTreeMap<String, String>,
    surface: Surface,
) -> Result<Colour, String> {
    match chosen {
        Some("always") => return Ok(Colour::Always),
        Some("never") => return Ok(Colour::Never),
        Some("auto") | None => {}
        Some(other) => {
            return Err(format!("argument for --color must be auto, always, or never, but found `{other}`"));
        }
    }
    let value = |name: &str| environment.get(name).map(String::as_str);
    let clicolor = value("CLICOLOR").map(|value| value != "0");
    let is_able = value("TERM").is_some_and(|term| term != "dumb") || clicolor == Some(true) || value("CI").is_some();
    let wanted = match () {
        () if value("NO_COLOR").is_some_and(|value| !value.is_empty()) => false,
        () if value("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
        () if clicolor == Some(false) => false,
        () => surface == Surface::Terminal && is_able,
    };
    Ok(if wanted { Colour::Always } else { Colour::Never })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;

    use super::*;
    use crate::cargo::files::Disk;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: OutputArgs,
    }

    fn look(line: &str, file: &str, variables: &[(&str, &str)], has_terminal: bool) -> Result<Look, String> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join(".cargo")).expect("a folder");
        std::fs::write(folder.path().join(".cargo/config.toml"), file).expect("a file");
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let config = Config::load(&Disk::default(), folder.path(), Path::new("/nowhere"), &environment, &[]);
        let words = ["vx"].into_iter().chain(line.split_whitespace());
        let Line { args } = Line::parse_from(words);
        Look::resolve(
            &args,
            &config.expect("good configuration"),
            &environment,
            Surface::of(has_terminal.then_some(())),
        )
    }

    #[test]
    fn words_stand_above_configuration_above_the_terminal() {
        let colour = |line: &str, file: &str, variables: &[(&str, &str)], tty: bool| {
            look(line, file, variables, tty).map(|look| look.colour == Colour::Always)
        };
        let xterm = ("TERM", "xterm");
        type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], bool, bool);
        let cases: [Case<'_>; 12] = [
            ("", "", &[xterm], true, true),
            ("", "", &[xterm], false, false),
            ("", "", &[("TERM", "dumb")], true, false),
            ("", "", &[], true, false),
            ("", "", &[xterm, ("NO_COLOR", "1")], true, false),
            ("", "", &[xterm, ("NO_COLOR", "")], true, true),
            ("", "", &[("CLICOLOR_FORCE", "1")], false, true),
            ("", "", &[xterm, ("CLICOLOR", "0")], true, false),
            ("", "[term]\ncolor = \"always\"\n", &[("NO_COLOR", "1")], false, true),
            ("", "[term]\ncolor = \"always\"\n", &[xterm, ("CARGO_TERM_COLOR", "never")], true, false),
            ("--color never", "[term]\ncolor = \"always\"\n", &[xterm], true, false),
            ("--color auto", "[term]\ncolor = \"always\"\n", &[], false, false),
        ];
        for (line, file, variables, tty, wanted) in cases {
            assert_eq!(colour(line, file, variables, tty), Ok(wanted), "{line} {file} {variables:?}");
        }
        let wrong = colour("", "", &[("CARGO_TERM_COLOR", "blah")], true).expect_err("no such choice");
        assert_eq!(wrong, "argument for --color must be auto, always, or never, but found `blah`");
    }

    #[test]
    fn how_much_is_said() {
        let verbosity = |line: &str, file: &str| look(line, file, &[], true).map(|look| look.verbosity);
        assert_eq!(verbosity("", ""), Ok(Verbosity::Normal));
        assert_eq!(verbosity("-v", "[term]\nquiet = true\n"), Ok(Verbosity::Verbose));
        assert_eq!(verbosity("-vv", ""), Ok(Verbosity::VeryVerbose));
        assert_eq!(verbosity("", "[term]\nquiet = true\n"), Ok(Verbosity::Quiet));
        assert_eq!(verbosity("", "[term]\nverbose = true\n"), Ok(Verbosity::Verbose));
        assert_eq!(verbosity("-q -v", ""), Err("cannot set both --verbose and --quiet".to_owned()));
        assert!(verbosity("", "[term]\nquiet = true\nverbose = true\n").is_err());
        let quiet = look("", "", &[("CARGO_TERM_QUIET", "true")], true).map(|look| look.verbosity);
        assert_eq!(quiet, Ok(Verbosity::Quiet));
    }

    #[test]
    fn where_progress_is_shown() {
        let progress = |line: &str, file: &str, variables: &[(&str, &str)]| {
            look(line, file, variables, true).expect("good words").progress
        };
        let shown = Progress::Shown { columns: None };
        assert_eq!(progress("", "", &[("TERM", "xterm")]), shown);
        assert_eq!(progress("-q", "", &[]), Progress::Never);
        assert_eq!(progress("", "", &[("TERM", "dumb")]), Progress::Never);
        assert_eq!(progress("", "", &[("CI", "true")]), Progress::Never);
        assert_eq!(progress("", "[term.progress]\nwhen = \"never\"\n", &[]), Progress::Never);
        let always = "[term.progress]\nwhen = \"always\"\nwidth = 60\n";
        assert_eq!(progress("-q", always, &[("CI", "1")]), Progress::Shown { columns: Some(60) });
        assert_eq!(progress("", "", &[("CARGO_TERM_PROGRESS_WHEN", "never")]), Progress::Never);
    }
}
