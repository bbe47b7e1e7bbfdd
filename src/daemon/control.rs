//! The daemon on the control plane: its status and reload.

use std::sync::{Arc, Mutex, PoisonError};

use shared::{
    config::{ConfigError, Exception},
    control::{Controlled, Value},
    service::Parts,
};

use crate::daemon::Daemon;

/// The daemon as `build.vx.Control1` sees it.
pub struct Control {
    /// What is controlled.
    daemon: Arc<Daemon>,
    /// Its shell.
    parts: Parts,
    /// Why the last reload changed nothing, if it did not.
    refused: Mutex<Option<ConfigError>>,
}

impl Control {
    /// The daemon, as its shell runs it.
    pub fn new(daemon: Arc<Daemon>, parts: Parts) -> Self {
        Control { daemon, parts, refused: Mutex::default() }
    }
}

fn listed(exceptions: &[Exception]) -> Vec<String> {
    let line = |one: &Exception| {
        let (part, grants) = (one.part.words(), one.grants());
        format!("{} {} ({part}): {grants}: {}", one.package, one.version, one.reason)
    };
    exceptions.iter().map(line).collect()
}

impl Controlled for Control {
    fn status(&self) -> Vec<(&'static str, Value)> {
        let state = if self.parts.shutdown.is_requested() { "draining" } else { "serving" };
        let mut status = vec![("state", Value::from(state))];
        status.extend(self.daemon.counters.values().map(|(name, value)| (name, Value::U64(value))));
        status.extend(self.daemon.counters.wrapped_values().into_iter().map(|(name, value)| (name, Value::U64(value))));
        // Only where there are any: nobody wants to read that there are none.
        let exceptions = self.daemon.config().map(|config| listed(&config.sandbox.exception)).unwrap_or_default();
        if !exceptions.is_empty() {
            status.push(("exceptions", Value::List(exceptions)));
        }
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(err) = self.daemon.config().err().or(refused) {
            status.push(("config_error", Value::Str(err.to_string())));
        }
        status
    }

    fn reload(&self) -> Result<(), ConfigError> {
        let reloaded = self.daemon.reload();
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = reloaded.as_ref().err().cloned();
        self.parts.idle.set_timeout(reloaded?.daemon.idle_timeout());
        Ok(())
    }
}
