//! What execd says about itself on the control plane, and what a reload changes.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, atomic::Ordering},
};

use shared::{
    config::{Config, ConfigError},
    control::{Controlled, Value},
};

use crate::executor::{Executor, File};

/// execd as `vxctl` sees it.
pub struct Control {
    /// The executor.
    pub executor: Arc<Executor>,
    /// vx.toml.
    pub config_file: PathBuf,
}

impl Controlled for Control {
    fn status(&self) -> Vec<(&'static str, Value)> {
        let executor = &self.executor;
        let state = if executor.parts.shutdown.is_requested() { "draining" } else { "serving" };
        let mut status = vec![
            ("state", Value::from(state)),
            ("rung", executor.ladder.rung.name().into()),
            ("slots", (executor.slots.total() as u64).into()),
            ("actions", executor.running.load(Ordering::Relaxed).into()),
            ("ran", executor.ran.load(Ordering::Relaxed).into()),
            ("hits", executor.hits.load(Ordering::Relaxed).into()),
            ("stage_bytes", executor.sources.stage.bytes().into()),
            ("incremental_bytes", executor.incremental.bytes().into()),
        ];
        status.extend(executor.parts.tcp.state().map(|state| ("tcp", state.into())));
        status.extend(executor.why().map(|why| ("rung_why", why.into())));
        let rules = executor.rules.lock().unwrap_or_else(PoisonError::into_inner);
        status.push(("sandbox_minimum", rules.minimum.name().into()));
        if let File::BrokenAtStart(error) | File::BrokenSince(error) = &rules.file {
            status.push(("config_error", error.to_string().into()));
        }
        status
    }

    fn reload(&self) -> Result<(), ConfigError> {
        match Config::load(&self.config_file) {
            Ok(config) => {
                self.executor.configure(&config);
                Ok(())
            }
            Err(error) => {
                let mut rules = self.executor.rules.lock().unwrap_or_else(PoisonError::into_inner);
                rules.file = match rules.file {
                    File::BrokenAtStart(_) => File::BrokenAtStart(error.clone()),
                    File::Valid | File::BrokenSince(_) => File::BrokenSince(error.clone()),
                };
                Err(error)
            }
        }
    }
}
