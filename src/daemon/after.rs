//! What follows a build that worked: for `run` its program, for `test` and `bench` what `test`
//! runs, for others nothing. Decided when the plan is there, so that nothing is built in vain.

use std::{ffi::OsString, path::Path};

use shared::{fault::exit, wire::text::Text};

use crate::{
    build::usage,
    cargo::{
        Said,
        config::Config,
        decides::Question,
        diagnostics::Verbosity,
        files::Disk,
        messages::Format,
        place::executable,
        plan::{Plan, UnitId},
        process::{Person, Process},
        runnable::{self, Choice},
        testing,
    },
    cli::{Shown, Then},
    documented,
    services::Services,
    session::Session,
    start::{self, Ended, Manners},
    test::{self, Tests},
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
    /// What tests or measures is run.
    Test(Box<Tests>),
    /// What was documented is named, or shown with a program.
    Document(Browser),
}

/// What shows pages.
#[derive(Debug)]
pub enum Browser {
    /// Nothing: it is said where they are.
    None,
    /// The person's choice, with its first words; empty for the system's.
    Program(Vec<String>),
}

/// A program of the plan, and what is started in its place.
#[derive(Debug)]
pub struct Program {
    pub unit: UnitId,
    pub runner: Vec<String>,
    /// The person's flags for rustdoc.
    pub rustdocflags: Vec<String>,
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
    /// Which form its messages had.
    pub format: Format,
}

impl Next {
    /// Libraries whose documentation is tested.
    pub fn documented(&self) -> Vec<UnitId> {
        match self {
            Next::Test(tests) => tests.documented.iter().map(|one| one.unit).collect(),
            _ => Vec::new(),
        }
    }

    /// What will be run.
    pub fn programs(&self) -> Vec<UnitId> {
        match self {
            Next::Run(program) => vec![program.unit],
            Next::Test(tests) => tests.programs.iter().chain(&tests.documented).map(|one| one.unit).collect(),
            Next::Nothing | Next::Narrow(_) | Next::Document(_) => Vec::new(),
        }
    }
}

/// What will follow, or why that cannot be.
pub fn decide(then: &Then, question: &Question, plan: &Plan) -> Result<Next, NoPlan> {
    match then {
        Then::Nothing => Ok(Next::Nothing),
        Then::Run(_) => match runnable::choose(plan, &question.selection.targets).map_err(|what| usage(&what))? {
            Choice::Root(unit) => Ok(Next::Run(Program::new(unit, question, plan)?)),
            Choice::Narrow(name) => Ok(Next::Narrow(name)),
        },
        Then::Document(shown) => {
            let config = own_rustdoc(question)?;
            let browser = match shown {
                Shown::Named => Browser::None,
                Shown::Opened => Browser::Program(config.browser().map_err(|err| usage(&err.to_string()))?),
            };
            Ok(Next::Document(browser))
        }
        Then::Test(_) => {
            let program = |unit| Program::new(unit, question, plan);
            let programs = |units: Vec<UnitId>| units.into_iter().map(program).collect::<Result<_, NoPlan>>();
            let documented = testing::documented(plan);
            if !documented.is_empty() {
                own_rustdoc(question)?;
            }
            Ok(Next::Test(Box::new(Tests {
                programs: programs(testing::programs(plan))?,
                documented: programs(documented)?,
                selection: question.selection.clone(),
            })))
        }
    }
}

/// The configuration, where it names no rustdoc that is not the toolchain's.
fn own_rustdoc(question: &Question) -> Result<Config, NoPlan> {
    let config = question.config(&Disk::default()).map_err(|err| usage(&err.to_string()))?;
    match config.names_rustdoc() {
        Some(key) => Err(usage(&format!("`{key}` names a rustdoc; vx takes the toolchain's own, so unset it"))),
        None => Ok(config),
    }
}

impl Program {
    fn new(unit: UnitId, question: &Question, plan: &Plan) -> Result<Self, NoPlan> {
        let platform = plan.platforms.of(plan.unit(unit));
        let (triple, cfg) = (&platform.triple, &platform.probe.cfg);
        let config = question.config(&Disk::default());
        let found = config.and_then(|config| Ok((config.runner(triple, cfg)?, config.rustdocflags(triple, cfg)?)));
        let (runner, rustdocflags) = found.map_err(|err| usage(&err.to_string()))?;
        Ok(Program { unit, runner, rustdocflags })
    }
}

/// Does it; the exit code.
pub async fn go_on(built: &Built<'_>, next: &Next, then: &Then) -> Result<u8, NoPlan> {
    match (next, then) {
        (Next::Run(program), Then::Run(words)) => run(built, program, words).await,
        (Next::Test(tests), Then::Test(words)) => test::run(built, tests, words).await,
        (Next::Document(browser), _) => documented::say(built, browser).await,
        _ => Ok(exit::OK),
    }
}

/// Runs the program where the person stands; the exit code is its own.
async fn run(built: &Built<'_>, program: &Program, words: &[OsString]) -> Result<u8, NoPlan> {
    let Built { session, services, plan, said, verbosity, .. } = built;
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
        Ended::Never(errno) => Err(usage(&start::never(&shown, errno))),
    }
}
