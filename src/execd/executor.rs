//! Everything an action needs, opened once at start, and what is counted over all of them.

use std::{
    collections::VecDeque,
    io,
    os::fd::BorrowedFd,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use shared::{
    client::cas::Cas,
    config::{self, Config, ConfigError, Rung},
    digest::Digest,
    service::{Parts, Peer},
};
use tonic::Code;

use crate::{
    action::Request,
    incremental::Incremental,
    jobserver::Pipes,
    launch::{Launcher, RunError, Running},
    program::Programs,
    refusal::Refusal,
    sandbox::{
        Job,
        cgroup::{self, Delegation, Group},
        probe::Ladder,
    },
    seen::Watcher,
    slots::Slots,
    view::Sources,
};

/// Failed actions that are remembered.
const FAILED: usize = 256;

/// The executor.
#[derive(Debug)]
pub struct Executor {
    /// The shell's parts: idle time and shutdown.
    pub parts: Parts,
    /// The store.
    pub cas: Cas,
    /// What starts processes.
    pub launcher: Launcher,
    /// What sees what actions open of a live checkout.
    pub watcher: Watcher,
    /// What views are made from.
    pub sources: Sources,
    /// The isolation reached.
    pub ladder: Ladder,
    /// The delegated control group, or why there is none.
    pub delegation: Result<Delegation, String>,
    /// Actions at once.
    pub slots: Slots,
    /// What rustc keeps between two runs.
    pub incremental: Arc<Incremental>,
    /// Where `cargo.run` keeps its target folders.
    pub queries: PathBuf,
    /// What one action may use.
    pub limits: Mutex<Limits>,
    /// What may be asked now.
    pub rules: Mutex<Rules>,
    /// The person's own programs.
    pub programs: Programs,
    /// Actions that run, ran, and were answered from the cache.
    pub running: Arc<AtomicU64>,
    /// Since the start.
    pub ran: AtomicU64,
    /// Since the start.
    pub hits: AtomicU64,
    /// Actions that failed lately: repeated, they are heard.
    pub failed: Mutex<VecDeque<Digest>>,
}

/// What vx.toml says, as last read.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The lowest rung on which anything runs.
    pub minimum: Rung,
    /// Whether that is all there is to say.
    pub file: File,
}

/// What one action may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Memory of all of its processes; `None` where nobody knows how much there is.
    pub memory_bytes: Option<u64>,
    /// What it holds on disk while it runs.
    pub scratch_bytes: u64,
}

impl Limits {
    /// As vx.toml has them.
    pub fn of(exec: &config::Exec) -> Limits {
        Limits { memory_bytes: exec.memory_bytes.or_else(cgroup::memory_bytes), scratch_bytes: exec.scratch_bytes }
    }
}

/// How the configuration in use and vx.toml agree.
#[derive(Clone, Debug)]
pub enum File {
    /// They do.
    Valid,
    /// It was broken at the start, so nothing is known of what the person wants: nothing runs.
    BrokenAtStart(ConfigError),
    /// It was broken at a reload; what was read before stays in use.
    BrokenSince(ConfigError),
}

/// Counts one running action until it is dropped.
#[derive(Debug)]
pub struct Counted(Arc<AtomicU64>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Executor {
    /// Counts an action as running.
    pub fn counted(&self) -> Counted {
        self.ran.fetch_add(1, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(&self.running))
    }

    /// Refuses work that may not be started now: a broken configuration, a drain, an isolation
    /// below what the person asked for, or below what strangers get.
    pub fn admit(&self, peer: Peer) -> Result<(), Refusal> {
        if self.parts.shutdown.is_requested() {
            return Err(Refusal::new(Code::Unavailable, "the executor is stopping; try again"));
        }
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        if let File::BrokenAtStart(error) = &rules.file {
            return Err(Refusal::new(Code::FailedPrecondition, error.to_string()));
        }
        if peer == Peer::Tcp && self.ladder.rung < Rung::Namespaces {
            let why = self.why().unwrap_or_default();
            let what = format!("actions that come by TCP need rung namespaces, which is not reached: {why}");
            return Err(Refusal::new(Code::FailedPrecondition, what));
        }
        if self.ladder.rung >= rules.minimum {
            return Ok(());
        }
        let reached = self.ladder.rung.name();
        let why = self.why().unwrap_or_default();
        Err(Refusal::new(
            Code::FailedPrecondition,
            format!(
                "the sandbox reached only rung {reached}, and sandbox.minimum is {}: {why}\n  \
                 to run anyway put [sandbox] minimum = \"{reached}\" into vx.toml and type: vxctl reload",
                rules.minimum.name(),
            ),
        ))
    }

    /// Starts a run. Without the spawner nothing can ever be started again, so execd leaves then,
    /// and the next connect brings a whole one.
    pub fn launch(
        &self,
        job: &Job,
        streams: [BorrowedFd<'_>; 3],
        cgroup: Option<BorrowedFd<'_>>,
        jobserver: Option<&Pipes>,
    ) -> Result<Running, RunError> {
        let started = self.launcher.launch(job, streams, cgroup, jobserver);
        if let Err(RunError::Lost) = started {
            tracing::error!("the spawner is gone; leaving, to be started anew");
            self.parts.shutdown.request();
        }
        started
    }

    /// Whether an action's opens and connects are listened to: scripts always, for they do as they
    /// like; others where they failed before, to say why.
    pub fn is_heard(&self, request: &Request) -> bool {
        request.style.is_own()
            && (request.command.arguments.first().is_some_and(|program| program.starts_with("/vx/build/"))
                || self.failed.lock().unwrap_or_else(PoisonError::into_inner).contains(&request.digest))
    }

    /// Remembers an action that failed.
    pub fn remember_failed(&self, action: Digest) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if !failed.contains(&action) {
            failed.push_back(action);
        }
        if failed.len() > FAILED {
            failed.pop_front();
        }
    }

    /// A control group for one run, where there are any. Below `full` it is a bonus.
    pub fn group(&self) -> io::Result<Option<Group>> {
        match (&self.delegation, self.ladder.rung) {
            (Ok(delegation), Rung::Full) => delegation.group(self.limits().memory_bytes).map(Some),
            (Ok(delegation), _) => Ok(delegation.group(self.limits().memory_bytes).ok()),
            (Err(_), _) => Ok(None),
        }
    }

    /// What one action may use.
    pub fn limits(&self) -> Limits {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the rung is not higher.
    pub fn why(&self) -> Option<String> {
        let missed = self.ladder.missed.iter().map(|(rung, why)| format!("{}: {why}", rung.name()));
        Some(missed.collect::<Vec<_>>().join("; ")).filter(|why| !why.is_empty())
    }

    /// Takes over a configuration.
    pub fn configure(&self, config: &Config) {
        self.parts.idle.set_timeout(config.exec.idle_timeout());
        self.parts.tcp.set(config.exec.listen_tcp);
        self.slots.resize(config.exec.slots);
        self.sources.stage.set_budget(config.exec.stage_bytes);
        self.incremental.set_budget(config.exec.incremental_bytes);
        self.sources.configure(&config.host);
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = Limits::of(&config.exec);
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        *rules = Rules { minimum: config.sandbox.minimum, file: File::Valid };
    }
}
