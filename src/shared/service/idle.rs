//! Idle time: a service may leave when nothing holds a guard for the configured time. Whoever
//! works (a connection, an action, a session) holds one. Who only looks on (a control connection)
//! keeps an idle service from leaving, and a stopping one from nothing.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

/// Counts who works and knows how long nobody may before the service leaves.
#[derive(Clone, Debug)]
pub struct Idle {
    counts: Arc<watch::Sender<Counts>>,
    timeout: Arc<watch::Sender<Duration>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    work: usize,
    attention: usize,
}

impl Counts {
    fn of(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Work => &mut self.work,
            Kind::Attention => &mut self.attention,
        }
    }

    fn none(self) -> bool {
        self.work == 0 && self.attention == 0
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Work,
    Attention,
}

/// Keeps the service from leaving while it lives.
#[derive(Debug)]
pub struct Guard(Arc<watch::Sender<Counts>>, Kind);

impl Idle {
    /// Nobody works yet.
    pub fn new(timeout: Duration) -> Self {
        Idle { counts: Arc::default(), timeout: Arc::new(watch::Sender::new(timeout)) }
    }

    /// Marks the start of some work.
    pub fn guard(&self) -> Guard {
        self.hold(Kind::Work)
    }

    /// Marks that somebody looks on: this holds up idle time, and no shutdown.
    pub fn attention(&self) -> Guard {
        self.hold(Kind::Attention)
    }

    fn hold(&self, kind: Kind) -> Guard {
        self.counts.send_modify(|counts| *counts.of(kind) += 1);
        Guard(Arc::clone(&self.counts), kind)
    }

    /// How many guards there are.
    pub fn busy(&self) -> usize {
        self.counts.borrow().work
    }

    /// Changes the time, as a reload does.
    pub fn set_timeout(&self, timeout: Duration) {
        self.timeout.send_replace(timeout);
    }

    /// Returns when nobody worked for the whole time.
    pub(super) async fn elapsed(&self) {
        let (mut counts, mut timeout) = (self.counts.subscribe(), self.timeout.subscribe());
        loop {
            // Both senders live in `self`, so waiting on them cannot fail.
            if counts.wait_for(|counts| counts.none()).await.is_err() {
                return;
            }
            let wait = *timeout.borrow_and_update();
            tokio::select! {
                () = tokio::time::sleep(wait) => if counts.borrow_and_update().none() { return },
                _ = counts.changed() => {}
                _ = timeout.changed() => {}
            }
        }
    }

    /// Returns when nobody works.
    pub(super) async fn quiet(&self) {
        // The sender lives in `self`, so waiting on it cannot fail.
        let _ = self.counts.subscribe().wait_for(|counts| counts.work == 0).await;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.send_modify(|counts| *counts.of(self.1) -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_guard_keeps_the_service() {
        let idle = Idle::new(Duration::from_millis(20));
        let guard = idle.guard();
        assert!(tokio::time::timeout(Duration::from_millis(200), idle.elapsed()).await.is_err());
        drop(guard);
        assert!(tokio::time::timeout(Duration::from_secs(60), idle.elapsed()).await.is_ok());
    }

    #[tokio::test]
    async fn a_changed_time_counts_at_once() {
        let idle = Idle::new(Duration::from_secs(3600));
        idle.set_timeout(Duration::from_millis(1));
        assert!(tokio::time::timeout(Duration::from_secs(60), idle.elapsed()).await.is_ok());
    }

    #[tokio::test]
    async fn who_looks_on_holds_up_idle_time_and_no_shutdown() {
        let idle = Idle::new(Duration::from_millis(20));
        let attention = idle.attention();
        assert!(tokio::time::timeout(Duration::from_millis(200), idle.elapsed()).await.is_err());
        assert!(tokio::time::timeout(Duration::from_secs(60), idle.quiet()).await.is_ok());
        drop(attention);
        assert!(tokio::time::timeout(Duration::from_secs(60), idle.elapsed()).await.is_ok());
    }
}
