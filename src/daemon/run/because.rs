//! What each unit's key was made of in this build, compared with the build before: why it runs.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use shared::{digest::Digest, fault::Failure};

use super::{Runner, Whence};
use crate::{
    cargo::{call::Call, plan::UnitId},
    events::Event,
    records::Facts,
    why::{self, End, Entry, Parts, Reason, Workspace},
};

/// What is known of this build's units, and was of the last one's.
#[derive(Default)]
pub(super) struct Because {
    names: Vec<String>,
    before: Arc<Workspace>,
    /// By unit.
    reasons: HashMap<usize, Vec<Reason>>,
    unkept: HashMap<usize, String>,
    /// Keys of results, by unit.
    keys: HashMap<usize, Digest>,
    /// What was looked at of the checkout, by unit.
    facts: HashMap<usize, Facts>,
    now: BTreeMap<String, Entry>,
}

impl Runner<'_> {
    /// Reads what is known of the build before.
    pub(super) fn remember(&mut self) {
        let mut count: HashMap<String, usize> = HashMap::new();
        let names = self.plan.units.iter().map(|unit| {
            let number = count.entry(format!("{} {}", unit.profile.name, unit.label)).or_default();
            *number += 1;
            // Several units may have one label, as with other features for the host.
            format!("{} {} {}", unit.profile.name, *number - 1, unit.label)
        });
        let names = names.collect();
        let before = self.around.why.workspace(&self.plan.workspace_root);
        self.because = Because { names, before, ..Because::default() };
    }

    /// A unit was looked up and has to run: says why.
    pub(super) async fn missed(&mut self, unit: usize) -> Result<(), Failure> {
        let Some((call, _)) = self.waiting.get(&unit) else { return Ok(()) };
        let reasons = match self.because.before.units.get(&self.because.names[unit]) {
            None => vec![Reason::First],
            Some(entry) => {
                let before = Arc::clone(&entry.parts);
                let facts = self.facts_again(&before).await?;
                let now = why::with_facts(self.parts(call), &facts);
                let found = why::differences(&before, &now);
                if found.is_empty() { vec![Reason::Gone] } else { found }
            }
        };
        if let Some(first) = reasons.first() {
            self.tell(&Event::Missed(UnitId(unit), first.clone()));
        }
        self.because.reasons.insert(unit, reasons);
        Ok(())
    }

    /// A result is good for this build alone.
    pub(super) fn unkept(&mut self, unit: usize, why: String) {
        self.because.unkept.insert(unit, why);
    }

    /// Under which key a unit's result is, and what was looked at for it.
    pub(super) fn keyed(&mut self, unit: usize, key: Digest, facts: Facts) {
        self.because.keys.insert(unit, key);
        self.because.facts.insert(unit, facts);
    }

    /// A unit is there.
    pub(super) fn is_there(&mut self, unit: usize, call: &Call, whence: Whence) -> Result<(), Failure> {
        let name = self.because.names[unit].clone();
        let key = match self.because.keys.remove(&unit) {
            Some(key) => key.hex(),
            None => self.action(call, None)?.digest.hex(),
        };
        let unkept = self.because.unkept.remove(&unit);
        let end = match whence {
            Whence::Run => End::Built(self.because.reasons.remove(&unit).unwrap_or_default()),
            Whence::Found => End::Hit,
        };
        let known = self.because.before.units.get(&name).filter(|entry| entry.key == key);
        let parts = match known {
            Some(entry) => Arc::clone(&entry.parts),
            None => {
                let facts = self.because.facts.remove(&unit).unwrap_or_default();
                Arc::new(why::with_facts(self.parts(call), &facts))
            }
        };
        self.because.now.insert(name, Entry { build: 0, end, unkept, key, parts });
        Ok(())
    }

    /// A unit failed; it is compared with what it was when it last was there.
    pub(super) fn is_not_there(&mut self, unit: usize) {
        let name = self.because.names[unit].clone();
        let reasons = self.because.reasons.remove(&unit).unwrap_or_default();
        let before = self.because.before.units.get(&name);
        let (key, parts) = before.map(|entry| (entry.key.clone(), Arc::clone(&entry.parts))).unwrap_or_default();
        self.because.now.insert(name, Entry { build: 0, end: End::Failed(reasons), unkept: None, key, parts });
    }

    /// Takes down what this build has seen, before it is over for whoever asks; nobody waits for it to
    /// be written.
    pub(super) fn keep_reasons(&mut self) {
        let (why, root) = (Arc::clone(&self.around.why), self.plan.workspace_root.clone());
        // Nobody else holds what is changed then, so that it is not copied.
        let Because { now: units, .. } = std::mem::take(&mut self.because);
        if why.learn(&root, units) {
            tokio::task::spawn_blocking(move || why.write_down(&root));
        }
    }

    fn parts(&self, call: &Call) -> Parts {
        let mut outputs = Vec::new();
        for placed in &call.needs.files {
            let file = self.outcomes[placed.unit.0].as_ref().and_then(|outcome| outcome.files.get(&placed.name));
            outputs.extend(file.map(|(digest, _)| (self.plan.unit(placed.unit).label.clone(), *digest)));
        }
        for run in &call.needs.out_dirs {
            let root = self.outcomes[run.0].as_ref().and_then(|outcome| outcome.out_dir);
            outputs.extend(root.map(|root| (self.plan.unit(*run).label.clone(), root)));
        }
        let package = |package: &usize| {
            let (mount, root) = self.inputs.of(*package);
            Some((mount.to_owned(), root?))
        };
        let packages: Vec<_> = call.needs.packages.iter().filter_map(package).collect();
        why::of_call(call, &self.around.identity, &outputs, &packages)
    }
}
