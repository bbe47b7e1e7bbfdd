//! Variables that units have named: by dep-info (`env!`, `option_env!`) or a script's
//! `rerun-if-env-changed`. A call sees the allow-list and what its unit named before; a run that
//! names a variable which the person has set and it was not given is repeated with it. Programs
//! that it ran are names too (`programs`).

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use shared::{
    digest::{Digest, Function},
    fault::Failure,
    reapi::{record, v2},
};

use crate::{
    beside,
    cargo::{
        call::Call,
        dep_info::DepInfo,
        environment::Ambient,
        plan::{Kind, Plan, Unit},
        rustc, script,
    },
    crates,
    inputs::Inputs,
    outcome::Outcome,
    programs, quoted,
    services::{Services, persist},
    streams::{self, Streams},
};

/// With this a program that panics says where.
pub const BACKTRACE: &str = "RUST_BACKTRACE";
/// What it says without.
const BACKTRACE_WORDS: &str = "run with `RUST_BACKTRACE=1` environment variable to display a backtrace";

/// Names by unit, for as long as the daemon lives; the store has them for longer.
#[derive(Debug, Default)]
pub struct Names(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// By what the unit is and reads; `None` where nobody has run it yet.
    learned: HashMap<Digest, Option<Vec<String>>>,
    /// By unit and checkout, what its last content named: nearly always what the next one will.
    guessed: HashMap<(String, PathBuf), Vec<String>>,
}

/// A unit with its content. Two packages of one name and version are the same unit, and only the
/// content says whether they are one package.
#[derive(Clone, Debug)]
pub struct Subject {
    content: Digest,
    place: (String, PathBuf),
    /// Of the workspace: its records say what it names.
    is_live: bool,
}

impl Subject {
    /// The subject of a plan's unit.
    pub fn of(plan: &Plan, unit: &Unit, inputs: &Inputs) -> Subject {
        let package = plan.package(unit);
        let (_, root) = inputs.of(unit.package);
        let is_live = root.is_none();
        let root = root.filter(|_| package.source.is_path()).map_or_else(String::new, |root| root.hex());
        let content = Digest::of(Function::Blake3, format!("vx names 2 {} {root}", unit.hash).as_bytes());
        Subject { content, place: (unit.hash.clone(), plan.workspace_root.clone()), is_live }
    }
}

impl Names {
    /// Looks up what units have named, all that are not known yet together.
    pub async fn load(&self, services: &Services, subjects: &[Subject]) -> Result<(), Failure> {
        let unknown: Vec<Digest> = {
            let known = self.lock();
            let contents = subjects.iter().filter(|subject| !subject.is_live).map(|subject| subject.content);
            contents.filter(|content| !known.learned.contains_key(content)).collect()
        };
        if unknown.is_empty() {
            return Ok(());
        }
        let results = persist(async || services.cas.action_results(&unknown).await).await?;
        let mut known = self.lock();
        for (content, result) in unknown.into_iter().zip(results) {
            let names = result.map(|result| {
                String::from_utf8_lossy(&result.stdout_raw).lines().map(str::to_owned).collect::<Vec<_>>()
            });
            known.learned.insert(content, names);
        }
        Ok(())
    }

    /// What a unit has named, or with an earlier content did.
    pub fn of(&self, subject: &Subject) -> Vec<String> {
        let known = self.lock();
        let learned = known.learned.get(&subject.content).and_then(Option::as_ref);
        learned.or_else(|| known.guessed.get(&subject.place)).cloned().unwrap_or_default()
    }

    /// What a record says that the unit names, where nothing newer is known.
    pub fn guess(&self, subject: &Subject, names: &[String]) {
        self.lock().guessed.entry(subject.place.clone()).or_insert_with(|| names.to_vec());
    }

    /// Remembers what a run of the unit named; says whether it was given less than that.
    pub async fn learn(&self, services: &Services, subject: &Subject, named: BTreeSet<String>) -> bool {
        let given = self.of(subject);
        let lacked = named.iter().any(|name| !given.contains(name));
        let names = Vec::from_iter(named);
        let is_new = {
            let mut known = self.lock();
            known.guessed.insert(subject.place.clone(), names.clone());
            if subject.is_live {
                return lacked;
            }
            let before = known.learned.insert(subject.content, Some(names.clone())).flatten();
            before.unwrap_or_default() != names
        };
        if is_new {
            let result = v2::ActionResult { stdout_raw: names.join("\n").into_bytes(), ..Default::default() };
            let keep = async || services.cas.update_action_result(subject.content, result.clone()).await;
            if let Err(err) = persist(keep).await {
                tracing::warn!(%err, "the names of variables could not be kept, ignoring");
            }
        }
        lacked
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run that ended: what it was and what it left.
pub struct Run<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Its unit.
    pub unit: &'a Unit,
    /// What ran.
    pub call: &'a Call,
    /// How it ended.
    pub result: &'a v2::ActionResult,
    /// What it printed.
    pub streams: &'a Streams,
    /// What the person has set.
    pub ambient: &'a Ambient,
    /// What exceptions let it read.
    pub excepted: &'a [PathBuf],
    /// What its unit had named before.
    pub given: &'a [String],
}

impl Run<'_> {
    /// The variables it named and was given for that, or lacked, or held with another value than cargo gives.
    pub async fn named(&self, services: &Services) -> Result<BTreeSet<String>, Failure> {
        let given = self.given.iter().cloned();
        let mut named: BTreeSet<String> = match (self.unit.kind, self.result.exit_code) {
            (Kind::BuildScriptRun, 0) => {
                let heard = script::heard(self.plan, self.unit, self.ambient, &self.streams.stdout);
                heard.map(|said| said.rerun_if_env_changed).unwrap_or_default().into_iter().collect()
            }
            (Kind::BuildScriptRun, _) => {
                // What changes nothing but its last words it gets when these are wanted.
                let asks = String::from_utf8_lossy(&self.streams.stderr).contains(BACKTRACE_WORDS);
                given.chain(asks.then(|| BACKTRACE.to_owned())).collect()
            }
            (_, 0) => {
                let digest = Outcome::of(self.unit, self.call, self.result)?.dep_info();
                let texts = streams::read_many(services, &Vec::from_iter(digest)).await?;
                let infos = texts.values().map(|text| DepInfo::parse(&String::from_utf8_lossy(text)));
                infos.flat_map(|info| info.env).map(|(name, _)| name).collect()
            }
            // There is no dep-info then: what was named before still is.
            _ => missed(&String::from_utf8_lossy(&self.streams.stderr)).into_iter().chain(given).collect(),
        };
        let record = record::of(self.result);
        if let Some(record) = &record {
            named.extend(programs::names(record));
            named.extend(crates::names(self.plan, self.unit, record));
        }
        let stderr = String::from_utf8_lossy(&self.streams.stderr);
        named.extend(beside::names(self.plan, self.unit, self.call, self.excepted, record.as_ref(), &stderr));
        named.extend(quoted::names(self.plan, self.unit, &stderr));
        let compiles = self.unit.kind != Kind::BuildScriptRun;
        let differs = |name: &str, held: &str| {
            rustc::is_placed(self.plan, self.unit, held)
                || rustc::tells_toolchain(self.plan, self.unit, held)
                || (compiles && self.ambient.owns(name, held))
        };
        named.retain(|name| {
            let held = self.call.env.get(name);
            self.given.contains(name) || held.is_none_or(|value| differs(name, value))
        });
        Ok(named)
    }
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
