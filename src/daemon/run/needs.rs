//! What a unit waits for, and how much of it: cargo's rule. What links needs the code of all
//! libraries below it, a library that does not link only its dependencies' metadata.

use std::collections::BTreeSet;

use crate::{
    cargo::plan::{Kind, Plan, Unit, UnitId},
    graph::{Need, Strength},
};

/// The needs of every unit, by [`UnitId`].
pub fn of_all(plan: &Plan) -> Vec<Vec<Need>> {
    plan.units.iter().map(|unit| of(plan, unit)).collect()
}

fn of(plan: &Plan, unit: &Unit) -> Vec<Need> {
    let direct = unit.dependencies.iter().map(|one| one.unit);
    if unit.kind != Kind::BuildScriptRun && unit.needs_objects() {
        return code_below(plan, unit).into_iter().map(|id| need(id, Strength::All)).collect();
    }
    let strength = |id: UnitId| {
        let on = plan.unit(id);
        let is_library = unit.kind != Kind::BuildScriptRun && on.kind == Kind::Lib;
        if is_library && !on.needs_objects() { Strength::Metadata } else { Strength::All }
    };
    let needs: BTreeSet<Need> = direct.map(|id| need(id, strength(id))).collect();
    needs.into_iter().collect()
}

fn need(UnitId(unit): UnitId, strength: Strength) -> Need {
    Need { unit, strength }
}

/// All dependencies, and those of libraries among them. Behind what links itself there is nothing
/// to wait for that it has not waited for.
fn code_below(plan: &Plan, unit: &Unit) -> BTreeSet<UnitId> {
    let mut all = BTreeSet::new();
    let mut open = vec![unit];
    while let Some(unit) = open.pop() {
        for dependency in &unit.dependencies {
            let on = plan.unit(dependency.unit);
            if all.insert(dependency.unit) && on.kind == Kind::Lib && !on.needs_objects() {
                open.push(on);
            }
        }
    }
    all
}
