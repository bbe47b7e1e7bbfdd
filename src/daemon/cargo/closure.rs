//! What a call must see of other units: the transitive libraries as metadata or as code, the
//! macros to load, script outputs that some argument points into. More than it opens does no
//! harm but to the key; less is a "can't find crate".

use std::collections::{BTreeSet, HashSet};

use super::{
    call::{Needs, Output, Placed, RenderError, Role},
    directives::Directives,
    mounts,
    plan::{Kind, Plan, Unit, UnitId},
};

/// What scripts have said, by their run's unit.
pub type Said = std::collections::BTreeMap<UnitId, Directives>;

/// What a script has said, or configuration in its place.
pub fn said<'a>(plan: &'a Plan, said: &'a Said, unit: &Unit, run: UnitId) -> Result<&'a Directives, RenderError> {
    let found = plan.unit(run).stands_in.as_ref().or_else(|| said.get(&run));
    found.ok_or_else(|| RenderError::NotRun { unit: unit.label.clone(), run: plan.unit(run).label.clone() })
}

/// The needs of a compiler call.
pub fn of_compile(plan: &Plan, unit: &Unit, scripts: &Said) -> Result<Needs, RenderError> {
    let mut needs = Needs { packages: vec![unit.package], ..Needs::default() };
    let mut walk = Walk { plan, files: BTreeSet::new(), seen: HashSet::new(), loads_macros: false };
    let want = if unit.needs_objects() { Want::Code } else { Want::Metadata };
    walk.dependencies(unit, want);
    needs.reads_freely = walk.loads_macros;
    let mut out_dirs: BTreeSet<UnitId> = unit.links.own.iter().copied().collect();
    walk.end(&mut needs, &mut out_dirs);
    for run in unit.links.to_link.iter().chain(&unit.links.plugins) {
        let texts = said(plan, scripts, unit, *run)?;
        let own = plan.unit(*run).package == unit.package;
        let args = texts.link_args.iter().map(|(_, arg)| arg);
        for text in texts.library_paths.iter().chain(args.filter(|_| own)) {
            point_into(plan, text, &mut needs.packages, &mut out_dirs);
        }
    }
    for run in &unit.links.own {
        for (_, value) in &said(plan, scripts, unit, *run)?.env {
            point_into(plan, value, &mut needs.packages, &mut out_dirs);
        }
    }
    needs.out_dirs = with_output(plan, out_dirs);
    Ok(needs)
}

/// The files that the tests in a library's documentation are compiled with.
pub fn of_doctest(plan: &Plan, unit: &Unit) -> Vec<Placed> {
    let mut walk = Walk { plan, files: BTreeSet::new(), seen: HashSet::new(), loads_macros: false };
    walk.dependencies(unit, Want::Code);
    walk.files.into_iter().collect()
}

/// The needs of a script's run, `compiled` being the unit that made the script.
pub fn of_run(plan: &Plan, unit: &Unit, compiled: &Unit, scripts: &Said) -> Result<Needs, RenderError> {
    let mut needs = Needs { packages: vec![unit.package], reads_freely: true, ..Needs::default() };
    let mut walk = Walk { plan, files: BTreeSet::new(), seen: HashSet::new(), loads_macros: false };
    walk.dependencies(compiled, Want::Shared);
    let mut out_dirs = BTreeSet::new();
    walk.end(&mut needs, &mut out_dirs);
    let script = compiled.outputs.iter().find(|output| output.role == Role::Executable);
    let script = script.ok_or_else(|| RenderError::NoScript { unit: unit.label.clone() })?;
    needs.files.push(Placed { unit: compiled.id, name: script.name.clone(), at: program(plan, compiled) });
    // Values handed on may point into the runs behind the direct ones.
    let (mut open, mut behind) = (vec![unit.id], BTreeSet::new());
    while let Some(run) = open.pop() {
        for dependency in plan.unit(run).dependencies.iter().map(|one| one.unit) {
            if plan.unit(dependency).kind == Kind::BuildScriptRun && behind.insert(dependency) {
                open.push(dependency);
                for (_, value) in &said(plan, scripts, unit, dependency)?.metadata {
                    point_into(plan, value, &mut needs.packages, &mut BTreeSet::new());
                }
            }
        }
    }
    out_dirs.extend(behind);
    for run in &unit.links.plugins {
        for text in &said(plan, scripts, unit, *run)?.library_paths {
            point_into(plan, text, &mut needs.packages, &mut out_dirs);
        }
    }
    needs.out_dirs = with_output(plan, out_dirs);
    Ok(needs)
}

