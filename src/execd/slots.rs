//! Admission: how many actions run at once. The daemon orders, execd admits, first come first
//! served. More when a reload says so; fewer as running actions end.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The slots of this executor.
#[derive(Clone, Debug)]
pub struct Slots {
    permits: Arc<Semaphore>,
    wanted: Arc<AtomicUsize>,
    /// What is set now; behind `wanted` while actions still run that have to end first.
    set: Arc<Mutex<usize>>,
}

/// One slot, taken until it is dropped.
#[derive(Debug)]
pub struct Slot {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Slots {
    /// That many, or as many as there are cores.
    pub fn new(slots: Option<u32>) -> Slots {
        let count = count(slots);
        Slots {
            permits: Arc::new(Semaphore::new(count)),
            wanted: Arc::new(AtomicUsize::new(count)),
            set: Arc::new(Mutex::new(count)),
        }
    }

    /// Waits for a slot.
    pub async fn take(&self) -> Slot {
        // The semaphore is never closed; were it, running would beat hanging.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        self.settle();
        Slot { _permit: permit }
    }

    /// Changes their number.
    pub fn resize(&self, slots: Option<u32>) {
        self.wanted.store(count(slots), Ordering::Relaxed);
        self.settle();
    }

    /// How many there are to be.
    pub fn total(&self) -> usize {
        self.wanted.load(Ordering::Relaxed)
    }

    fn settle(&self) {
        let wanted = self.total();
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted > *set {
            self.permits.add_permits(wanted - *set);
            *set = wanted;
        } else if wanted < *set {
            *set -= self.permits.forget_permits(*set - wanted);
        }
    }
}

fn count(slots: Option<u32>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    slots.map_or_else(cores, |slots| slots.max(1) as usize).min(Semaphore::MAX_PERMITS)
}
