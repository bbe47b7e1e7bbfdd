//! What a build looks like: one progress line on a terminal, plain lines elsewhere, one closing
//! line. It reads the event stream and knows the plan's names, nothing else.

use std::{
    collections::{BTreeSet, HashSet},
    convert::Infallible,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    cargo::{
        diagnostics::Verbosity,
        package::{Package, Source},
        plan::{Plan, UnitId},
    },
    events::{Event, Figures, Listener},
    output::{Colour, Output},
    run::Say,
};

/// How often the progress line changes: often enough to look alive, too seldom to flicker.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// One build on one person's terminal.
pub struct Terminal {
    output: Output,
    verbosity: Verbosity,
    began: Instant,
    names: Vec<Name>,
    state: Mutex<State>,
}

struct Name {
    label: String,
    short: String,
    package: String,
    compiles: bool,
}

#[derive(Default)]
struct State {
    hits: usize,
    built: usize,
    running: BTreeSet<usize>,
    announced: HashSet<String>,
    figures: Option<Figures>,
}

impl Terminal {
    /// A terminal for a plan's build.
    pub fn new(output: Output, verbosity: Verbosity, plan: &Plan, began: Instant) -> Self {
        let name = |unit: &crate::cargo::plan::Unit| {
            let package = plan.package(unit);
            Name {
                label: unit.label.clone(),
                short: unit.target.crate_name(),
                package: described(package),
                compiles: unit.kind != crate::cargo::plan::Kind::BuildScriptRun,
            }
        };
        let names = plan.units.iter().map(name).collect();
        Terminal { output, verbosity, began, names, state: Mutex::default() }
    }

    /// The last line of a build that worked.
    pub async fn close(&self, plan: &Plan) {
        if self.verbosity == Verbosity::Quiet {
            return;
        }
        let (hits, built, figures) = {
            let state = self.lock();
            (state.hits, state.built, state.figures)
        };
        let profile = plan.roots.first().map(|root| profile(plan, *root)).unwrap_or_default();
        let seconds = self.began.elapsed().as_secs_f64();
        let units = counted(hits + built, "unit", "units");
        let hits = counted(hits, "hit", "hits");
        let costs = figures.map_or_else(String::new, |figures| {
            let (path, saved) = (figures.critical_path.as_secs_f64(), figures.saved.as_secs_f64());
            format!(", critical path {path:.2}s, saved {saved:.2}s")
        });
        self.output
            .say("Finished", &format!("{profile} in {seconds:.2}s: {units}, {hits}, {built} built{costs}"))
            .await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Paints the progress line for as long as it is polled.
    pub async fn paint(&self) -> Infallible {
        if self.output.tty.is_none() || self.verbosity == Verbosity::Quiet {
            return std::future::pending().await;
        }
        let mut every = tokio::time::interval(PROGRESS_EVERY);
        loop {
            every.tick().await;
            let line = self.progress_line();
            self.output.progress(line);
        }
    }

    /// Done/total, what runs now, hits.
    fn progress_line(&self) -> String {
        let state = self.lock();
        let done = state.hits + state.built;
        let hits = counted(state.hits, "hit", "hits");
        let mut line = format!("{done}/{}, {} running, {hits}", self.names.len(), state.running.len());
        for (index, unit) in state.running.iter().enumerate() {
            line.push_str(if index == 0 { ": " } else { ", " });
            line.push_str(&self.names[*unit].short);
        }
        let room = self.output.tty.map_or(80, |tty| usize::from(tty.cols)).saturating_sub(14);
        if line.chars().count() > room {
            line = line.chars().take(room.saturating_sub(1)).chain(['…']).collect();
        }
        match self.output.colour {
            Colour::Always => format!("\x1b[1m\x1b[96m{:>12}\x1b[0m {line}", "Building"),
            Colour::Never => format!("{:>12} {line}", "Building"),
        }
    }

    fn line(&self, word: &str, rest: &str) {
        self.output.say_soon(word, rest);
    }
}

impl Listener for Terminal {
    fn tell(&self, event: &Event) {
        let mut state = self.lock();
        let verbose = self.verbosity == Verbosity::Verbose;
        match event {
            Event::Started(UnitId(unit)) => {
                state.running.insert(*unit);
                let name = &self.names[*unit];
                let is_new = name.compiles && state.announced.insert(name.package.clone());
                if is_new && self.verbosity != Verbosity::Quiet {
                    self.line("Compiling", &name.package);
                }
            }
            Event::Hit(UnitId(unit)) => {
                state.hits += 1;
                if verbose {
                    self.line("Hit", &self.names[*unit].label);
                }
            }
            Event::Built(UnitId(unit)) => {
                state.built += 1;
                state.running.remove(unit);
                if verbose {
                    self.line("Built", &self.names[*unit].label);
                }
            }
            Event::Failed(UnitId(unit)) | Event::Repeated(UnitId(unit)) => {
                state.running.remove(unit);
            }
            Event::Over(figures) => state.figures = Some(*figures),
        }
    }
}

impl Say for Terminal {
    async fn say(&self, text: String) {
        self.output.err(text).await;
    }
}

/// As cargo names a package when it compiles it: with its folder, where that is the person's.
fn described(package: &Package) -> String {
    match &package.source {
        Source::Member { .. } | Source::Outside { .. } => {
            format!("{} v{} ({})", package.name, package.version, package.real.display())
        }
        _ => format!("{} v{}", package.name, package.version),
    }
}

/// `` `dev` profile [unoptimized + debuginfo] ``, as cargo says it.
fn profile(plan: &Plan, root: UnitId) -> String {
    let profile = &plan.unit(root).profile;
    let optimised = if profile.opt_level == "0" { "unoptimized" } else { "optimized" };
    let debuginfo = if profile.debuginfo.flag().is_some() { " + debuginfo" } else { "" };
    format!("`{}` profile [{optimised}{debuginfo}]", profile.name)
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
