//! A call of a unit whose output holds the place of the checkout: it runs at the person's own
//! folder instead of the fixed mount, and is good for that folder alone.

use super::{
    call::Call,
    mounts::{WORKSPACE, join},
    plan::{Plan, Unit},
    rustc::is_placed,
};

/// Where a unit runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// At the fixed mount, for every checkout.
    Anywhere,
    /// At the person's own folder.
    Here,
}

/// The same call at the person's own folder.
pub fn here(plan: &Plan, unit: &Unit, mut call: Call) -> Call {
    let root = plan.workspace_root.to_string_lossy().into_owned();
    for value in call.env.values_mut().filter(|value| is_placed(plan, unit, value)) {
        *value = plan.mounts.to_real(value);
    }
    let below = format!("/{}", call.cwd);
    if let Some(below) = below.strip_prefix(WORKSPACE).filter(|rest| rest.is_empty() || rest.starts_with('/')) {
        call.cwd = join(&root, below.trim_start_matches('/')).trim_start_matches('/').to_owned();
    }
    let remap = format!("--remap-path-prefix={WORKSPACE}=");
    if let Some(at) = call.args.iter().position(|arg| arg.starts_with(&remap)) {
        let own = call.args[at].replacen(WORKSPACE, &root, 1);
        call.args.insert(at + 1, own);
    }
    call.places = vec![(WORKSPACE.to_owned(), root)];
    call
}
