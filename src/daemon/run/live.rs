//! Units that see the workspace: under which keys their results may be, what their runs opened,
//! and whether such a run may be kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path},
    sync::Arc,
};

use shared::{
    digest::Digest,
    fault::Failure,
    limits,
    reapi::{record, v2},
};

use super::{Runner, lookup::Asked};
use crate::{
    cargo::{
        call::Call,
        mounts::{self, WORKSPACE},
        package::Source,
        placed::{self, Standing},
        plan::{Kind, Unit},
        rustc, script,
    },
    embedded,
    execute::Looked,
    live::{self, Glance, Scan, Settled, blocking, join},
    outcome::Outcome,
    records::{self, Counting, Declares, Facts, Known, Record},
    services::persist,
    streams::Streams,
};

/// A key under which a result may be.
pub(super) struct Candidate {
    /// Whose, as an index into what was asked.
    pub(super) asked: usize,
    pub(super) call: Call,
    pub(super) digest: Digest,
    /// What was looked at of the workspace.
    pub(super) facts: Facts,
    pub(super) standing: Standing,
}

/// A unit of the workspace that runs.
pub(super) struct Pending {
    /// Its static Action, which holds the records.
    records_at: Digest,
    /// The static Action of what runs, with the variables that it is given.
    base: Digest,
    /// Variables that it was known to name.
    given: Vec<String>,
    records: Vec<Record>,
    looked: Looked,
}

impl Pending {
    /// Under which Action its records are.
    pub(super) fn records_at(&self) -> Digest {
        self.records_at
    }

    /// When its result was not there.
    pub(super) fn looked(&self) -> Looked {
        self.looked
    }
}

/// What became of a run.
pub(super) enum Kept {
    /// Its result is stored.
    Stored,
    /// It is good for this build alone, and why.
    Not(String),
    /// This changed meanwhile: it has to run again.
    Changed(String),
    /// What it left holds the place of the checkout: it has to run there.
    Embeds,
}

