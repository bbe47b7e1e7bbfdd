//! Which script runs a unit's call hears: its own package's, and in cargo's order those whose
//! `-L` and cdylib arguments travel upward to it.

use std::collections::BTreeSet;

use super::plan::{Kind, Plan, UnitId};

/// The script runs behind one unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// Of the own package: its OUT_DIR, cfg and env.
    pub own: Vec<UnitId>,
    /// Own first, then the dependencies' by package, depth first, without repeats.
    pub to_link: Vec<UnitId>,
    /// Of what runs on the host during the build: their `-L` folders may hold shared libraries
    /// that rustc has to load.
    pub plugins: BTreeSet<UnitId>,
}

/// The links of every unit, by [`UnitId`].
pub fn of_all(plan: &Plan) -> Vec<Links> {
    let mut all = vec![Links::default(); plan.units.len()];
    for id in &plan.order {
        all[id.0] = of(plan, *id, &all);
    }
    all
}

fn of(plan: &Plan, id: UnitId, known: &[Links]) -> Links {
    let unit = plan.unit(id);
    let mut links = Links::default();
    if !unit.target.is_custom_build() {
        let runs = unit.dependencies.iter().map(|one| one.unit).filter(|one| {
            let dependency = plan.unit(*one);
            dependency.kind == Kind::BuildScriptRun && dependency.package == unit.package
        });
        links.own = runs.collect();
    }
    for run in links.own.clone() {
        links.add(run);
    }
    let mut dependencies: Vec<UnitId> = unit.dependencies.iter().map(|one| one.unit).collect();
    dependencies.sort_by_cached_key(|one| {
        let package = plan.package(plan.unit(*one));
        (package.name.clone(), semver::Version::parse(&package.version).ok(), package.id.clone())
    });
    for dependency in dependencies {
        let target = &plan.unit(dependency).target;
        let below = &known[dependency.0].to_link;
        if target.is_for_host() {
            links.plugins.extend(below);
        } else if target.is_linkable() {
            below.iter().for_each(|run| links.add(*run));
        }
    }
    links
}

impl Links {
    fn add(&mut self, run: UnitId) {
        if !self.to_link.contains(&run) {
            self.to_link.push(run);
        }
    }
}
