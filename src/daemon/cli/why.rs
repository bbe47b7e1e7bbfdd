//! `vx why`: which units, of which workspace.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// The words of `vx why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Words of a unit's name, as `vx build -v` shows it: a package, a target; without any, all that was run
    #[arg(value_name = "UNIT", value_hint = ValueHint::Other)]
    pub unit: Vec<String>,
    /// Path to Cargo.toml
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub manifest_path: Option<PathBuf>,
}
