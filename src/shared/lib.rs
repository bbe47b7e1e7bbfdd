//! What the five programs share, in floors: a module imports only from floors below its own
//! (`tests/tidy.rs` checks it). This file holds the only feature gates of the package.

// Floor 0: words.
#[cfg(feature = "service")]
pub mod checkout;
#[cfg(feature = "service")]
pub mod digest;
pub mod fault;
pub mod limits;
pub mod paths;

// Floor 1: speech. No runtime below this line.
#[cfg(feature = "control")]
pub mod config;
#[cfg(feature = "service")]
pub mod failpoint;
#[cfg(feature = "service")]
pub mod reapi;
pub mod wire;

// Floor 2: company.
#[cfg(feature = "service")]
pub mod client;
#[cfg(feature = "control")]
pub mod control;
#[cfg(feature = "service")]
pub mod service;
#[cfg(feature = "service")]
pub mod telemetry;

/// Whether services die where they are told to: in the tests' build alone.
#[cfg(feature = "service")]
const FAILPOINTS: bool = cfg!(feature = "failpoints");
