//! `vx test` and `vx bench` when everything is built: the programs one after the other on the
//! person's terminal, then the documentation's; what failed, in cargo's words and codes.

use std::path::{Path, PathBuf};

use shared::{client::exec::Exit, fault::exit, wire::text::Text};

use crate::{
    after::{Built, Program},
    build::usage,
    cargo::{
        diagnostics::Verbosity,
        doctest::{self, Tester},
        messages::Messages,
        plan::Unit,
        process::{Person, Process},
        select::Selection,
        testing::{self, Shown, What},
    },
    cli::TestWords,
    outcome::how_it_ended,
    start::{self, Ended, Manners},
    workspace::NoPlan,
};

/// libtest's own code for tests that failed; it has said so.
const TESTS_FAILED: i32 = 101;

/// What is to be run.
#[derive(Debug)]
pub struct Tests {
    /// Those that were compiled with their tests.
    pub programs: Vec<Program>,
    /// Libraries whose documentation is tested afterwards.
    pub documented: Vec<Program>,
    pub selection: Selection,
}

/// What one of them is, in cargo's words about its failure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Test,
    Bench,
    Doctest,
}

/// One run on its way.
struct Run<'a> {
    built: &'a Built<'a>,
    tests: &'a Tests,
    words: &'a TestWords,
    /// The words for what has failed so far.
    failed: Vec<String>,
}

/// Runs them all; the exit code.
pub async fn run(built: &Built<'_>, tests: &Tests, words: &TestWords) -> Result<u8, NoPlan> {
    if words.no_run {
        return show(built, tests, words).await;
    }
    let mut run = Run { built, tests, words, failed: Vec::new() };
    for program in &tests.programs {
        if let Some(code) = run.program(program).await? {
            return Ok(code);
        }
    }
    for program in &tests.documented {
        if let Some(code) = run.documentation(program).await? {
            return Ok(code);
        }
    }
    match run.failed.is_empty() {
        true => Ok(exit::OK),
        false => Err(usage(&testing::failed(&run.failed))),
    }
}

/// Only says what there is.
async fn show(built: &Built<'_>, tests: &Tests, words: &TestWords) -> Result<u8, NoPlan> {
    if built.format.messages != Messages::Human {
        return Ok(exit::OK);
    }
    let shown = if words.what == What::Tests { Shown::Unit } else { Shown::Bench };
    for program in &tests.programs {
        let (text, path) = find(built, program, shown)?;
        let process = process(built, words, program, &path);
        say(built, "Executable", &text, &process).await;
    }
    Ok(exit::OK)
}

fn find(built: &Built<'_>, program: &Program, shown: Shown) -> Result<(String, PathBuf), NoPlan> {
    let unit = built.plan.unit(program.unit);
    testing::shown(built.plan, unit, shown, &built.session.cwd)
        .ok_or_else(|| usage(&format!("{} was not placed", unit.label)))
}

fn process(built: &Built<'_>, words: &TestWords, program: &Program, path: &Path) -> Process {
    let unit = built.plan.unit(program.unit);
    let person = Person { environment: &built.session.ground.environment, runner: &program.runner };
    let mut process = Process::of(built.plan, unit, built.said, path, person);
    process.argv.extend(words.args.iter().map(|word| Text::from(word.as_str())));
    if words.what == What::Benches && !words.no_run {
        process.argv.push("--bench".into());
    }
    if built.verbosity == Verbosity::Quiet && built.plan.package(unit).has_harness(&unit.target) {
        process.argv.push("--quiet".into());
    }
    process
}

/// The short form, or with `-v` the whole command.
async fn say(built: &Built<'_>, word: &str, short: &str, process: &Process) {
    match built.verbosity {
        Verbosity::Quiet => {}
        Verbosity::Normal => built.session.output.say(word, short).await,
        verbosity => built.session.output.say(word, &process.shown(verbosity)).await,
    }
}

