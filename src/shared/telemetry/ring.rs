//! The last lines of the log, for `vxctl logs` where no journal keeps them.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::UNIX_EPOCH,
};

use tracing::Level;

use super::copy::Message;
use crate::limits;

/// One remembered line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Counted from 1.
    pub number: u64,
    /// Microseconds since 1970.
    pub usec: u64,
    /// syslog's number for its level.
    pub priority: u8,
    /// The line.
    pub text: String,
}

#[derive(Default)]
pub(super) struct Ring(Mutex<Lines>);

#[derive(Default)]
struct Lines {
    lines: VecDeque<Line>,
    bytes: usize,
    last: u64,
}

/// syslog's number for a level.
pub(super) fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

impl Ring {
    pub fn remember(&self, message: &Message) {
        let since = message.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let usec = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        self.push(usec, priority(message.level()), message.text());
    }

    fn push(&self, usec: u64, priority: u8, mut text: String) {
        text.truncate(text.floor_char_boundary(limits::LOG_LINE_BYTES));
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.last += 1;
        ring.bytes += text.len();
        let number = ring.last;
        ring.lines.push_back(Line { number, usec, priority, text });
        while ring.lines.len() > limits::LOG_LINES || ring.bytes > limits::LOG_BYTES {
            let Some(gone) = ring.lines.pop_front() else { break };
            ring.bytes -= gone.text.len();
        }
    }

    pub fn lines(&self, after: u64, most: usize) -> Vec<Line> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = ring.lines.iter().filter(|line| line.number > after).count();
        ring.lines.iter().skip(ring.lines.len() - newer.min(most)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_lines_make_room() {
        let ring = Ring::default();
        for number in 0..limits::LOG_LINES + 10 {
            ring.push(7, 6, number.to_string());
        }
        let all = ring.lines(0, usize::MAX);
        assert_eq!(all.len(), limits::LOG_LINES);
        assert!(all.windows(2).all(|two| two[0].number + 1 == two[1].number));
        assert_eq!(ring.lines(0, 3), all[all.len() - 3..], "the newest");
        assert_eq!(ring.lines(all[all.len() - 2].number, 3), all[all.len() - 1..], "what is newer than the number");
        for _ in 0..2 * limits::LOG_BYTES / limits::LOG_LINE_BYTES {
            ring.push(7, 6, "long ".repeat(limits::LOG_LINE_BYTES));
        }
        let bytes: usize = ring.lines(0, usize::MAX).iter().map(|line| line.text.len()).sum();
        assert!(bytes <= limits::LOG_BYTES, "{bytes}");
    }
}
