//! What rustc says on its standard error becomes what the person reads: rendered messages with
//! the person's own paths, each shown once a session, and cargo's closing lines with its counts.

use std::{
    collections::HashSet,
    fmt::Write as _,
    hash::{DefaultHasher, Hash, Hasher},
};

use super::{
    closure,
    directives::{Directives, Severity},
    lines::{Diagnostic, Line, read_line},
    messages::{self, Fresh, JsonDiagnostics, Messages},
    mounts::Mounts,
    package::Package,
    place,
    plan::{Kind, Plan, Unit},
    unshown,
};

/// Whether the person's terminal takes colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    On,
    Off,
}

/// How much the person wants to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    Quiet,
    Normal,
    Verbose,
    VeryVerbose,
}

/// What the person reads, or a program at the other end.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// For standard output.
    pub out: String,
    /// For standard output, once the files that it names are there.
    pub placed: String,
    /// For standard error.
    pub err: String,
    /// The package, where a future rustc will reject what this one has compiled.
    pub rejected: Option<String>,
}

/// How a call ended, for the line about a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Succeeded(Fresh),
    /// `exit status: 101`, `signal: 9, SIGKILL: kill`.
    Failed(String),
}

/// The voice of one session: remembers what has been shown.
#[derive(Debug)]
pub struct Voice {
    colour: Colour,
    verbosity: Verbosity,
    messages: Messages,
    shown: HashSet<u64>,
}

#[derive(Default)]
struct Tally {
    warnings: usize,
    duplicates: usize,
    fixable: usize,
    /// As the failure's line counts them, duplicates and reports included.
    all_warnings: usize,
    errors: usize,
}

impl Tally {
    fn count(&mut self, level: &str) {
        self.all_warnings += usize::from(level == "warning");
        self.errors += usize::from(level == "error");
    }
}

impl Voice {
    pub fn new(colour: Colour, verbosity: Verbosity, messages: Messages) -> Self {
        Voice { colour, verbosity, messages, shown: HashSet::new() }
    }

    /// A warning of vx's own.
    pub fn warning(&self, text: &str) -> Words {
        let mut words = Words::default();
        self.report("warning", text, &mut words.err);
        words
    }

    /// All that a finished compiler call has to say, closing lines included; the same for a run
    /// and for a hit. Empty when there is nothing to show.
    pub fn compiled(&mut self, plan: &Plan, unit: &Unit, stderr: &str, end: &End) -> Words {
        let mut words = Words::default();
        let mut tally = Tally::default();
        let mut outside = None;
        for line in stderr.lines() {
            match read_line(line) {
                Line::Diagnostic(diagnostic) => {
                    outside = outside.or_else(|| unshown::named(plan, plan.package(unit), &diagnostic.rendered));
                    match self.messages {
                        Messages::Json(kind @ (JsonDiagnostics::Plain | JsonDiagnostics::Ansi)) => {
                            tally.count(&diagnostic.level);
                            let raw = messages::map_texts(line, |text| plan.shown(text));
                            words.out.push_str(&messages::compiler_message(plan, unit, &raw, kind));
                        }
                        _ => self.diagnostic(&plan.mounts, diagnostic, &mut tally, &mut words.err),
                    }
                }
                Line::Text(text) => self.line(&plan.shown(&text), &mut words.err),
                Line::FutureIncompat { warnings, errors } => {
                    tally.all_warnings += warnings;
                    tally.errors += errors;
                    words.rejected = Some(plan.package(unit).described());
                }
                Line::Artifact { .. } | Line::Summary => {}
            }
        }
        self.close(plan, unit, end, &tally, outside, &mut words.err);
        if let (End::Succeeded(fresh), Messages::Json(_), true) = (end, self.messages, unit.kind != Kind::DocMerge) {
            let stream = if place::is_placed(unit) { &mut words.placed } else { &mut words.out };
            stream.push_str(&messages::artifact(plan, unit, *fresh));
        }
        words
    }

