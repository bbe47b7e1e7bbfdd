//! Where messages leave the process: a bounded queue, and one thread that alone may block on the
//! journal or on standard error. What finds the queue full is lost and counted, and the loss is said
//! as soon as there is room.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tracing::{Dispatch, level_filters::LevelFilter};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::layer::SubscriberExt;

use super::{copy::Message, messages};
use crate::limits;

/// Where messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The journal, with fields.
    Journal,
    /// Lines on standard error.
    Console,
}

enum Item {
    Message(Box<Message>),
    /// Answered when everything before it was written.
    Flush(mpsc::Sender<()>),
}

pub(super) struct Outlet {
    queue: Option<SyncSender<Item>>,
    target: Arc<AtomicU8>,
    /// Messages lost so far.
    pub dropped: Arc<AtomicU64>,
}

impl Outlet {
    pub fn start(identifier: &'static str, target: Target) -> Outlet {
        let (queue, items) = mpsc::sync_channel(limits::LOG_QUEUE);
        let target = Arc::new(AtomicU8::new(target as u8));
        let dropped = Arc::new(AtomicU64::new(0));
        let writer =
            Writer { identifier, target: Arc::clone(&target), dropped: Arc::clone(&dropped), said: 0, journal: None };
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(&items));
        // Without the thread the remembered lines are all there is.
        Outlet { queue: thread.ok().map(|_| queue), target, dropped }
    }

    pub fn target(&self) -> Target {
        read(&self.target)
    }

    pub fn set_target(&self, target: Target) {
        self.target.store(target as u8, Ordering::Relaxed);
    }

    /// Never waits.
    pub fn send(&self, message: Message) {
        let Some(queue) = &self.queue else { return };
        if let Err(TrySendError::Full(_)) = queue.try_send(Item::Message(Box::new(message))) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was sent is written, but not longer than `wait`.
    pub fn flush(&self, wait: Duration) {
        let Some(queue) = &self.queue else { return };
        let (written, done) = mpsc::channel();
        let end = Instant::now() + wait;
        let mut item = Item::Flush(written);
        while let Err(TrySendError::Full(back)) = queue.try_send(item) {
            if Instant::now() > end {
                return;
            }
            item = back;
            std::thread::sleep(Duration::from_millis(5));
        }
        // Not written in time: the process ends all the same.
        let _ = done.recv_timeout(end.saturating_duration_since(Instant::now()));
    }
}

fn read(target: &AtomicU8) -> Target {
    if target.load(Ordering::Relaxed) == Target::Journal as u8 { Target::Journal } else { Target::Console }
}

/// The thread's side.
struct Writer {
    identifier: &'static str,
    target: Arc<AtomicU8>,
    dropped: Arc<AtomicU64>,
    /// Losses that were said.
    said: u64,
    /// The journal's end, once it was reached.
    journal: Option<Dispatch>,
}

impl Writer {
    fn run(mut self, items: &Receiver<Item>) {
        while let Ok(item) = items.recv() {
            match item {
                Item::Message(message) => {
                    self.write(&message);
                    self.say_losses();
                }
                Item::Flush(written) => drop(written.send(())),
            }
        }
    }

    fn write(&mut self, message: &Message) {
        if read(&self.target) == Target::Journal
            && let Some(journal) = self.journal()
        {
            // The registry lets go of spans through the thread's own subscriber, which must be itself.
            return tracing::dispatcher::with_default(journal, || message.tell(journal));
        }
        let line = format!("{} {:5} {}\n", utc(message.time), message.level(), message.text());
        // Nobody reads standard error: the remembered lines are left.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    /// What was lost is said once for each time the queue was full.
    fn say_losses(&mut self) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        let lost = dropped - self.said;
        if lost > 0 {
            self.said = dropped;
            tracing::warn!(
                lost,
                message_id = messages::LOG_DROPPED,
                "messages were lost: the log took them too slowly"
            );
        }
    }

    fn journal(&mut self) -> Option<&Dispatch> {
        if self.journal.is_none() {
            let layer = tracing_journald::layer().ok()?;
            let layer = layer
                .with_field_prefix(None)
                .with_syslog_identifier(self.identifier.to_owned())
                // The words of org.freedesktop.LogControl1 and `journalctl -p` then mean the same.
                .with_priority_mappings(PriorityMappings {
                    error: Priority::Error,
                    warn: Priority::Warning,
                    info: Priority::Informational,
                    debug: Priority::Debug,
                    trace: Priority::Debug,
                });
            // It is only told what has passed the filter; of itself it asks for nothing.
            let subscriber = tracing_subscriber::registry().with(layer).with(LevelFilter::OFF);
            self.journal = Some(Dispatch::new(subscriber));
        }
        self.journal.as_ref()
    }
}

/// `2026-11-21T04:46:22.123Z`.
fn utc(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (since.as_secs(), since.subsec_millis());
    let (mut year, mut days) = (1970, seconds / 86400);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let months = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= months[month] {
        days -= months[month];
        month += 1;
    }
    let (hour, minute, second) = (seconds % 86400 / 3600, seconds % 3600 / 60, seconds % 60);
    format!("{year}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z", month + 1, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_over_leap_years() {
        let at = |seconds: u64| utc(UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 7));
        assert_eq!(at(0), "1970-01-01T00:00:00.007Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.007Z");
        assert_eq!(at(1_795_236_382), "2026-11-21T04:46:22.007Z");
    }
}
