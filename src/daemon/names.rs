//! Variables that units have named: by dep-info (`env!`, `option_env!`) or a script's
//! `rerun-if-env-changed`. A call sees the allow-list and what its unit named before; a run that
//! names a variable which the person has set and it was not given is repeated with it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use shared::{
    digest::{Digest, Function},
    fault::Failure,
    reapi::v2,
};

use crate::{
    cargo::plan::{Plan, Unit},
    services::{Services, persist},
};

/// Names by unit, for as long as the daemon lives; the store has them for longer.
#[derive(Debug, Default)]
pub struct Names(Mutex<HashMap<String, Vec<String>>>);

impl Names {
    /// Looks up what the units of a plan have named, all that are not known yet together.
    pub async fn load(&self, services: &Services, plan: &Plan) -> Result<(), Failure> {
        let unknown: Vec<&Unit> = {
            let known = self.lock();
            plan.units.iter().filter(|unit| !known.contains_key(&unit.hash)).collect()
        };
        if unknown.is_empty() {
            return Ok(());
        }
        let keys: Vec<Digest> = unknown.iter().map(|unit| key(unit)).collect();
        let results = persist(async || services.cas.action_results(&keys).await).await?;
        let mut known = self.lock();
        for (unit, result) in unknown.into_iter().zip(results) {
            let text = result.map(|result| result.stdout_raw).unwrap_or_default();
            let names = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
            known.insert(unit.hash.clone(), names);
        }
        Ok(())
    }

    /// What a unit has named.
    pub fn of(&self, unit: &Unit) -> Vec<String> {
        self.lock().get(&unit.hash).cloned().unwrap_or_default()
    }

    /// Remembers what a run of the unit named; says which names are new.
    pub async fn learn(&self, services: &Services, unit: &Unit, named: BTreeSet<String>) -> BTreeSet<String> {
        let (all, new) = {
            let mut known = self.lock();
            let names = known.entry(unit.hash.clone()).or_default();
            let new: BTreeSet<String> = named.into_iter().filter(|name| !names.contains(name)).collect();
            names.extend(new.iter().cloned());
            names.sort();
            (names.join("\n"), new)
        };
        if !new.is_empty() {
            let result = v2::ActionResult { stdout_raw: all.into_bytes(), ..Default::default() };
            let keep = async || services.cas.update_action_result(key(unit), result.clone()).await;
            if let Err(err) = persist(keep).await {
                tracing::warn!(%err, "the names of variables could not be kept, ignoring");
            }
        }
        new
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the store has a unit's names.
fn key(unit: &Unit) -> Digest {
    Digest::of(Function::Blake3, format!("vx names 1 {}", unit.hash).as_bytes())
}

/// The variables that rustc says are not defined, in its own words: without them there is no
/// dep-info to name them.
pub fn missed(stderr: &str) -> BTreeSet<String> {
    const BEFORE: &str = "environment variable `";
    const AFTER: &str = "` not defined at compile time";
    let parts = stderr.split(BEFORE).skip(1);
    parts
        .filter_map(|part| Some(part.split_once(AFTER)?.0))
        .filter(|name| !name.contains('`'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rustcs_words_name_the_variable() {
        let stderr =
            r#"{"message":"environment variable `A_B` not defined at compile time","rendered":"…`A_B` not defined"}"#;
        assert_eq!(missed(stderr), BTreeSet::from(["A_B".to_owned()]));
        assert!(missed("environment variable `A` is odd").is_empty());
    }
}
