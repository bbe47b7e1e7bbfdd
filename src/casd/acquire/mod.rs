//! Brings what lies outside the store into it: crate archives now, toolchains later.
//! Nothing is ever unpacked by path.

mod archive;
mod crates;

pub use crates::{Crate, acquire_crates};
