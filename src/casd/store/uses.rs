//! When blobs were used, as numbers of one counter, and which of them are leased (FORMAT.md,
//! "Uses, leases, eviction"). Which blob has which use is the index's.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Marks of the counter in time that are kept.
pub const MARKS: usize = 8;

/// The counter at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Seconds before the saving.
    pub age_s: u64,
    pub counter: u64,
}

/// What the checkpoint keeps of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    pub counter: u64,
    pub floor: u64,
    /// Seconds since 1970.
    pub saved_at: u64,
    /// Oldest first.
    pub marks: Vec<Mark>,
}

/// How the store was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Clean,
    /// Uses may have been lost.
    Unclean,
}

/// The counter and the leases.
pub struct Uses {
    counter: AtomicU64,
    lease: Duration,
    started: Instant,
    /// Milliseconds after the start at which the next mark is due.
    mark_due: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Before the first mark is old enough.
    floor: u64,
    marks: VecDeque<(Point, u64)>,
    /// Floors that clients hold, by number of the hold.
    holds: BTreeMap<u64, u64>,
    next_hold: u64,
}

/// A moment, maybe before this process began.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Point(f64);

impl Uses {
    /// Goes on from what was saved; `counter` is at least the saved one.
    pub fn resume(saved: &Saved, counter: u64, left: Left, lease: Duration) -> Self {
        let slept = now_s().saturating_sub(saved.saved_at) as f64;
        let mut inner = Inner { floor: saved.floor, ..Inner::default() };
        if left == Left::Clean {
            inner.marks.extend(saved.marks.iter().map(|mark| (Point(-slept - mark.age_s as f64), mark.counter)));
            inner.marks.push_back((Point(-slept), saved.counter));
        } else {
            inner.floor = 0;
        }
        inner.marks.push_back((Point(0.0), counter));
        while inner.marks.len() > MARKS {
            inner.marks.pop_front();
        }
        Uses {
            counter: AtomicU64::new(counter),
            lease,
            started: Instant::now(),
            mark_due: AtomicU64::new(spacing(lease)),
            inner: Mutex::new(inner),
        }
    }

    /// The number of a new use.
    pub fn tick(&self) -> u64 {
        let elapsed = self.started.elapsed();
        if elapsed.as_millis() as u64 >= self.mark_due.load(Ordering::Relaxed) {
            self.mark(elapsed);
        }
        self.counter.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What was used after this number is leased.
    pub fn floor(&self) -> u64 {
        let counter = self.counter.load(Ordering::Relaxed);
        let inner = self.lock();
        let passed = if self.lease.is_zero() { counter } else { inner.passed(self.started.elapsed(), self.lease) };
        inner.holds.values().copied().fold(passed, u64::min)
    }

    /// Leases what is leased now and what is used from now on, until `release`.
    pub fn hold(&self) -> u64 {
        let floor = self.floor();
        let mut inner = self.lock();
        let number = inner.next_hold;
        inner.next_hold += 1;
        inner.holds.insert(number, floor);
        number
    }

    pub fn release(&self, hold: u64) {
        self.lock().holds.remove(&hold);
    }

    /// How many clients hold a lease.
    pub fn holds(&self) -> u64 {
        self.lock().holds.len() as u64
    }

    /// What the next start goes on from.
    pub fn save(&self) -> Saved {
        let (floor, now) = (self.floor(), self.started.elapsed().as_secs_f64());
        let inner = self.lock();
        let marks =
            inner.marks.iter().map(|(at, counter)| Mark { age_s: (now - at.0).max(0.0) as u64, counter: *counter });
        Saved { counter: self.counter.load(Ordering::Relaxed), floor, saved_at: now_s(), marks: marks.collect() }
    }

    fn mark(&self, elapsed: Duration) {
        let mut inner = self.lock();
        self.mark_due.store(elapsed.as_millis() as u64 + spacing(self.lease), Ordering::Relaxed);
        inner.floor = inner.passed(elapsed, self.lease);
        inner.marks.push_back((Point(elapsed.as_secs_f64()), self.counter.load(Ordering::Relaxed)));
        if inner.marks.len() > MARKS {
            inner.marks.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// What the counter was a lease ago, as far as it is known.
    fn passed(&self, elapsed: Duration, lease: Duration) -> u64 {
        let then = Point(elapsed.as_secs_f64() - lease.as_secs_f64());
        self.marks.iter().filter(|(at, _)| *at <= then).map(|(_, counter)| *counter).fold(self.floor, u64::max)
    }
}

/// One more than fits into a lease would be lost before it counts.
fn spacing(lease: Duration) -> u64 {
    (lease.as_millis() as u64 / (MARKS as u64 - 1)).max(1)
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn saved(slept: u64, marks: &[(u64, u64)]) -> Saved {
        let marks = marks.iter().map(|&(age_s, counter)| Mark { age_s, counter }).collect();
        Saved { counter: 100, floor: 10, saved_at: now_s() - slept, marks }
    }

    #[test]
    fn leases_go_on_over_a_stop_and_run_out_in_it() {
        let marks = [(2000, 50), (1000, 70)];
        let floor = |slept| Uses::resume(&saved(slept, &marks), 100, Left::Clean, HOUR).floor();
        assert_eq!([floor(0), floor(1700), floor(2700), floor(3700)], [10, 50, 70, 100]);
        // A clock that went back leases longer, not shorter.
        let mut future = saved(0, &marks);
        future.saved_at += 100_000;
        assert_eq!(Uses::resume(&future, 100, Left::Clean, HOUR).floor(), 10);
    }

    #[test]
    fn after_a_crash_everything_is_leased() {
        assert_eq!(Uses::resume(&saved(100_000, &[]), 120, Left::Unclean, HOUR).floor(), 0);
    }

    #[test]
    fn what_is_saved_goes_on() {
        let uses = Uses::resume(&saved(0, &[(2000, 50)]), 100, Left::Clean, HOUR);
        assert_eq!(uses.tick(), 101);
        let again = uses.save();
        assert_eq!((again.counter, again.floor), (101, 10));
        // A second may have begun since.
        assert!((2000..2060).contains(&again.marks[0].age_s) && again.marks[0].counter == 50, "{again:?}");
        for _ in 0..20 {
            uses.mark(Duration::from_secs(1));
        }
        assert_eq!(uses.save().marks.len(), MARKS);
    }

    #[test]
    fn a_held_lease_does_not_run_out() {
        let uses = Uses::resume(&Saved::default(), 100, Left::Clean, Duration::ZERO);
        assert_eq!(uses.floor(), 100);
        let hold = uses.hold();
        uses.tick();
        assert_eq!((uses.floor(), uses.holds()), (100, 1));
        uses.release(hold);
        assert_eq!(uses.floor(), 101);
    }
}