/// Where a compiled script lies for its run.
pub fn program(plan: &Plan, compiled: &Unit) -> String {
    format!("{}/{}/{}", mounts::BUILD, compiled.folder(plan), compiled.target.name)
}

/// The same, from the run.
pub fn program_of_run(plan: &Plan, run: &Unit) -> String {
    let mut units = run.dependencies.iter().map(|one| plan.unit(one.unit));
    let compiled = units.find(|unit| unit.kind == Kind::BuildScriptCompile);
    compiled.map_or_else(|| run.label.clone(), |compiled| program(plan, compiled))
}

/// Scripts that configuration stands in for have no OUT_DIR.
fn with_output(plan: &Plan, runs: BTreeSet<UnitId>) -> Vec<UnitId> {
    runs.into_iter().filter(|run| plan.unit(*run).stands_in.is_none()).collect()
}

/// Finds the packages and OUT_DIRs that a text names by their mounts.
fn point_into(plan: &Plan, text: &str, packages: &mut Vec<usize>, out_dirs: &mut BTreeSet<UnitId>) {
    if !text.contains("/vx/") {
        return;
    }
    for (index, package) in plan.packages.iter().enumerate() {
        if !packages.contains(&index) && text.contains(&package.mount) {
            packages.push(index);
        }
    }
    let runs = plan.units.iter().filter(|unit| unit.kind == Kind::BuildScriptRun);
    out_dirs.extend(runs.filter(|run| text.contains(&run.out_dir(plan))).map(|run| run.id));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Want {
    Metadata,
    Code,
    /// Only what the dynamic loader needs.
    Shared,
}

struct Walk<'a> {
    plan: &'a Plan,
    files: BTreeSet<Placed>,
    seen: HashSet<(UnitId, Want)>,
    loads_macros: bool,
}

impl Walk<'_> {
    /// What was found. Code that runs may look into its own package and for what its script made.
    fn end(self, needs: &mut Needs, out_dirs: &mut BTreeSet<UnitId>) {
        let runs = |unit: UnitId, want| want == Want::Shared || self.plan.unit(unit).kind == Kind::ProcMacro;
        let running = self.seen.iter().filter(|(unit, want)| runs(*unit, *want)).map(|(unit, _)| *unit);
        needs.running = running.collect::<BTreeSet<_>>().into_iter().collect();
        for unit in needs.running.iter().map(|unit| self.plan.unit(*unit)) {
            if !needs.packages.contains(&unit.package) {
                needs.packages.push(unit.package);
            }
            out_dirs.extend(&unit.links.own);
        }
        needs.files = self.files.into_iter().collect();
    }

    /// Adds all that is reached through libraries, without recursion: a graph may be deep.
    fn dependencies(&mut self, from: &Unit, want: Want) {
        let mut open = vec![(from.id, want)];
        while let Some((id, want)) = open.pop() {
            for dependency in self.plan.unit(id).dependencies.iter().map(|one| self.plan.unit(one.unit)) {
                if dependency.kind == Kind::BuildScriptRun || dependency.is_doc() || !dependency.target.is_linkable() {
                    continue;
                }
                let is_macro = dependency.kind == Kind::ProcMacro;
                // What runs was made with it, and does not load it.
                if is_macro && want == Want::Shared {
                    continue;
                }
                let next = if is_macro { Want::Shared } else { want };
                if !self.seen.insert((dependency.id, want)) {
                    continue;
                }
                self.loads_macros |= is_macro;
                for output in &dependency.outputs {
                    if wanted(dependency, output, want) {
                        let at = format!("{}/{}", mounts::deps(dependency), output.name);
                        self.files.insert(Placed { unit: dependency.id, name: output.name.clone(), at });
                    }
                }
                open.push((dependency.id, next));
            }
        }
    }
}

fn wanted(unit: &Unit, output: &Output, want: Want) -> bool {
    match want {
        Want::Shared => output.role == Role::Dylib,
        // A library that is more than an rlib leaves no metadata file.
        Want::Metadata if !unit.needs_objects() => output.role == Role::Metadata,
        Want::Metadata | Want::Code => output.role.is_linkable(),
    }
}
