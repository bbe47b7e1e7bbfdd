//! Which of the built programs `run` means, in cargo's rules and words. Pure.

use super::{
    plan::{Kind, Plan, UnitId},
    select::TargetChoice,
};

/// What is known before anything is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// This root of the plan.
    Root(UnitId),
    /// The plan holds more than that, or lacks it: ask again for this binary alone.
    Narrow(String),
}

/// The program that `run` means under these target words, or why there is none.
pub fn choose(plan: &Plan, targets: &[TargetChoice]) -> Result<Choice, String> {
    let roots = || plan.roots.iter().map(|root| plan.unit(*root));
    if !targets.is_empty() {
        let mut programs: Vec<_> = roots().filter(|unit| matches!(unit.kind, Kind::Bin | Kind::Example)).collect();
        programs.sort_by_key(|unit| (unit.package, unit.kind == Kind::Example, unit.target.name.clone()));
        return match programs[..] {
            [one] if !one.target.crate_types.iter().any(|kind| kind == "bin") => {
                Err(format!("example target `{}` is a library and cannot be executed", one.target.name))
            }
            [one] => Ok(Choice::Root(one.id)),
            _ => Err(several(plan, programs.iter().map(|unit| unit.id))),
        };
    }
    let mut selected: Vec<usize> = roots().map(|unit| unit.package).collect();
    selected.sort_unstable();
    selected.dedup();
    let packages = || selected.iter().map(|package| &plan.packages[*package]);
    let defaults: Vec<&String> = packages().filter_map(|package| package.default_run.as_ref()).collect();
    let mut names: Vec<&str> = match defaults[..] {
        [one] => vec![one.as_str()],
        _ => packages()
            .flat_map(|package| &package.targets)
            .filter(|one| one.is_bin())
            .map(|one| one.name.as_str())
            .collect(),
    };
    names.sort_unstable();
    let [name] = names[..] else {
        return Err(match names.is_empty() {
            true => "a bin target must be available for `vx run`".to_owned(),
            false => format!(
                "`vx run` could not determine which binary to run. Use the `--bin` option to specify a binary, \
                 or the `default-run` manifest key.\navailable binaries: {}",
                names.join(", ")
            ),
        });
    };
    let bins: Vec<_> = roots().filter(|unit| unit.kind == Kind::Bin).collect();
    // A default leaves the others alone, and what has not the features it needs is not among the roots.
    Ok(match bins[..] {
        [one] if one.target.name == name && defaults.len() != 1 => Choice::Root(one.id),
        _ => Choice::Narrow(name.to_owned()),
    })
}

fn several(plan: &Plan, programs: impl Iterator<Item = UnitId>) -> String {
    let mut text =
        "`vx run` can run at most one executable, but multiple were specified\nhelp: available targets:".to_owned();
    for unit in programs.map(|id| plan.unit(id)) {
        let kind = if unit.kind == Kind::Bin { "bin" } else { "example" };
        text += &format!("\n    {kind} `{}` in package `{}`", unit.target.name, plan.package(unit).name);
    }
    text
}
