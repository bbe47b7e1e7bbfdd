//! The one stream of what happens in builds. The terminal, the counters behind status and later
//! readers all get the same events; nothing in a build talks to any of them directly.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{cargo::plan::UnitId, why::Reason};

/// Something happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A unit was looked up and has to run, and why.
    Missed(UnitId, Reason),
    /// A unit's action was handed to the executor.
    Started(UnitId),
    /// A unit's result was found.
    Hit(UnitId),
    /// A unit was run well.
    Built(UnitId),
    /// A unit was run and has to run again, seeing more.
    Repeated(UnitId),
    /// A unit was run and failed.
    Failed(UnitId),
    /// A script or macro that is new, or of another version, wants more than before; in one sentence.
    Wants(String),
    /// Everything is there; the last event of a build that worked.
    Over(Figures),
}

/// What a build took and spared, beside what a clock on the wall says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// What the hits took when they were run.
    pub saved: Duration,
    /// The longest way through what was run in this build, each unit with what it adds: what it
    /// would take with any number of jobs.
    pub critical_path: Vec<(UnitId, Duration)>,
}

/// Who is told.
pub trait Listener: Send + Sync {
    /// Must not block.
    fn tell(&self, event: &Event);
}

/// Counts over the daemon's life, for status.
#[derive(Debug, Default)]
pub struct Counters {
    hits: AtomicU64,
    built: AtomicU64,
    failed: AtomicU64,
    running: AtomicU64,
    builds: AtomicU64,
    sessions: AtomicU64,
    /// Calls that cargo made through vx, by what became of them.
    wrapped: [AtomicU64; 3],
}

/// What became of a call that cargo made through vx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrapped {
    /// Its result was found.
    Hit,
    /// It was run as an Action.
    Built,
    /// It was run as it is.
    Plain,
}

/// A session that is counted as long as this lives.
#[derive(Debug)]
pub struct Counted(Arc<Counters>);

/// An action that is counted as long as this lives.
#[derive(Debug)]
pub struct Running(Arc<Counters>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counters {
    /// Counts a session.
    pub fn session(self: &Arc<Self>) -> Counted {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(self))
    }

    /// Counts a build.
    pub fn build(&self) {
        self.builds.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an action that runs for no build of vx's own.
    pub fn run(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(self))
    }

    /// Counts a call that cargo made through vx.
    pub fn wrapped(&self, end: Wrapped) {
        self.wrapped[end as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Such calls, as status shows them; nothing where there were none.
    pub fn wrapped_values(&self) -> Vec<(&'static str, u64)> {
        let [hits, built, plain] = self.wrapped.each_ref().map(|counter| counter.load(Ordering::Relaxed));
        let values = vec![("wrapped_hits", hits), ("wrapped_built", built), ("wrapped_plain", plain)];
        if hits + built + plain == 0 { Vec::new() } else { values }
    }

    /// Sessions now.
    pub fn sessions(&self) -> u64 {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Names and values, as status shows them.
    pub fn values(&self) -> [(&'static str, u64); 6] {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("sessions", value(&self.sessions)),
            ("builds", value(&self.builds)),
            ("actions", value(&self.running)),
            ("hits", value(&self.hits)),
            ("misses", value(&self.built) + value(&self.failed)),
            ("failed", value(&self.failed)),
        ]
    }
}

impl Listener for Counters {
    fn tell(&self, event: &Event) {
        let add = |counter: &AtomicU64| {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        let end = || {
            // A build that was cancelled has taken back its running actions already.
            let _ = self.running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |running| running.checked_sub(1));
        };
        match event {
            Event::Started(_) => add(&self.running),
            Event::Hit(_) => add(&self.hits),
            Event::Repeated(_) => end(),
            Event::Built(_) => {
                end();
                add(&self.built);
            }
            Event::Failed(_) => {
                end();
                add(&self.failed);
            }
            Event::Missed(..) | Event::Wants(_) | Event::Over(_) => {}
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}
