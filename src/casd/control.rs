//! What casd says about itself on the control plane, and what a reload changes.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use shared::{
    config::{Config, ConfigError},
    control::{Controlled, Keys, Store, Value},
    paths::{self, Service},
    service::Parts,
};

use crate::{
    keeper::Keeper,
    serve::{Casd, Gate},
};

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
            let (bytes, budget) = casd.keeper.budget();
            status.extend([
                ("store_bytes", bytes.into()),
                ("budget_bytes", budget.into()),
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

    fn store(&self) -> Option<Arc<dyn Store>> {
        Some(Arc::new(Upkeep(self.casd.as_ref()?.keeper.clone())))
    }

    fn reload(&self) -> Result<(), ConfigError> {
        let loaded = Config::load(&self.config_file);
        let mut error = self.config_error.lock().unwrap_or_else(PoisonError::into_inner);
        match loaded {
            Ok(config) => {
                self.parts.idle.set_timeout(config.cas.idle_timeout());
                self.parts.tcp.set(config.cas.listen_tcp);
                if let Some(casd) = &self.casd {
                    casd.keeper.set_budget(config.cas.budget);
                }
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

/// What an administrator may ask of the store.
struct Upkeep(Arc<Keeper>);

impl Store for Upkeep {
    fn verify(&self) -> Result<Keys, String> {
        let found = self.0.verify().map_err(|busy| busy.to_string())?;
        let damaged = found.blobs.corrupt + found.blobs.unreadable + found.damaged_results;
        let mut keys: Keys = vec![
            ("verified_blobs", found.blobs.blobs.into()),
            ("verified_bytes", found.blobs.bytes.into()),
            ("verified_results", found.results.into()),
            ("damaged", damaged.into()),
            ("unreadable", found.blobs.unreadable.into()),
            ("forgotten_results", found.incomplete_results.into()),
        ];
        if !found.blobs.named.is_empty() {
            keys.push(("damaged_blobs", Value::List(found.blobs.named.iter().map(ToString::to_string).collect())));
        }
        if found.blobs.stopped {
            keys.push(("note", "stopped before the end: the service leaves".into()));
        }
        Ok(keys)
    }

    fn gc(&self) -> Result<Keys, String> {
        let done = self.0.gc().map_err(|busy| busy.to_string())?;
        let (_, budget) = self.0.budget();
        Ok(vec![
            ("evicted_blobs", done.evicted.blobs.into()),
            ("evicted_bytes", done.evicted.bytes.into()),
            ("compacted_segments", done.evicted.segments.into()),
            ("forgotten_results", done.forgotten_results.into()),
            ("freed_bytes", done.evicted.freed.into()),
            ("store_bytes", done.left.into()),
            ("budget_bytes", budget.into()),
        ])
    }

    fn stats(&self) -> Result<Keys, String> {
        Ok(self.0.stats())
    }
}

/// Where a configuration says the store lies.
pub fn folder(config: &Config) -> Option<PathBuf> {
    config.cas.path.clone().or_else(|| paths::cache_dir(Service::Cas))
}
