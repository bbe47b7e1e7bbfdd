//! Idle time: a service may leave when nothing holds a guard for the configured time. Whoever
//! works (a connection, an action, a session) holds one.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

/// Counts who works and knows how long nobody may before the service leaves.
#[derive(Clone, Debug)]
pub struct Idle {
    busy: Arc<watch::Sender<usize>>,
    timeout: Arc<watch::Sender<Duration>>,
}

/// Keeps the service from leaving while it lives.
#[derive(Debug)]
pub struct Guard(Arc<watch::Sender<usize>>);

impl Idle {
    /// Nobody works yet.
    pub fn new(timeout: Duration) -> Self {
        Idle { busy: Arc::new(watch::Sender::new(0)), timeout: Arc::new(watch::Sender::new(timeout)) }
    }

    /// Marks the start of some work.
    pub fn guard(&self) -> Guard {
        self.busy.send_modify(|busy| *busy += 1);
        Guard(Arc::clone(&self.busy))
    }

    /// How many guards there are.
    pub fn busy(&self) -> usize {
        *self.busy.borrow()
    }

    /// Changes the time, as a reload does.
    pub fn set_timeout(&self, timeout: Duration) {
        self.timeout.send_replace(timeout);
    }

    /// Returns when nobody worked for the whole time.
    pub(super) async fn elapsed(&self) {
        let (mut busy, mut timeout) = (self.busy.subscribe(), self.timeout.subscribe());
        loop {
            // Both senders live in `self`, so waiting on them cannot fail.
            if busy.wait_for(|busy| *busy == 0).await.is_err() {
                return;
            }
            let wait = *timeout.borrow_and_update();
            tokio::select! {
                () = tokio::time::sleep(wait) => if *busy.borrow_and_update() == 0 { return },
                _ = busy.changed() => {}
                _ = timeout.changed() => {}
            }
        }
    }

    /// Returns when nobody works.
    pub(super) async fn quiet(&self) {
        // The sender lives in `self`, so waiting on it cannot fail.
        let _ = self.busy.subscribe().wait_for(|busy| *busy == 0).await;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.send_modify(|busy| *busy -= 1);
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
}
