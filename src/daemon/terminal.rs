//! What a build looks like to the person: lines about what happens, on a terminal what runs now,
//! at the end what it came to. It reads the event stream and knows the plan's names, nothing
//! else; how lines are drawn is `progress`', what they say at the end `closing`'s.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    convert::Infallible,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    cargo::{
        diagnostics::{Verbosity, Words},
        messages::{self, Messages, Success},
        package::{Package, Source},
        plan::{Kind, Plan, Unit, UnitId},
        term::Future,
    },
    closing::{self, Counts, Interest},
    events::{Event, Figures, Listener},
    look::{Look, Progress},
    output::{Output, Screen},
    progress::{self, View},
    run::Say,
    why::Reason,
};

/// A build that ends before this shows no progress, as it would only flash.
const PROGRESS_FROM: Duration = Duration::from_millis(200);
/// How often the progress changes: often enough to look alive, too seldom to flicker.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// What cargo says of a package beside what it says when it compiles it.
const DOCUMENTING: &str = "Documenting";

/// One build on one person's terminal.
pub struct Terminal {
    output: Output,
    look: Look,
    began: Instant,
    names: Vec<Name>,
    /// As cargo describes what is built.
    profile: String,
    state: Mutex<Progressed>,
}

/// Says that all that can be announced is in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed;

struct Name {
    label: String,
    short: String,
    package: String,
    /// cargo's word for what is done with its package.
    doing: Option<&'static str>,
    has_call: bool,
}

/// A unit's way through the build.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Waits,
    /// Since this moment of the build.
    Runs(Duration),
    Hit,
    Built,
}

#[derive(Default)]
struct Progressed {
    /// By unit.
    units: Vec<State>,
    announced: HashSet<(bool, String)>,
    /// Why units run, by unit.
    reasons: HashMap<usize, Reason>,
    figures: Figures,
    /// What is new about what scripts want.
    wants: Vec<String>,
    /// Packages that a future rustc will reject.
    rejected: BTreeSet<String>,
    /// Messages about files that are not placed yet.
    later: String,
    failures: usize,
    /// Whether the next words are those of the first failure, while others still run.
    goes_on: bool,
}

impl Progressed {
    fn running(&self) -> impl Iterator<Item = (usize, Duration)> {
        self.units.iter().enumerate().filter_map(|(unit, state)| match state {
            State::Runs(since) => Some((unit, *since)),
            _ => None,
        })
    }

    /// A unit that was built on what turned out not to be final is looked up anew, so each counts
    /// as what it was in the end.
    fn counts(&self) -> Counts {
        let count = |state| self.units.iter().filter(|one| **one == state).count();
        Counts { hits: count(State::Hit), built: count(State::Built) }
    }
}

impl Terminal {
    /// A terminal for a plan's build.
    pub fn new(output: Output, look: Look, plan: &Plan, began: Instant) -> Self {
        let name = |unit: &Unit| Name {
            label: unit.label.clone(),
            short: short(plan.package(unit), unit),
            package: described(plan.package(unit)),
            doing: doing(unit),
            has_call: unit.has_call(),
        };
        let state = Progressed { units: vec![State::default(); plan.units.len()], ..Progressed::default() };
        Terminal {
            output,
            look,
            began,
            names: plan.units.iter().map(name).collect(),
            profile: plan.roots.first().map(|root| profile(plan, *root)).unwrap_or_default(),
            state: Mutex::new(state),
        }
    }

    /// What a program at the other end hears last. What was to be placed is announced now that it
    /// is there.
    pub async fn finished(&self, messages: Messages, success: Success, placed: Option<Placed>) {
        let later = std::mem::take(&mut self.lock().later);
        if messages != Messages::Human {
            let later = if placed.is_some() { later } else { String::new() };
            self.output.out(later + messages::build_finished(success)).await;
        }
    }

    /// What is new about what scripts want: last, where it is read, and however a build ended.
    pub async fn warn(&self) {
        let wants = std::mem::take(&mut self.lock().wants);
        for news in wants {
            self.output.warning(&format!("{news}; `vx audit` tells all")).await;
        }
    }