    /// The lines behind the diagnostics.
    fn close(&self, plan: &Plan, unit: &Unit, end: &End, tally: &Tally, outside: Option<String>, out: &mut String) {
        let package = plan.package(unit);
        if tally.warnings > 0 && self.verbosity > Verbosity::Quiet {
            self.report("warning", &generated(plan, unit, tally), out);
        }
        if let Some(path) = outside.filter(|_| !matches!(end, End::Succeeded(_))) {
            let text = unshown::note(package, &path);
            self.report("note", &text, out);
        }
        if let End::Failed(how) = end {
            if unit.is_doc() {
                self.report("error", &not_documented(package, how), out);
                return;
            }
            let mut text = format!("could not compile {}", named(package, unit));
            text.push_str(&counted(" due to ", tally.errors, "previous error", ""));
            text.push_str(&counted("; ", tally.all_warnings, "warning", " emitted"));
            if tally.errors == 0 {
                let _ = write!(text, "\n\nCaused by:\n  process didn't exit successfully: `rustc` ({how})");
            }
            self.report("error", &text, out);
        }
    }

    /// What a script prints, for those who want to read all.
    pub fn streams(&self, plan: &Plan, unit: &Unit, stdout: &str, stderr: &str) -> Words {
        let package = plan.package(unit);
        let prefixed = |stream: &str| match self.verbosity {
            Verbosity::VeryVerbose => {
                let line = |line: &str| format!("[{} {}] {}\n", package.name, package.version, plan.shown(line));
                stream.lines().map(line).collect()
            }
            _ => String::new(),
        };
        Words { out: prefixed(stdout), err: prefixed(stderr), ..Words::default() }
    }

    /// What a script run that went well has to say.
    pub fn scripted(&self, plan: &Plan, unit: &Unit, said: &Directives) -> Words {
        let mut words = Words::default();
        let package = plan.package(unit);
        if package.source.is_path() {
            self.script_messages(plan, package, &said.messages, &mut words.err);
        }
        if matches!(self.messages, Messages::Json(_)) {
            words.placed = messages::build_script(plan, unit, said);
        }
        words
    }

    /// What one that failed has to say: its messages, and why.
    pub fn script_failed(&self, plan: &Plan, unit: &Unit, said: &[(Severity, String)], failure: &Failure<'_>) -> Words {
        let mut out = String::new();
        let package = plan.package(unit);
        self.script_messages(plan, package, said, &mut out);
        let has_errors = said.iter().any(|(severity, _)| *severity == Severity::Error);
        match failure {
            // A script that says an error has failed, although it ended well.
            Failure::Ended { how: "exit status: 0", .. } if has_errors => {
                self.report("error", "build script logged errors", &mut out);
            }
            Failure::Said(why) => self.report("error", &plan.shown(why), &mut out),
            Failure::Ended { how, stdout, stderr, backtrace } => {
                let mut text = format!("failed to run custom build command for `{}`", package.described());
                text.push_str(&traced(plan, unit, *backtrace));
                text.push_str("\n\nCaused by:\n");
                let program = plan.shown(&closure::program_of_run(plan, unit));
                let _ = write!(text, "  process didn't exit successfully: `{program}` ({how})");
                let mut blank = "";
                for (name, stream) in [("stdout", stdout), ("stderr", stderr)] {
                    if !stream.trim_end().is_empty() {
                        let _ = write!(text, "{blank}\n  --- {name}");
                        blank = "\n";
                        for line in plan.shown(stream.trim_end()).lines() {
                            let indent = if line.is_empty() { "" } else { "  " };
                            let _ = write!(text, "\n{indent}{line}");
                        }
                    }
                }
                self.report("error", &text, &mut out);
            }
        }
        Words { err: out, ..Words::default() }
    }

    fn script_messages(&self, plan: &Plan, package: &Package, said: &[(Severity, String)], out: &mut String) {
        for (severity, text) in said {
            let text = format!("{}@{}: {}", package.name, package.version, plan.shown(text));
            match severity {
                Severity::Error => self.report("error", &text, out),
                Severity::Warning if self.verbosity > Verbosity::Quiet => self.report("warning", &text, out),
                Severity::Warning => {}
            }
        }
    }

    /// `warning: TEXT` or `error: TEXT` in cargo's colours.
    pub fn report(&self, level: &str, text: &str, out: &mut String) {
        let colour = match level {
            "error" => "91",
            "note" => "92",
            _ => "33",
        };
        let line = format!("\u{1b}[1m\u{1b}[{colour}m{level}\u{1b}[0m: {text}");
        self.line(&line, out);
    }

