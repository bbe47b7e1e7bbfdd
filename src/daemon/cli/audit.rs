//! `vx audit`: of which package.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// The words of `vx audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// A package of the build, as NAME or NAME@VERSION; without one, all
    #[arg(value_name = "PKG", value_hint = ValueHint::Other)]
    pub package: Option<String>,
    /// Path to Cargo.toml
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub manifest_path: Option<PathBuf>,
}
