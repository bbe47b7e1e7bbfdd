//! What follows a build that worked: for `run` its program, for others nothing. Decided when the
//! plan is there, so that nothing is built in vain.

use std::{ffi::OsString, path::Path};

use shared::{fault::exit, wire::text::Text};

use crate::{
    build::usage,
    cargo::{
        Said, config,
        decides::Question,
        diagnostics::Verbosity,
        files::Disk,
        place::executable,
        plan::{Plan, UnitId},
        process::{Person, Process},
        runnable::{self, Choice},
    },
    cli::Then,
    services::Services,
    session::Session,
    start::{self, Ended, Manners},
    workspace::NoPlan,
};

/// What is done in the end.
#[derive(Debug)]
pub enum Next {
    /// Nothing more.
    Nothing,
    /// Another plan is needed, for this binary alone.
    Narrow(String),
    /// A program is run.
    Run(Program),
}

/// A program of the plan, and what is started in its place.
#[derive(Debug)]
pub struct Program {
    unit: UnitId,
    runner: Vec<String>,
}

/// A build that worked.
pub struct Built<'a> {
    /// Whose it is.
    pub session: &'a Session,
    /// casd and execd.
    pub services: &'a Services,
    /// What was built.
    pub plan: &'a Plan,
    /// What scripts said.
    pub said: &'a Said,
    /// How much the person wants to read.
    pub verbosity: Verbosity,
}

impl Next {
    /// What will be run.
    pub fn programs(&self) -> Vec<UnitId> {
        match self {
            Next::Run(program) => vec![program.unit],
            Next::Nothing | Next::Narrow(_) => Vec::new(),
        }
    }
}

/// What will follow, or why that cannot be.
pub fn decide(then: &Then, question: &Question, plan: &Plan) -> Result<Next, NoPlan> {
    match then {
        Then::Nothing => Ok(Next::Nothing),
        Then::Run(_) => match runnable::choose(plan, &question.selection.targets).map_err(|what| usage(&what))? {
            Choice::Root(unit) => Ok(Next::Run(Program { unit, runner: runner(question, plan, unit)? })),
            Choice::Narrow(name) => Ok(Next::Narrow(name)),
        },
    }
}

fn runner(question: &Question, plan: &Plan, unit: UnitId) -> Result<Vec<String>, NoPlan> {
    let toolchain = &question.toolchain;
    let config = config::Config::load(&Disk::default(), &question.cwd, &toolchain.cargo_home, &question.environment);
    let platform = plan.platforms.of(plan.unit(unit));
    let runner = config.and_then(|config| config.runner(&platform.triple, &platform.probe.cfg));
    runner.map_err(|err| usage(&err.to_string()))
}

/// Does it; the exit code.
pub async fn go_on(built: &Built<'_>, next: &Next, then: &Then) -> Result<u8, NoPlan> {
    match (next, then) {
        (Next::Run(program), Then::Run(words)) => run(built, program, words).await,
        _ => Ok(exit::OK),
    }
}

/// Runs the program where the person stands; the exit code is its own.
async fn run(built: &Built<'_>, program: &Program, words: &[OsString]) -> Result<u8, NoPlan> {
    let Built { session, services, plan, said, verbosity } = built;
    let unit = plan.unit(program.unit);
    let path = executable(plan, unit).ok_or_else(|| usage("the program was not placed"))?;
    let path = match path.strip_prefix(&session.cwd) {
        // Without a slash it would be looked for in PATH.
        Ok(short) if short.components().count() == 1 => Path::new(".").join(short),
        Ok(short) => short.to_owned(),
        Err(_) => path,
    };
    let person = Person { environment: &session.ground.environment, runner: &program.runner };
    let mut process = Process::of(plan, unit, said, &path, person);
    process.argv.extend(words.iter().cloned().map(Text::from));
    process.cwd = session.cwd.clone();
    let shown = process.shown(*verbosity);
    if *verbosity != Verbosity::Quiet {
        session.output.say("Running", &shown).await;
    }
    session.output.flush().await;
    match start::run(services, &session.ground, &process, Manners::Alone, &session.cancel).await? {
        Ended::Ran(exit) => Ok(start::exit_code(exit)),
        Ended::Cancelled => Ok(exit::INTERRUPTED),
        Ended::Never(errno) => Err(usage(&never(&shown, errno))),
    }
}

/// As cargo says it.
fn never(shown: &str, errno: i32) -> String {
    let why = std::io::Error::from_raw_os_error(errno);
    format!("could not execute process {shown} (never executed)\n\nCaused by:\n  {why}")
}
