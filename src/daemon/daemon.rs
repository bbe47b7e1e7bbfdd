//! What all sessions of one daemon share.

use std::sync::{Arc, PoisonError, RwLock};

use shared::{
    config::{Config, ConfigError},
    paths::{self, Service},
};

use crate::{
    audit,
    events::Counters,
    execute::{Executing, Flights},
    history::History,
    mentions::Mentions,
    names::Names,
    sources::Hashes,
    why,
    workspace::Plans,
    wrapped,
};

/// The daemon's state.
pub struct Daemon {
    /// Plans of workspaces.
    pub plans: Plans,
    /// Digests of files.
    pub hashes: Arc<Hashes>,
    /// Actions that builds wait for.
    pub executing: Arc<Executing>,
    /// Units of workspaces that builds run.
    pub flights: Arc<Flights>,
    /// Variables that units have named.
    pub names: Arc<Names>,
    /// Variables that programs name.
    pub mentions: Arc<Mentions>,
    /// How long units took.
    pub history: Arc<History>,
    /// What units were made of.
    pub why: Arc<why::Memory>,
    /// What scripts and macros did.
    pub audit: Arc<audit::Memory>,
    /// What is known of calls that cargo makes through vx.
    pub wrapped: wrapped::Memory,
    /// For status.
    pub counters: Arc<Counters>,
    config: RwLock<Result<Arc<Config>, ConfigError>>,
}

impl Daemon {
    /// A daemon with the configuration that was read at start, broken or not.
    pub fn new(config: Result<Config, ConfigError>) -> Self {
        Daemon {
            plans: Plans::default(),
            hashes: Arc::default(),
            executing: Arc::default(),
            flights: Arc::default(),
            names: Arc::default(),
            mentions: Arc::default(),
            history: Arc::new(History::new(paths::state_dir(Service::Daemon).map(|dir| dir.join("durations")))),
            audit: Arc::new(audit::Memory::new(paths::state_dir(Service::Daemon).map(|dir| dir.join("audit")))),
            why: Arc::new(why::Memory::new(paths::state_dir(Service::Daemon).map(|dir| dir.join("why")))),
            wrapped: wrapped::Memory::default(),
            counters: Arc::default(),
            config: RwLock::new(config.map(Arc::new)),
        }
    }

    /// The configuration in use, or why there is none.
    pub fn config(&self) -> Result<Arc<Config>, ConfigError> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads vx.toml again. A broken one changes nothing.
    pub fn reload(&self) -> Result<Arc<Config>, ConfigError> {
        let config = Arc::new(read_config()?);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Ok(Arc::clone(&config));
        Ok(config)
    }
}

/// vx.toml as it is now.
pub fn read_config() -> Result<Config, ConfigError> {
    paths::config_file().map_or_else(|| Ok(Config::default()), |file| Config::load(&file))
}
