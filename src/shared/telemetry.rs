//! Logging of a service. Whoever logs only copies the message into a bounded queue and into the
//! memory that `vxctl logs` can ask for; one thread brings it to the journal, when standard error
//! is the journal's stream, else to standard error. A journal that hangs stalls nobody. Level and
//! target can be changed while the service runs.

mod copy;
pub mod messages;
mod outlet;
mod ring;

use std::{
    fmt,
    sync::{Mutex, OnceLock, PoisonError, atomic::Ordering},
};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Registry,
    layer::SubscriberExt,
    reload::{self, Handle},
    util::SubscriberInitExt,
};

use self::{copy::Copying, outlet::Outlet, ring::Ring};
pub use self::{outlet::Target, ring::Line};
use crate::{limits, paths, paths::Service};

/// The log of this process.
pub struct Log {
    identifier: &'static str,
    filter: Handle<EnvFilter, Registry>,
    /// The word for the filter, as it was asked for.
    level: Mutex<String>,
    ring: Ring,
    outlet: Outlet,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("identifier", &self.identifier).field("level", &self.level).finish_non_exhaustive()
    }
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Starts logging for the whole process; later calls change nothing.
pub fn start(service: Service) -> &'static Log {
    let mut fresh = None;
    let log = LOG.get_or_init(|| {
        let asked = paths::log_filter().and_then(|text| Some((EnvFilter::try_new(&text).ok()?, text)));
        let (filter, level) = match asked {
            Some((filter, text)) => {
                let hint = filter.max_level_hint();
                (filter, hint.map_or(text, |hint| word(hint).to_owned()))
            }
            None => (EnvFilter::new("info"), "info".to_owned()),
        };
        let (filter, handle) = reload::Layer::new(filter);
        fresh = Some(filter);
        let target = if stderr_is_the_journal() { Target::Journal } else { Target::Console };
        Log {
            identifier: service.program(),
            filter: handle,
            level: Mutex::new(level),
            ring: Ring::default(),
            outlet: Outlet::start(service.program(), target),
        }
    });
    if let Some(filter) = fresh {
        // A second subscriber in one process (tests) keeps the first.
        let _ = tracing_subscriber::registry().with(filter).with(Copying { log }).try_init();
    }
    log
}

impl Log {
    /// The least important messages that are logged, as a word of syslog's.
    pub fn level(&self) -> String {
        self.level.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes it; false for what is no word of syslog's.
    #[must_use]
    pub fn set_level(&self, level: &str) -> bool {
        let Some(filter) = filter(level) else { return false };
        if let Err(err) = self.filter.reload(EnvFilter::new(filter)) {
            tracing::warn!(%err, "the level of the log cannot be changed, ignoring");
            return true;
        }
        level.clone_into(&mut self.level.lock().unwrap_or_else(PoisonError::into_inner));
        tracing::info!(level, "the level of the log was changed");
        true
    }

    /// Where messages go.
    pub fn target(&self) -> Target {
        self.outlet.target()
    }

    /// Changes it.
    pub fn set_target(&self, target: Target) {
        self.outlet.set_target(target);
    }

    /// The name that messages carry.
    pub fn identifier(&self) -> &'static str {
        self.identifier
    }

    /// The newest remembered lines after a number, at most so many.
    pub fn lines(&self, after: u64, most: usize) -> Vec<Line> {
        self.ring.lines(after, most)
    }

    /// Messages that were lost because nobody took them in time.
    pub fn dropped(&self) -> u64 {
        self.outlet.dropped.load(Ordering::Relaxed)
    }

    /// Waits a moment until what was logged is written: before the end of the process.
    pub fn flush(&self) {
        self.outlet.flush(limits::LOG_FLUSH);
    }
}

/// The libraries below tell far more than the service does.
const QUIET: &str = "h2=info,hyper=info,hyper_util=info,tonic=info,tower=info,zbus=info,tokio=info,runtime=info";

/// The filter for a word of syslog's.
fn filter(level: &str) -> Option<String> {
    let level = match level {
        "emerg" | "alert" | "crit" | "err" => "error",
        "warning" => "warn",
        "notice" | "info" => "info",
        "debug" => return Some(format!("debug,{QUIET}")),
        _ => return None,
    };
    Some(level.to_owned())
}

/// The word of syslog's for what a filter lets through.
fn word(hint: LevelFilter) -> &'static str {
    match hint {
        LevelFilter::OFF => "emerg",
        LevelFilter::ERROR => "err",
        LevelFilter::WARN => "warning",
        LevelFilter::INFO => "info",
        _ => "debug",
    }
}

// The types of device and inode differ from system to system.
#[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "st_dev is not u64 everywhere")]
fn stderr_is_the_journal() -> bool {
    let Some(expected) = paths::journal_stream() else { return false };
    let stderr = std::io::stderr();
    rustix::fs::fstat(&stderr).is_ok_and(|stat| (stat.st_dev as u64, stat.st_ino as u64) == expected)
}

#[cfg(test)]
mod tests;