impl Runner<'_> {
    /// The keys that the records of what was asked lead to, newest first for each.
    pub(super) async fn candidates(&self, asked: &[Asked]) -> Result<Vec<Candidate>, Failure> {
        let of = |asked: &Asked| asked.live.clone().unwrap_or_default();
        let wanted: Vec<Vec<Record>> = asked.iter().map(of).collect();
        if wanted.iter().all(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let checkout = Arc::clone(self.inputs.checkout());
        let records = wanted.clone();
        let facts = move || {
            let mut glance = Glance::new(&checkout);
            records.iter().map(|records| records.iter().map(|one| glance.facts(one)).collect()).collect()
        };
        let facts: Vec<Vec<Facts>> = blocking(facts).await?;
        let mut candidates = Vec::new();
        for (index, (records, facts)) in wanted.iter().zip(facts).enumerate() {
            for (record, facts) in records.iter().zip(facts) {
                let unit = asked[index].unit;
                let is_placed = record.placed || self.is_for_placed(unit);
                let standing = if is_placed { Standing::Here } else { Standing::Anywhere };
                let (call, base) = self.call_of(&asked[index], record, standing)?;
                let digest = records::narrow(&base, &facts);
                candidates.push(Candidate { asked: index, call, digest, facts, standing });
            }
        }
        Ok(candidates)
    }

    /// The call under which a record's result was kept, and the digest of its static Action.
    fn call_of(&self, asked: &Asked, record: &Record, standing: Standing) -> Result<(Call, Digest), Failure> {
        if record.variables.is_empty() && standing == Standing::Anywhere {
            return Ok((asked.call.clone(), asked.action.digest));
        }
        let named = Vec::from_iter(record.variables.iter().cloned());
        let call = self.render_with(asked.unit, &named, standing)?;
        let base = self.action(&call, None)?.digest;
        Ok((call, base))
    }

    /// What earlier parts of a key name of the checkout, as it is now.
    pub(super) async fn facts_again(&self, parts: &BTreeMap<String, String>) -> Result<Facts, Failure> {
        let (checkout, names) = (Arc::clone(self.inputs.checkout()), parts.keys().cloned().collect::<Vec<_>>());
        blocking(move || Glance::new(&checkout).again(&names)).await
    }

    /// A unit of the workspace has to run.
    pub(super) fn queue_live(
        &mut self,
        unit: usize,
        records_at: Digest,
        records: Vec<Record>,
        looked: Looked,
    ) -> Result<(), Failure> {
        if let Some(newest) = records.first() {
            let one = &self.plan.units[unit];
            let plain = self.render_with(unit, &[], Standing::Anywhere)?;
            // Not what would bind it to this checkout: another one's need not name it.
            let places =
                |name: &String| plain.env.get(name).is_some_and(|value| rustc::is_placed(self.plan, one, value));
            let names: Vec<String> = newest.variables.iter().filter(|name| !places(name)).cloned().collect();
            self.around.names.guess(&self.subjects[unit], &names);
            if newest.placed {
                self.placed.insert(unit);
            }
        }
        let given = self.around.names.of(&self.subjects[unit]);
        let call = self.render(unit)?;
        let base = self.action(&call, None)?.digest;
        let action = self.action(&call, Some(self.inputs.checkout()))?;
        self.pending.insert(unit, Pending { records_at, base, given, records, looked });
        self.waiting.insert(unit, (call, action));
        Ok(())
    }

    /// A run that succeeded: whether it may be kept, and if so it is.
    pub(super) async fn keep(
        &mut self,
        unit: usize,
        call: &Call,
        result: &v2::ActionResult,
        streams: &Streams,
        before: Option<Arc<Scan>>,
    ) -> Result<Kept, Failure> {
        let outside = || Kept::Not("an exception lets it write outside, which no result holds".into());
        let (Some(pending), Some(before)) = (self.pending.remove(&unit), before) else {
            return Ok(if call.granted.writes_outside() { outside() } else { Kept::Stored });
        };
        let Some(run) = record::of(result) else {
            return Ok(Kept::Not("the executor has not said what it opened".into()));
        };
        if !run.unseen.is_empty() {
            return Ok(Kept::Not(run.unseen));
        }
        let one = &self.plan.units[unit];
        let is_member = matches!(self.plan.package(one).source, Source::Member { .. });
        if is_member && !self.placed.contains(&unit) && !self.is_for_placed(unit) {
            let outcome = Outcome::of(one, call, result)?;
            if embedded::holds_place(&self.around.services, call, &outcome, result, &run, &self.out_dirs(one)).await? {
                self.placed.insert(unit);
                return Ok(Kept::Embeds);
            }
        }
        if call.granted.writes_outside() {
            return Ok(outside());
        }
        let mut known = self.known(unit, call, streams);
        // All that its static Action was rendered with, though it may have named less this time.
        known.variables.extend(pending.given.iter().cloned());
        let Settled { record, facts, changed } = live::settle(self.inputs.checkout(), run, known, before).await?;
        if let Some(path) = changed {
            self.inputs.checkout().forget_scan();
            return Ok(Kept::Changed(path));
        }
        if let Some(path) = self.declares_nothing_there(one, streams) {
            return Ok(Kept::Not(format!(
                "its script asked to be rerun for {path}, which is not there: that is each time"
            )));
        }
        let (key, stored) = (records::narrow(&pending.base, &facts), records::lean(result));
        self.keyed(unit, key, facts);
        let services = self.around.services.clone();
        let flight = self.flight.take();
        self.keeping.spawn(async move {
            // Over for others when it can be found.
            let _flight = flight;
            let cas = &services.cas;
            let result = persist(async || cas.update_action_result(key, stored.clone()).await);
            let records = async {
                let Some(list) = records::remember(&record, &pending.records) else { return Ok(()) };
                persist(async || cas.update_action_result(pending.records_at, list.clone()).await).await
            };
            let (result, records) = tokio::join!(result, records);
            if let Err(err) = result.and(records) {
                tracing::warn!(%err, "a result could not be kept, ignoring");
            }
        });
        Ok(Kept::Stored)
    }

    /// A run has told of programs that count, and nobody would look for its result without them.
    pub(super) fn keep_as(&mut self, unit: usize, known: &Call, result: &v2::ActionResult) -> Result<(), Failure> {
        if let Some(pending) = self.pending.get(&unit) {
            // As its record will name them: what it was given, too.
            let names = self.around.names.of(&self.subjects[unit]).into_iter().chain(pending.given.iter().cloned());
            let names = Vec::from_iter(names.collect::<BTreeSet<_>>());
            let base = self.action(&self.render_with(unit, &names, self.standing(unit))?, None)?.digest;
            self.pending.entry(unit).and_modify(|pending| pending.base = base);
            return Ok(());
        }
        let key = self.action(known, None)?.digest;
        if !known.granted.writes_outside() {
            let (services, stored) = (self.around.services.clone(), records::lean(result));
            self.keeping.spawn(async move {
                let kept = persist(async || services.cas.update_action_result(key, stored.clone()).await).await;
                if let Err(err) = kept {
                    tracing::warn!(%err, "a result could not be kept, ignoring");
                }
            });
        }
        Ok(())
    }

    /// Where a script makes what it makes, and where what its own scripts made is for a unit that is compiled.
    fn out_dirs(&self, unit: &Unit) -> Vec<String> {
        placed::runs_of(self.plan, unit).into_iter().map(|run| run.out_dir(self.plan)).collect()
    }

    /// Whether a unit may be run once more because its sources changed.
    pub(super) fn may_repeat(&mut self, unit: usize) -> bool {
        let runs = self.repeats.entry(unit).or_default();
        *runs += 1;
        *runs <= limits::CHANGED_RUNS
    }

    /// What is known of a run beside what it opened.
    fn known(&self, unit: usize, call: &Call, streams: &Streams) -> Known {
        let one = &self.plan.units[unit];
        let mut known = Known {
            counting: Counting::of(call),
            package: None,
            declares: Declares::Something,
            declared: BTreeSet::new(),
            placed: self.placed.contains(&unit),
            variables: self.around.names.of(&self.subjects[unit]).into_iter().collect(),
        };
        if let (Kind::BuildScriptRun, Source::Member { path }) = (one.kind, &self.plan.package(one).source) {
            known.package = Some(path.clone());
            self.declared(one, path, streams, &mut known);
        }
        if let (Some(clippy), Source::Member { path }) = (&self.plan.clippy, &self.plan.package(one).source)
            && self.plan.lints(one)
            && one.kind != Kind::BuildScriptRun
        {
            known.declared = clippy.looks_for(path);
        }
        known
    }

    /// What a script of the person's own asked to be rerun for and is not there: scripts say so to be run each time. Git's
    /// own files are known otherwise, and what scripts make is their own.
    fn declares_nothing_there(&self, unit: &Unit, streams: &Streams) -> Option<String> {
        let Source::Member { path: package } = &self.plan.package(unit).source else { return None };
        if unit.kind != Kind::BuildScriptRun {
            return None;
        }
        let said = script::heard(self.plan, unit, &self.around.ambient, &streams.stdout).ok()?;
        let (root, made) = (&self.plan.workspace_root, self.inputs.checkout().target_dir());
        let is_absent = |declared: &String| {
            let path = Path::new(declared);
            let real = match path.strip_prefix(WORKSPACE) {
                Ok(below) => root.join(below),
                Err(_) => root.join(package).join(path),
            };
            let is_known = mounts::ALL.iter().any(|mount| real.starts_with(mount)) || real.starts_with(made);
            let is_git = real.components().any(|part| part.as_os_str() == shared::checkout::GIT);
            !is_known && !is_git && !real.exists()
        };
        said.rerun_if_changed.into_iter().find(is_absent)
    }

    fn declared(&self, unit: &Unit, package: &str, streams: &Streams, known: &mut Known) {
        let Ok(said) = script::heard(self.plan, unit, &self.around.ambient, &streams.stdout) else { return };
        if said.rerun_if_changed.is_empty() && said.rerun_if_env_changed.is_empty() {
            known.declares = Declares::Nothing;
        }
        let root = &self.plan.workspace_root;
        let inside = |path: &String| {
            let path = Path::new(path);
            let below = path.strip_prefix(WORKSPACE).or_else(|_| path.strip_prefix(root)).ok();
            match below {
                Some(below) => plain("", below),
                None if path.is_relative() => plain(package, path),
                // Of the host or of another unit, which the key holds whole.
                None => None,
            }
        };
        known.declared = said.rerun_if_changed.iter().filter_map(inside).collect();
    }
}

/// `path` from a folder, both below the root, by the text alone; `None` where it leads out.
fn plain(folder: &str, path: &Path) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::CurDir => {}
            Component::ParentDir => drop(parts.pop()?),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.into_iter().fold(String::new(), |path, part| join(&path, part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_paths_are_read_by_their_text() {
        let read = |folder: &str, path: &str| plain(folder, Path::new(path));
        assert_eq!(read("a/b", "../c/./d").as_deref(), Some("a/c/d"));
        assert_eq!(read("", "x").as_deref(), Some("x"));
        assert_eq!(read("a", "..").as_deref(), Some(""));
        assert_eq!(read("a", "../../x"), None);
    }
}
