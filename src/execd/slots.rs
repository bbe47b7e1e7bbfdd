//! Admission: how many actions run at once. The daemon orders, execd admits, first come first
//! served. More when a reload says so; fewer as running actions end. Slots that nobody waits for
//! are lent as jobserver tokens to actions that run (`jobserver`), and asked back when somebody
//! does.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};

use crate::jobserver::{Pipes, Purse};

/// How often tokens move from actions that leave them lying to those that have none. Nothing tells
/// when an action begins to want one.
const BALANCE_EVERY: Duration = Duration::from_millis(30);

/// The slots of this executor.
#[derive(Clone, Debug)]
pub struct Slots {
    permits: Arc<Semaphore>,
    wanted: Arc<AtomicUsize>,
    /// What is set now; behind `wanted` while actions still run that have to end first.
    set: Arc<Mutex<usize>>,
    /// Actions that wait for a slot.
    waiting: Arc<AtomicUsize>,
    lent: Arc<Mutex<HashMap<u64, Purse>>>,
    next: Arc<AtomicU64>,
}

/// One slot, taken until it is dropped.
#[derive(Debug)]
pub struct Slot {
    slots: Slots,
    permit: Option<OwnedSemaphorePermit>,
}

/// The tokens of one action; dropping it takes all of them back, wherever they are.
#[derive(Debug)]
pub struct Tokens {
    slots: Slots,
    id: u64,
    balance: JoinHandle<()>,
}

/// Counted as waiting until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Slots {
    /// That many, or as many as there are cores.
    pub fn new(slots: Option<u32>) -> Slots {
        let count = count(slots);
        Slots {
            permits: Arc::new(Semaphore::new(count)),
            wanted: Arc::new(AtomicUsize::new(count)),
            set: Arc::new(Mutex::new(count)),
            waiting: Arc::default(),
            lent: Arc::default(),
            next: Arc::default(),
        }
    }

    /// Waits for a slot.
    pub async fn take(&self) -> Slot {
        let waiting = Waiting::count(&self.waiting);
        self.balance();
        // The semaphore is never closed; were it, running would beat hanging.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        drop(waiting);
        self.settle();
        Slot { slots: self.clone(), permit }
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

    /// Opens a jobserver for one running action, which may have so many tokens ahead of slots.
    pub fn jobserver(&self, ahead: usize) -> io::Result<(Tokens, Pipes)> {
        let (purse, pipes) = Purse::open(ahead)?;
        let returned = purse.returned();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.purses().insert(id, purse);
        self.balance();
        let slots = self.clone();
        let balance = tokio::spawn(async move {
            loop {
                // What comes back goes to who waits at once.
                let _came_back_or_time = tokio::time::timeout(BALANCE_EVERY, returned.readable()).await;
                slots.balance();
            }
        });
        Ok((Tokens { slots: self.clone(), id, balance }, pipes))
    }

    fn settle(&self) {
        self.balance();
        let wanted = self.total();
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted > *set {
            self.permits.add_permits(wanted - *set);
            *set = wanted;
        } else if wanted < *set {
            *set -= self.permits.forget_permits(*set - wanted);
        }
    }

    /// Takes back what actions returned; gives it to who waits for a slot, else to the action that
    /// has the fewest tokens lying.
    fn balance(&self) {
        let mut purses = self.purses();
        for purse in purses.values_mut() {
            self.permits.add_permits(purse.collect());
        }
        let is_shrinking = *self.set.lock().unwrap_or_else(PoisonError::into_inner) > self.total();
        if is_shrinking || self.waiting.load(Ordering::Relaxed) > 0 {
            let free: usize = purses.values_mut().map(Purse::reclaim_all).sum();
            self.permits.add_permits(purses.values_mut().fold(free, |free, purse| purse.settle(free)));
            return;
        }
        while let Ok(permit) = self.permits.try_acquire() {
            let Some(poorest) = purses.values_mut().min_by_key(|purse| purse.lying()) else { return };
            if !poorest.lend() {
                return;
            }
            permit.forget();
        }
        purses.values_mut().for_each(Purse::lend_ahead);
        let Some((poorest, least)) = extreme(&purses, |lying| lying) else { return };
        let Some((richest, most)) = extreme(&purses, |lying| usize::MAX - lying) else { return };
        // Who has none may want one; to and fro costs nothing when nobody does.
        if least == 0 && most > 0 || least + 1 < most {
            let half = (most - least).div_ceil(2);
            let moved = purses.get_mut(&richest).map_or(0, |purse| purse.reclaim(half));
            let lend = |purse: &mut Purse| (0..moved).filter(|_| purse.lend()).count();
            let lent = purses.get_mut(&poorest).map_or(0, lend);
            self.permits.add_permits(moved - lent);
        }
    }

    fn purses(&self) -> MutexGuard<'_, HashMap<u64, Purse>> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The purse for which `order` of the tokens lying in it is least.
fn extreme(purses: &HashMap<u64, Purse>, order: impl Fn(usize) -> usize) -> Option<(u64, usize)> {
    purses.iter().map(|(id, purse)| (*id, purse.lying())).min_by_key(|(_, lying)| order(*lying))
}

impl Drop for Slot {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.slots.settle();
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        self.balance.abort();
        let purse = self.slots.purses().remove(&self.id);
        self.slots.permits.add_permits(purse.map_or(0, |purse| purse.lent()));
        self.slots.settle();
    }
}