    /// The last lines of a build that worked.
    pub async fn close(&self) {
        if self.look.verbosity == Verbosity::Quiet {
            return;
        }
        let interest = if self.look.verbosity > Verbosity::Normal { Interest::Verbose } else { Interest::Normal };
        let (summary, critical) = {
            let state = self.lock();
            let path = state.figures.critical_path.iter();
            let path: Vec<_> = path.map(|(unit, time)| (self.names[unit.0].short.as_str(), *time)).collect();
            (closing::summary(state.counts(), state.figures.saved), closing::critical(&path, interest))
        };
        let seconds = self.began.elapsed().as_secs_f64();
        self.output.say("Finished", &format!("{} in {seconds:.2}s: {summary}", self.profile)).await;
        if let Some(critical) = critical {
            let text = format!("path {critical}");
            let columns = self.output.screen().map_or(usize::MAX, |screen| usize::from(screen.size().cols));
            self.output.say("Critical", &progress::cut(&text, columns.saturating_sub(14))).await;
        }
        let rejected = std::mem::take(&mut self.lock().rejected);
        if self.look.future == Future::Told
            && let Some(text) = closing::rejected(&rejected)
        {
            self.output.warning(&text).await;
            self.output.note(closing::HOW_REJECTED).await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Progressed> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Paints what runs for as long as it is polled.
    pub async fn paint(&self) -> Infallible {
        let (Some(screen), Progress::Shown { columns }) = (self.output.screen(), self.look.progress) else {
            return std::future::pending().await;
        };
        tokio::time::sleep(PROGRESS_FROM.saturating_sub(self.began.elapsed())).await;
        let mut every = tokio::time::interval(PROGRESS_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            every.tick().await;
            self.output.progress(self.progress(screen, columns));
        }
    }

    fn progress(&self, screen: &Screen, columns: Option<usize>) -> Vec<String> {
        let state = self.lock();
        let elapsed = self.began.elapsed();
        let Counts { hits, built } = state.counts();
        let running =
            state.running().map(|(unit, since)| (self.names[unit].label.as_str(), elapsed.saturating_sub(since)));
        let running = running.collect();
        let view = View {
            done: hits + built,
            total: self.names.iter().filter(|name| name.has_call).count(),
            hits,
            elapsed,
            running,
        };
        let mut size = screen.size();
        let wanted = columns.and_then(|columns| u16::try_from(columns).ok());
        size.cols = wanted.map_or(size.cols, |wanted| wanted.min(size.cols));
        progress::lines(view, size, self.look.colour)
    }

    fn line(&self, word: &str, rest: &str) {
        self.output.say_soon(word, rest);
    }

    fn started(&self, state: &mut Progressed, unit: usize, now: Duration) {
        state.units[unit] = State::Runs(now);
        let name = &self.names[unit];
        let Some(doing) = name.doing else { return };
        // A package is named once for being compiled, and once for being documented.
        let what = (doing == DOCUMENTING, name.package.clone());
        if state.announced.insert(what) && self.look.verbosity != Verbosity::Quiet {
            self.line(doing, &name.package);
        }
    }

    fn found(&self, state: &mut Progressed, unit: usize) {
        state.units[unit] = State::Hit;
        if self.look.verbosity > Verbosity::Normal {
            self.line("Hit", &self.names[unit].label);
        }
    }

    fn built(&self, state: &mut Progressed, unit: usize, now: Duration) {
        let ran = match state.units[unit] {
            State::Runs(since) => now.saturating_sub(since),
            _ => Duration::ZERO,
        };
        state.units[unit] = State::Built;
        if self.look.verbosity > Verbosity::Normal {
            let why = state.reasons.remove(&unit).map_or_else(String::new, |reason| format!(": {reason}"));
            self.line("Built", &format!("{} in {}{why}", self.names[unit].label, progress::seconds(ran)));
        }
    }
}

impl Listener for Terminal {
    fn tell(&self, event: &Event) {
        let now = self.began.elapsed();
        let mut state = self.lock();
        match event {
            Event::Missed(UnitId(unit), reason) => drop(state.reasons.insert(*unit, reason.clone())),
            Event::Started(UnitId(unit)) => self.started(&mut state, *unit, now),
            Event::Hit(UnitId(unit)) => self.found(&mut state, *unit),
            Event::Built(UnitId(unit)) => self.built(&mut state, *unit, now),
            Event::Repeated(UnitId(unit)) => state.units[*unit] = State::Waits,
            Event::Failed(UnitId(unit)) => {
                state.units[*unit] = State::Waits;
                state.failures += 1;
                state.goes_on = state.failures == 1 && state.running().next().is_some();
            }
            Event::Wants(news) => state.wants.push(news.clone()),
            Event::Over(figures) => state.figures = figures.clone(),
        }
    }
}

impl Say for Terminal {
    async fn say(&self, words: Words) {
        {
            let mut state = self.lock();
            state.later.push_str(&words.placed);
            state.rejected.extend(words.rejected);
        }
        self.output.out(words.out).await;
        self.output.err(words.err).await;
        if std::mem::take(&mut self.lock().goes_on) && self.look.verbosity != Verbosity::Quiet {
            self.output.warning("build failed, waiting for other jobs to finish...").await;
        }
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

/// What cargo says it does with a unit's package, unless it is silent about it.
fn doing(unit: &Unit) -> Option<&'static str> {
    match unit.kind {
        Kind::BuildScriptRun | Kind::Doctest | Kind::DocMerge => None,
        Kind::Doc => Some(DOCUMENTING),
        _ if unit.is_check() => Some("Checking"),
        _ => Some("Compiling"),
    }
}

/// A unit in as few words as tell it from others.
fn short(package: &Package, unit: &Unit) -> String {
    match unit.kind {
        Kind::BuildScriptCompile => format!("{} script", package.name),
        Kind::BuildScriptRun => format!("{} script's run", package.name),
        Kind::Lib | Kind::ProcMacro => package.name.clone(),
        Kind::Bin | Kind::Example => unit.target.name.clone(),
        Kind::DocMerge => unit.label.clone(),
        Kind::Test | Kind::Doctest | Kind::Doc => format!("{} {}", package.name, unit.described()),
    }
}

/// `` `dev` profile [unoptimized + debuginfo] ``, as cargo says it.
fn profile(plan: &Plan, root: UnitId) -> String {
    let profile = &plan.unit(root).profile;
    let optimised = if profile.opt_level == "0" { "unoptimized" } else { "optimized" };
    let debuginfo = if profile.debuginfo.flag().is_some() { " + debuginfo" } else { "" };
    format!("`{}` profile [{optimised}{debuginfo}]", profile.name)
}