    fn diagnostic(&mut self, mounts: &Mounts, diagnostic: Diagnostic, tally: &mut Tally, out: &mut String) {
        let mut hasher = DefaultHasher::new();
        diagnostic.rendered.hash(&mut hasher);
        let is_new = self.shown.insert(hasher.finish());
        tally.count(&diagnostic.level);
        if diagnostic.level == "warning" {
            tally.warnings += 1;
            tally.duplicates += usize::from(!is_new);
            tally.fixable += usize::from(is_new && diagnostic.is_fixable);
        }
        if is_new {
            self.line(&mounts.to_shown(&diagnostic.rendered), out);
        }
    }

    fn line(&self, text: &str, out: &mut String) {
        match self.colour {
            Colour::On => out.push_str(text),
            Colour::Off => out.push_str(&anstream::adapter::strip_str(text).to_string()),
        }
        out.push('\n');
    }
}

/// Why a script run counts as failed.
#[derive(Debug)]
pub enum Failure<'a> {
    /// What it printed is refused.
    Said(&'a str),
    Ended {
        how: &'a str,
        stdout: &'a str,
        stderr: &'a str,
        /// The person's RUST_BACKTRACE.
        backtrace: Option<&'a str>,
    },
}

/// What cargo tells who wants backtraces where the script has no debug information for them.
fn traced(plan: &Plan, run: &Unit, backtrace: Option<&str>) -> String {
    let mut units = run.dependencies.iter().map(|one| plan.unit(one.unit));
    let compiled = units.find(|unit| unit.kind == Kind::BuildScriptCompile);
    let has_none = compiled.is_none_or(|unit| unit.profile.debuginfo.flag().is_none());
    if !has_none || backtrace.is_none_or(|value| value == "0") {
        return String::new();
    }
    let profile = run.profile.name.to_uppercase();
    format!(
        "\nnote: To improve backtraces for build dependencies, set the CARGO_PROFILE_{profile}_BUILD_OVERRIDE_DEBUG=true \
         environment variable to enable debug information generation."
    )
}

/// How rustdoc ended cargo says only where that was not its own wish.
fn not_documented(package: &Package, how: &str) -> String {
    let cause = match how.starts_with("signal") {
        true => format!("\n\nCaused by:\n  process didn't exit successfully: `rustdoc` ({how})"),
        false => String::new(),
    };
    format!("could not document `{}`{cause}", package.name)
}

/// cargo's name of a unit in messages: `` `pkg` (bin "x") ``.
pub fn named(package: &Package, unit: &Unit) -> String {
    format!("`{}` ({})", package.name, unit.described())
}

fn generated(plan: &Plan, unit: &Unit, tally: &Tally) -> String {
    let package = plan.package(unit);
    let mut text = format!("{} generated", named(package, unit));
    text.push_str(&counted(" ", tally.warnings, "warning", ""));
    text.push_str(&counted(" (", tally.duplicates, "duplicate", ")"));
    let can_fix = package.source.is_path() && unit.kind != Kind::BuildScriptCompile;
    if can_fix && tally.errors == 0 && tally.fixable > 0 {
        let tests = if unit.is_test_of_other() { " --tests" } else { "" };
        let (fix, words) = match &plan.clippy {
            Some(clippy) => ("clippy --fix", clippy.advice()),
            None => ("fix", String::new()),
        };
        let command = format!("cargo {fix} --{} -p {}{tests}{words}", unit.target.described(), package.name);
        let _ = write!(text, " (run `{command}` to apply");
        text.push_str(&counted(" ", tally.fixable, "suggestion", ")"));
    }
    text
}

/// `LEAD2 thingsTAIL`, with its singular, or nothing for none.
fn counted(lead: &str, count: usize, thing: &str, tail: &str) -> String {
    match count {
        0 => String::new(),
        1 => format!("{lead}1 {thing}{tail}"),
        count => format!("{lead}{count} {thing}s{tail}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_singulars() {
        assert_eq!(counted(" (", 0, "duplicate", ")"), "");
        assert_eq!(counted(" (", 1, "duplicate", ")"), " (1 duplicate)");
        assert_eq!(counted("; ", 2, "warning", " emitted"), "; 2 warnings emitted");
    }
}