impl<'a> Waiting<'a> {
    fn count(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Waiting(counter)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn count(slots: Option<u32>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    slots.map_or_else(cores, |slots| slots.max(1) as usize).min(Semaphore::MAX_PERMITS)
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{Read, Write},
    };

    use super::*;

    /// An action's side of its jobserver.
    fn action(pipes: Pipes) -> (File, File) {
        (File::from(pipes.tokens), File::from(pipes.returned))
    }

    async fn take_token(tokens: File) -> File {
        let taken = tokio::task::spawn_blocking(move || (&tokens).read_exact(&mut [0]).map(|()| tokens));
        taken.await.expect("it reads").expect("a token")
    }

    #[tokio::test]
    async fn free_slots_are_lent_and_come_back() {
        let slots = Slots::new(Some(3));
        let first = slots.take().await;
        let (tokens, pipes) = slots.jobserver(2).expect("pipes");
        let (mut reader, mut returned) = action(pipes);
        reader = take_token(take_token(reader).await).await;
        // All three are in use: the next action waits until a token is given back.
        let waiting = tokio::spawn({
            let slots = slots.clone();
            async move { slots.take().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        returned.write_all(b"+").expect("room in a pipe");
        let second = waiting.await.expect("a slot");
        // An action that ends with a token in its hands takes none along, nor one that forged some.
        returned.write_all(b"++++++++").expect("room in a pipe");
        drop((tokens, reader, returned, first, second));
        assert_eq!(slots.permits.available_permits(), 3);
    }

    #[tokio::test]
    async fn tokens_that_lie_go_to_who_waits_and_to_who_has_none() {
        let slots = Slots::new(Some(4));
        let _first = slots.take().await;
        let (_one, pipes_one) = slots.jobserver(2).expect("pipes");
        let _second = slots.take().await;
        let (_two, pipes_two) = slots.jobserver(2).expect("pipes");
        let ((one, one_back), (two, _two_back)) = (action(pipes_one), action(pipes_two));
        // Two are running, so there are two tokens, and one of them may take both.
        let two = take_token(take_token(two).await).await;
        let third = tokio::spawn(async move { slots.take().await });
        tokio::task::yield_now().await;
        assert!(!third.is_finished());
        drop((_two, two, one, one_back));
        third.await.expect("a slot");
    }

    #[tokio::test]
    async fn fewer_slots_are_lent_after_a_reload() {
        let slots = Slots::new(Some(4));
        let _first = slots.take().await;
        let (tokens, _pipes) = slots.jobserver(2).expect("pipes");
        slots.resize(Some(1));
        slots.settle();
        drop(tokens);
        assert_eq!((slots.permits.available_permits(), slots.total()), (0, 1));
    }
}
