//! A call of a unit whose output holds the place of the checkout: it runs at the person's own
//! folder instead of the fixed mount, and is good for that folder alone.

use std::path::Path;

use super::{
    call::Call,
    locate,
    mounts::{Mounts, WORKSPACE, join},
    plan::{Kind, Plan, Unit},
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

/// The runs whose OUT_DIR a unit knows: a script's run its own, what is compiled those of its package's scripts.
pub fn runs_of<'a>(plan: &'a Plan, unit: &'a Unit) -> Vec<&'a Unit> {
    match unit.kind {
        Kind::BuildScriptRun => vec![unit],
        _ => unit.links.own.iter().map(|run| plan.unit(*run)).collect(),
    }
}

/// An OUT_DIR by its own place. A target folder keeps `..` in its name, and a place has none: what is before it need not be there.
pub fn own_out_dir(plan: &Plan, run: &Unit) -> String {
    let real = plan.shown(&run.out_dir(plan));
    locate::clean(Path::new(&real)).to_string_lossy().into_owned()
}

/// The same with what its scripts made at the person's own places, where programs look for it; a script writes there.
pub fn with_out_dirs(plan: &Plan, unit: &Unit, mut call: Call) -> Call {
    let runs = runs_of(plan, unit).into_iter();
    let places: Vec<(String, String)> = runs.map(|run| (own_out_dir(plan, run), run.out_dir(plan))).collect();
    let mounts = Mounts::new(places.clone());
    for value in call.env.values_mut() {
        *value = mounts.to_real(value);
    }
    for (real, fixed) in places {
        let remap = format!("--remap-path-prefix={fixed}=");
        if let Some(at) = call.args.iter().position(|arg| arg.starts_with(&remap)) {
            let own = call.args[at].replacen(&fixed, &real, 1);
            call.args.insert(at + 1, own);
        }
        call.places.push((fixed, real));
    }
    call
}
