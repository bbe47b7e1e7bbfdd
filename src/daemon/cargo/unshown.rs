//! Files that a call asks for and cannot see: a person who looks finds them in their place, so it
//! is said what vx shows.

use super::{
    locate,
    package::{Package, Source},
    plan::Plan,
};

/// The file that a message says is not there, when it lies where the call could not see it.
pub fn named(plan: &Plan, package: &Package, rendered: &str) -> Option<String> {
    let (_, rest) = rendered.split_once("couldn't read `")?;
    let (path, _) = rest.split_once('`')?;
    let path = locate::clean(&plan.workspace_root.join(plan.mounts.to_real(path)));
    let shown = match package.source {
        Source::Member { .. } => &plan.workspace_root,
        _ => &package.real,
    };
    let is_ours = !path.starts_with(shown) && package.source.is_path();
    is_ours.then(|| path.display().to_string())
}

/// What the person is told of it.
pub fn note(package: &Package, path: &str) -> String {
    let shown = match package.source {
        Source::Member { .. } => "the workspace".to_owned(),
        _ => format!("the package `{}`", package.name),
    };
    format!("`{path}` is outside of {shown}, and vx shows it nothing else")
}
