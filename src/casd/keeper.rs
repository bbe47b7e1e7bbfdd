//! Keeps the store within its budget while it serves, and does what an administrator asks of it:
//! verify, gc, stats. What is evicted and how is `store`'s.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use shared::control::Value;

use crate::{
    actions::Actions,
    store::{Disk, Evicted, Hold, Progress, StoreError, Verified},
};

/// After a try that freed nothing (all is leased) the next one waits this long.
const RETRY: Duration = Duration::from_secs(60);
/// The part of the budget that the action cache's log may take more.
const LOG_PART: u64 = 16;

/// The store and its action cache, kept.
pub struct Keeper {
    inner: Arc<Inner>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Inner {
    disk: Arc<Disk>,
    actions: Arc<Actions>,
    state: Mutex<State>,
    wake: Condvar,
    progress: Progress,
    /// One long job at a time.
    job: Mutex<()>,
}

#[derive(Default)]
struct State {
    due: Due,
    /// Not before this.
    after: Option<Instant>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Due {
    #[default]
    Nothing,
    Keep,
    Close,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    pub blobs: Verified,
    /// Entries of the action cache that were read back.
    pub results: u64,
    pub damaged_results: u64,
    /// Entries forgotten because a blob of theirs is gone.
    pub incomplete_results: u64,
}

/// What a collection freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collection {
    pub evicted: Evicted,
    pub forgotten_results: u64,
    /// Bytes that the store takes now.
    pub left: u64,
}

/// Another verification or collection runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store is being verified or collected already; wait for that to end")]
pub struct Busy;

impl Keeper {
    /// Begins to keep; looks at the budget at once.
    pub fn start(disk: Arc<Disk>, actions: Arc<Actions>) -> Result<Self, StoreError> {
        let inner = Arc::new(Inner {
            disk,
            actions,
            state: Mutex::default(),
            wake: Condvar::new(),
            progress: Progress::default(),
            job: Mutex::default(),
        });
        let (keeping, growing) = (inner.clone(), Arc::downgrade(&inner));
        let thread = std::thread::Builder::new().name("keeper".into()).spawn(move || keeping.run());
        let thread = thread.map_err(StoreError::io("start a thread"))?;
        inner.disk.tell_growth(Box::new(move || {
            if let Some(inner) = Weak::upgrade(&growing).filter(|inner| inner.is_over()) {
                inner.raise(Due::Keep);
            }
        }));
        inner.raise(Due::Keep);
        Ok(Keeper { inner, thread: Mutex::new(Some(thread)) })
    }

    /// Hashes every blob and reads every result back. Blocks for as long as that takes; corrupt
    /// blobs are taken out of service, and results that miss a blob are forgotten.
    pub fn verify(&self) -> Result<Verification, Busy> {
        let inner = &self.inner;
        let _alone = inner.job.try_lock().map_err(|_| Busy)?;
        inner.progress.begin();
        let blobs = inner.disk.verify(&inner.progress);
        let (results, damaged_results) = inner.actions.verify();
        let incomplete_results = inner.sweep();
        tracing::info!(blobs = blobs.blobs, corrupt = blobs.corrupt, incomplete_results, "verified the store");
        Ok(Verification { blobs, results, damaged_results, incomplete_results })
    }

    /// Evicts until the store is within its budget, or all that is left is leased, and compacts.
    pub fn gc(&self) -> Result<Collection, Busy> {
        let inner = &self.inner;
        let _alone = inner.job.try_lock().map_err(|_| Busy)?;
        let evicted = inner.disk.collect(inner.disk.budget());
        Ok(Collection { evicted, forgotten_results: inner.sweep(), left: inner.disk.disk_bytes() })
    }

    /// How far a running verification is: bytes done, and in all.
    fn progress(&self) -> Option<(u64, u64)> {
        let running = self.inner.job.try_lock().is_err();
        running.then(|| self.inner.progress.so_far())
    }

    /// Bytes that the store takes on disk, and may take.
    pub fn budget(&self) -> (u64, u64) {
        (self.inner.disk.disk_bytes(), self.inner.disk.budget())
    }

    /// Another budget, looked at now.
    pub fn set_budget(&self, budget: Option<u64>) {
        self.inner.disk.set_budget(budget);
        self.inner.raise(Due::Keep);
    }

    /// Leases what is leased now and what is used from now on, until the answer is dropped.
    pub fn hold(&self) -> Hold {
        self.inner.disk.hold()
    }

    /// What there is to know about the store.
    pub fn stats(&self) -> Vec<(&'static str, Value)> {
        let (disk, actions) = (&self.inner.disk, &self.inner.actions);
        let (shape, counts) = (disk.shape(), actions.counts());
        let mut stats: Vec<_> = [
            ("store_bytes", disk.disk_bytes()),
            ("budget_bytes", disk.budget()),
            ("free_bytes", shape.free),
            ("reserve_bytes", shape.reserve),
            ("blobs", shape.blobs),
            ("blob_bytes", shape.blob_bytes),
            ("files", shape.files),
            ("file_bytes", shape.file_bytes),
            ("segments", shape.segments),
            ("segment_bytes", shape.segment_bytes),
            ("dead_bytes", shape.dead_bytes),
            ("leased_bytes", shape.leased_bytes),
            ("holds", shape.holds),
            ("results", counts.entries),
            ("result_bytes", actions.live_bytes()),
            ("hits", counts.hits),
            ("misses", counts.misses),
        ]
        .map(|(key, number)| (key, Value::U64(number)))
        .into();
        if let Some((done, all)) = self.progress() {
            stats.extend([("verified_bytes", done.into()), ("to_verify_bytes", all.into())]);
        }
        stats
    }

    /// Stops what runs and ends.
    pub fn close(&self) {
        self.inner.progress.end();
        self.inner.raise(Due::Close);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's keeper panicked; ignoring, it is ending anyway");
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.close();
    }
}

impl Inner {
    fn run(&self) {
        loop {
            let mut state = self.lock();
            while state.due == Due::Nothing {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.due == Due::Close {
                return;
            }
            *state = State::default();
            drop(state);
            let (evicted, forgotten) = (self.disk.keep_budget(), self.sweep());
            if evicted.blobs > 0 || forgotten > 0 {
                let (blobs, freed) = (evicted.blobs, evicted.freed);
                tracing::info!(blobs, freed, results = forgotten, "evicted what was used longest ago");
            }
            if evicted.freed == 0 && self.is_over() {
                tracing::info!(budget = self.disk.budget(), "the store is over its budget and all of it is in use");
                self.lock().after = Some(Instant::now() + RETRY);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.disk.disk_bytes() > self.disk.budget()
    }

    /// Forgets results whose blobs are gone, and those used longest ago where there are too many.
    fn sweep(&self) -> u64 {
        let limit = self.disk.budget() / LOG_PART;
        self.actions.sweep(self.disk.folder(), limit, |closure| self.disk.oldest_use(closure))
    }

    fn raise(&self, due: Due) {
        let mut state = self.lock();
        let rests = state.after.is_some_and(|after| after > Instant::now());
        if due == Due::Close || (state.due == Due::Nothing && !rests) {
            state.due = due;
        }
        self.wake.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
