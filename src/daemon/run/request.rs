//! A ready unit becomes a call, and with what its dependencies left an Action.

use std::{collections::BTreeSet, path::Path};

use shared::{
    client::exec::ViewClass,
    fault::{Failure, Fault},
    reapi::tree::Mode,
};

use super::Runner;
use crate::{
    action::{self, Action, Input},
    beside,
    cargo::{
        call::Call,
        messages::Rendering,
        placed::{self, Standing},
        plan::{Kind, Unit, UnitId},
        process, rustc, rustdoc, script,
    },
    crates,
    live::Checkout,
    programs, quoted,
};

impl Runner<'_> {
    /// The call of a unit, with what is known of it so far.
    pub(super) fn render(&self, unit: usize) -> Result<Call, Failure> {
        self.render_with(unit, &self.around.names.of(&self.subjects[unit]), self.standing(unit))
    }

    /// Where a unit runs, as far as is known.
    pub(super) fn standing(&self, unit: usize) -> Standing {
        let is_placed = self.placed.contains(&unit) || self.is_for_placed(unit);
        if is_placed { Standing::Here } else { Standing::Anywhere }
    }

    /// The runs of scripts whose OUT_DIRs these programs may look into, and those that outputs may
    /// name since they were made at the person's own folder.
    pub fn looked_into(&self, programs: &[UnitId]) -> BTreeSet<UnitId> {
        let mut runs = process::looked_into(self.plan, programs, self.said());
        let here = |unit: &&Unit| unit.kind != Kind::BuildScriptRun && self.standing(unit.id.0) == Standing::Here;
        runs.extend(self.plan.units.iter().filter(here).flat_map(|unit| &unit.links.own));
        runs
    }

    /// Whether a unit's own script names the place, so that what it generated does.
    pub(super) fn is_for_placed(&self, unit: usize) -> bool {
        self.plan.units[unit].links.own.iter().any(|run| self.placed.contains(&run.0))
    }

    /// The call of a unit that is known to name these variables.
    pub(super) fn render_with(&self, unit: usize, named: &[String], standing: Standing) -> Result<Call, Failure> {
        let unit = &self.plan.units[unit];
        let rendered = match unit.kind {
            Kind::BuildScriptRun => script::render(self.plan, unit, &self.said, &self.around.ambient, named),
            Kind::Doc => {
                let way = self.documented.way(unit);
                rustdoc::render(self.plan, unit, &self.said, &self.around.ambient, named, way)
            }
            Kind::DocMerge => Ok(rustdoc::render_merge(self.plan, unit, self.documented.arranged(unit.id))),
            _ => rustc::render(self.plan, unit, &self.said, &self.around.ambient, named),
        };
        let mut call = rendered.map_err(|err| Failure::new(Fault::Bug, err.to_string()))?;
        call.programs = programs::now(&self.around.hashes, named);
        self.give_mentioned(&mut call);
        self.around.exceptions.give(unit, &mut call, &self.around.ambient);
        crates::give(&self.plan.cargo_home, named, &mut call);
        quoted::give(self.plan, named, &mut call);
        // Other packages' diagnostics nobody sees, so their calls, and keys, stay as they are.
        let is_heard = unit.kind != Kind::BuildScriptRun && self.plan.package(unit).source.is_path();
        if self.around.rendering == Rendering::Short && is_heard {
            rustc::shorten(&mut call);
        }
        // Code of the person's own that runs in it may hold their places, which then have to be there.
        let own = call.needs.running.iter().filter(|one| self.plan.package(self.plan.unit(**one)).source.is_path());
        let mut places = Vec::new();
        for one in own {
            places.extend(self.render(one.0)?.places);
        }
        let call = if standing == Standing::Here { placed::here(self.plan, unit, call) } else { call };
        let mut call = match (self.around.identity.view, standing) {
            (ViewClass::Fixed, Standing::Here) => placed::with_out_dirs(self.plan, unit, call),
            (ViewClass::Fixed, Standing::Anywhere) => call,
            _ => call.without_state(),
        };
        if self.around.identity.view == ViewClass::Fixed {
            let known = (&*self.around.hashes, &self.around.exceptions);
            beside::give(self.plan, unit, known, named, standing, &mut call);
        }
        for place in places {
            if !call.places.contains(&place) {
                call.places.push(place);
            }
        }
        Ok(call)
    }

    /// Whether a unit's call sees the workspace whatever it is: its own package is live.
    pub(super) fn sees_workspace(&self, unit: usize) -> bool {
        let unit = &self.plan.units[unit];
        unit.kind != Kind::DocMerge && self.inputs.of(unit.package).1.is_none()
    }

    /// Whether a call sees the workspace.
    pub(super) fn is_live(&self, call: &Call) -> bool {
        call.needs.packages.iter().any(|package| self.inputs.of(*package).1.is_none())
    }

    /// The Action of a call, from what its dependencies left. With a checkout it is to be executed;
    /// without, it is what of it does not depend on the checkout.
    pub(super) fn action(&self, call: &Call, live: Option<&Checkout>) -> Result<Action, Failure> {
        let mut inputs: Vec<(String, Input)> = Vec::new();
        for &package in &call.needs.packages {
            let (mount, Some(root)) = self.inputs.of(package) else { continue };
            // A tree is no part of another: where packages lie within each other, its own comes first.
            let overlaps = |known: &str| Path::new(known).starts_with(mount) || Path::new(mount).starts_with(known);
            if !inputs.iter().any(|(known, _)| overlaps(known)) {
                inputs.push((mount.to_owned(), Input::Tree(root)));
            }
        }
        for placed in &call.needs.files {
            let file = self.outcomes[placed.unit.0].as_ref().and_then(|outcome| outcome.files.get(&placed.name));
            let (digest, mode) = *file.ok_or_else(|| {
                let label = &self.plan.unit(placed.unit).label;
                Failure::new(Fault::Bug, format!("{label} left no {}", placed.name))
            })?;
            inputs.push((placed.at.clone(), Input::File(digest, mode)));
        }
        for run in &call.needs.out_dirs {
            let root = self.outcomes[run.0].as_ref().and_then(|outcome| outcome.out_dir);
            // Many scripts make nothing, and in nothing of others there is nothing to find.
            let is_own = call.needs.packages.first() == Some(&self.plan.unit(*run).package);
            if let Some(root) = root.filter(|root| is_own || !root.is_empty()) {
                inputs.push((self.plan.unit(*run).out_dir(self.plan), Input::Tree(root)));
            }
        }
        let contents = call.needs.contents.iter();
        inputs.extend(contents.map(|(at, digest)| (at.clone(), Input::File(*digest, Mode::Plain))));
        inputs.extend(call.needs.folders.iter().map(|path| (path.clone(), Input::Folder)));
        let built = action::build(call, &inputs, &self.around.identity, live);
        built.map_err(|err| Failure::new(Fault::Bug, err.to_string()))
    }
}
