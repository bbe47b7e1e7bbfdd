//! Files that a call asks for and cannot see: a person who looks finds them in their place, so it
//! is said what vx shows.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    locate, mounts,
    package::{Package, Source},
    plan::Plan,
};

/// rustc's words before a path that it cannot read.
pub const MISSED: &str = "couldn't read `";
/// And before one that a module could be in.
pub const MODULE: &str = "create file \"";

/// The file that a message says is not there, when it lies where the call could not see it.
pub fn named(plan: &Plan, package: &Package, rendered: &str) -> Option<String> {
    let read = rendered.split_once(MISSED).and_then(|(_, rest)| rest.split_once('`'));
    let module = || rendered.split_once(MODULE).and_then(|(_, rest)| rest.split_once('"'));
    let (path, _) = read.or_else(module)?;
    let path = locate::clean(&plan.workspace_root.join(plan.mounts.to_real(path)));
    let shown = match package.source {
        Source::Member { .. } => &plan.workspace_root,
        _ => &package.real,
    };
    let path = beyond(&path, shown).unwrap_or(path);
    // What a script did not make is nowhere else.
    let is_made = mounts::ALL.iter().any(|mount| path.starts_with(mount));
    let is_ours = !path.starts_with(shown) && !is_made && package.source.is_path();
    is_ours.then(|| path.display().to_string())
}

/// Where a path leads to by a link, if that is outside of the folder that it lies in.
fn beyond(path: &Path, folder: &Path) -> Option<PathBuf> {
    let (real, folder) = (fs::canonicalize(path).ok()?, fs::canonicalize(folder).ok()?);
    (!real.starts_with(folder)).then_some(real)
}

/// What the person is told of it.
pub fn note(package: &Package, path: &str) -> String {
    let Source::Member { .. } = package.source else {
        return format!("`{path}` is outside of the package `{}`, and vx shows it nothing else", package.name);
    };
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    format!(
        "`{path}` is outside of the workspace, and vx shows it nothing else; from rung `namespaces` on \
         these lines in vx.toml would:\n\n\
         [[sandbox.exception]]\npackage = {}\nversion = {}\npart = \"macros\"\n\
         reason = \"is compiled into it\"\nread = [{}]\n",
        quoted(&package.name),
        quoted(&package.version),
        quoted(path)
    )
}
