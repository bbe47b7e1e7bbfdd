//! Which variables the scripts and macros of a build name in their text, read as they become known: a call that runs one is
//! given these. How a text is searched is `mentions`' business, which variables are looked for `cargo::environment`'s.

use std::collections::{BTreeSet, HashMap};

use shared::{digest::Digest, fault::Failure};

use super::Runner;
use crate::cargo::{
    call::{Call, Role},
    environment::Ambient,
    plan::{Kind, Plan},
};

/// What is known of a build's programs.
pub(super) struct Mentioned {
    /// The variables that are looked for.
    wanted: Vec<String>,
    /// The outputs that other calls run or load, as unit and name.
    programs: Vec<(usize, String)>,
    /// By content.
    named: HashMap<Digest, BTreeSet<String>>,
}

impl Mentioned {
    /// Nothing yet.
    pub(super) fn of(plan: &Plan, ambient: &Ambient) -> Mentioned {
        let programs = plan.units.iter().flat_map(|unit| {
            let loaded = unit.outputs.iter().filter(|output| match output.role {
                Role::Executable => unit.kind == Kind::BuildScriptCompile,
                role => matches!(role, Role::Macro | Role::Dylib),
            });
            loaded.map(|output| (unit.id.0, output.name.clone()))
        });
        Mentioned { wanted: ambient.for_who_mentions(), programs: programs.collect(), named: HashMap::new() }
    }
}

impl Runner<'_> {
    /// Looks into the programs that are there since the last time.
    pub(super) async fn read_programs(&mut self) -> Result<(), Failure> {
        let Mentioned { wanted, programs, named } = &mut self.mentioned;
        if wanted.is_empty() {
            return Ok(());
        }
        let mut fresh = Vec::new();
        programs.retain(|(unit, name)| {
            let outcome = self.outcomes[*unit].as_ref();
            let Some((digest, _)) = outcome.and_then(|outcome| outcome.files.get(name)) else { return true };
            if !named.contains_key(digest) {
                fresh.push((*digest, None));
            }
            false
        });
        if !fresh.is_empty() {
            named.extend(self.around.mentions.of(&self.around.services, wanted, &fresh).await?);
        }
        Ok(())
    }

    /// Gives a call what the programs that run in it name.
    pub(super) fn give_mentioned(&self, call: &mut Call) {
        if !call.needs.reads_freely {
            return;
        }
        for placed in &call.needs.files {
            let outcome = self.outcomes[placed.unit.0].as_ref();
            let digest = outcome.and_then(|outcome| outcome.files.get(&placed.name)).map(|(digest, _)| digest);
            let is_own = self.plan.package(self.plan.unit(placed.unit)).source.is_path();
            let names = digest.and_then(|digest| self.mentioned.named.get(digest)).into_iter().flatten();
            for name in names.filter(|name| is_own || !Ambient::is_chance(name)) {
                if let Some(value) = self.around.ambient.get(name) {
                    call.env.entry(name.clone()).or_insert_with(|| value.to_owned());
                }
            }
        }
    }
}