impl Run<'_> {
    /// Runs one program; the exit code where nothing may follow.
    async fn program(&mut self, program: &Program) -> Result<Option<u8>, NoPlan> {
        let (text, path) = find(self.built, program, Shown::Unit)?;
        let process = process(self.built, self.words, program, &path);
        say(self.built, "Running", &text, &process).await;
        let kind = if self.words.what == What::Tests { Kind::Test } else { Kind::Bench };
        self.start(self.built.plan.unit(program.unit), kind, &process).await
    }

    /// Tests one library's documentation.
    async fn documentation(&mut self, program: &Program) -> Result<Option<u8>, NoPlan> {
        let unit = self.built.plan.unit(program.unit);
        if self.built.verbosity != Verbosity::Quiet {
            self.built.session.output.say("Doc-tests", &unit.target.crate_name()).await;
        }
        let environment = &self.built.session.ground.environment;
        let tester = Tester {
            person: Person { environment, runner: &program.runner },
            flags: &program.rustdocflags,
            words: &self.words.args,
            verbosity: self.built.verbosity,
            colour: self.built.session.output.colour.into(),
            format: self.built.format,
        };
        let process = doctest::process(self.built.plan, unit, self.built.said, tester);
        let process = process.map_err(|err| usage(&err.to_string()))?;
        if self.built.verbosity > Verbosity::Normal {
            self.built.session.output.say("Running", &process.shown(self.built.verbosity)).await;
        }
        self.start(unit, Kind::Doctest, &process).await
    }

    async fn start(&mut self, unit: &Unit, kind: Kind, process: &Process) -> Result<Option<u8>, NoPlan> {
        let session = self.built.session;
        session.output.flush().await;
        let cancel = &session.cancel;
        let ended = start::run(self.built.services, &session.ground, process, Manners::OneOfMany, cancel).await?;
        if cancel.is_cancelled() {
            return Ok(Some(exit::INTERRUPTED));
        }
        let (code, why) = match ended {
            Ended::Ran(Exit::Code(0)) => return Ok(None),
            Ended::Ran(Exit::Code(code)) => (Some(code), how_it_ended(code & 0xff)),
            Ended::Ran(Exit::Signal(signal)) => (None, how_it_ended(128 + signal)),
            Ended::Never(errno) => {
                let what = start::never(&process.shown(self.built.verbosity), errno);
                self.report(unit, kind, Some(&what)).await;
                return Ok(self.after(exit::CARGO_FAILED));
            }
            Ended::Cancelled => return Ok(Some(exit::INTERRUPTED)),
        };
        let is_simple = code == Some(TESTS_FAILED);
        let whole = format!("process didn't exit successfully: {} ({why})", process.shown(self.built.verbosity));
        self.report(unit, kind, (!is_simple).then_some(&whole)).await;
        let catches = !self.words.args.iter().any(|word| word == "--nocapture" || word == "--no-capture");
        if !is_simple && code.is_some() && catches && self.built.plan.package(unit).has_harness(&unit.target) {
            let note = "test exited abnormally; to see the full output pass --no-capture to the harness.";
            session.output.note(note).await;
        }
        let code = code.map_or(exit::CARGO_FAILED, |code| start::exit_code(Exit::Code(code)));
        Ok(self.after(code))
    }

    async fn report(&mut self, unit: &Unit, kind: Kind, why: Option<&String>) {
        let which = match kind {
            Kind::Test => "test failed",
            Kind::Bench => "bench failed",
            Kind::Doctest => "doctest failed",
        };
        let words = testing::words_for(self.built.plan, unit, &self.tests.selection);
        let why = why.map_or_else(String::new, |why| format!("\n\nCaused by:\n  {why}"));
        self.built.session.output.error(&format!("{which}, to rerun pass `{words}`{why}")).await;
        self.failed.push(words);
    }

    fn after(&self, code: u8) -> Option<u8> {
        (!self.words.no_fail_fast).then_some(code)
    }
}
