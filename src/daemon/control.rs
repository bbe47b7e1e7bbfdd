//! The daemon on the control plane: its status and reload.

use std::sync::Arc;

use shared::{
    config::ConfigError,
    control::{Controlled, Value},
    service::Parts,
};

use crate::daemon::Daemon;

/// The daemon as `build.vx.Control1` sees it.
pub struct Control {
    /// What is controlled.
    pub daemon: Arc<Daemon>,
    /// Its shell.
    pub parts: Parts,
}

impl Controlled for Control {
    fn status(&self) -> Vec<(&'static str, Value)> {
        let state = if self.parts.shutdown.is_requested() { "draining" } else { "serving" };
        let mut status = vec![("state", Value::from(state))];
        status.extend(self.daemon.counters.values().map(|(name, value)| (name, Value::U64(value))));
        if let Err(err) = self.daemon.config() {
            status.push(("config_error", Value::Str(err.to_string())));
        }
        status
    }

    fn reload(&self) -> Result<(), ConfigError> {
        let config = self.daemon.reload()?;
        self.parts.idle.set_timeout(config.daemon.idle_timeout());
        Ok(())
    }
}
