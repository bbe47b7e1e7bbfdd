//! Logging of a service: to the journal when standard error is the journal's stream, else as
//! lines on standard error. `VX_LOG` or the service's default decides what is shown.

use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::paths;

/// Starts logging for the whole process; later calls change nothing.
pub fn start() {
    let filter = paths::log_filter().and_then(|text| EnvFilter::try_new(text).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new("info"));
    let journal = stderr_is_the_journal().then(tracing_journald::layer).and_then(Result::ok);
    let journal = journal.map(|layer| layer.with_field_prefix(None));
    let lines = journal.is_none().then(|| {
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(false).compact()
    });
    // A second call in one process (tests) keeps the first subscriber.
    let _ = tracing_subscriber::registry().with(journal.boxed()).with(lines).with(filter).try_init();
}

fn stderr_is_the_journal() -> bool {
    let Some(expected) = paths::journal_stream() else { return false };
    let stderr = std::io::stderr();
    rustix::fs::fstat(&stderr).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == expected)
}
