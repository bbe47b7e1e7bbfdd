//! What casd says about itself on the control plane, and what a reload changes.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use shared::{
    config::{Config, ConfigError},
    control::{Controlled, Value},
    paths::{self, Service},
    service::Parts,
};

use crate::serve::{Casd, Gate};

/// casd as `vxctl` sees it.
pub struct Control {
    pub config_file: PathBuf,
    /// Where the opened store lies.
    pub folder: PathBuf,
    /// What is wrong with vx.toml, while it is.
    pub config_error: Mutex<Option<ConfigError>>,
    pub casd: Option<Arc<Casd>>,
    pub notes: Vec<String>,
    /// Closed while there is no valid configuration or no store.
    pub gate: Gate,
    pub parts: Parts,
}

impl Controlled for Control {
    fn status(&self) -> Vec<(&'static str, Value)> {
        let state = if self.parts.shutdown.is_requested() { "draining" } else { "serving" };
        let mut status = vec![("state", Value::from(state))];
        status.extend(self.parts.tcp.state().map(|state| ("tcp", state.into())));
        if let Some(error) = &*self.config_error.lock().unwrap_or_else(PoisonError::into_inner) {
            status.push(("config_error", error.to_string().into()));
        }
        if let Some(casd) = &self.casd {
            let (totals, counts) = (casd.store.totals(), casd.actions.counts());
            status.extend([
                ("store_bytes", totals.bytes.into()),
                ("blobs", totals.blobs.into()),
                ("results", counts.entries.into()),
                ("hits", counts.hits.into()),
                ("misses", counts.misses.into()),
            ]);
        }
        if !self.notes.is_empty() {
            status.push(("note", Value::List(self.notes.clone())));
        }
        status
    }

    fn reload(&self) -> Result<(), ConfigError> {
        let loaded = Config::load(&self.config_file);
        let mut error = self.config_error.lock().unwrap_or_else(PoisonError::into_inner);
        match loaded {
            Ok(config) => {
                self.parts.idle.set_timeout(config.cas.idle_timeout());
                self.parts.tcp.set(config.cas.listen_tcp);
                *error = None;
                if self.casd.is_some() && folder(&config).as_ref() == Some(&self.folder) {
                    self.gate.open();
                } else {
                    // Another store, or another try: opened by the next instance, which the next connect starts.
                    tracing::info!("leaving, to begin again with the store that vx.toml names");
                    self.parts.shutdown.request();
                }
                Ok(())
            }
            Err(wrong) => {
                *error = Some(wrong.clone());
                Err(wrong)
            }
        }
    }
}

/// Where a configuration says the store lies.
pub fn folder(config: &Config) -> Option<PathBuf> {
    config.cas.path.clone().or_else(|| paths::cache_dir(Service::Cas))
}
