//! What runs of a unit opened of their checkout. A record narrows the key of a result, never what
//! an action sees: every run sees the whole checkout and is recorded anew. The last few records
//! are the ActionResult of the unit's static Action, which is all of its Action but the checkout.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use shared::{
    digest::{Digest, Function, Hasher},
    limits,
    reapi::{
        record::{self, RunRecord},
        v2,
    },
};

use crate::{cargo::call::Call, live::Scan};

/// Streams up to this size are stored in the result, where they cost no call of their own.
const INLINE_BYTES: usize = 16 << 10;

/// git's index, as runs are seen to open it.
const INDEX: &str = ".git/index";

/// Everything a key says of a checkout, by what it is about: `file src/a.rs`, `names src`, …
pub type Facts = BTreeMap<String, String>;

/// Which names count in folders on the way to what was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Counting {
    /// Where the compiler could have found a module instead: `m/mod.rs` beside `m.rs`. All that a
    /// compiler without macros asks for by name and does not open.
    Modules,
    /// All: scripts and macros ask for `.env` and the like, and what is not there is not seen.
    All,
}

impl Counting {
    /// For what a call may look for: linker scripts, too, are looked for in several folders.
    pub fn of(call: &Call) -> Self {
        let links = call.args.iter().any(|arg| arg.contains("link-arg"));
        if call.needs.reads_freely || links { Counting::All } else { Counting::Modules }
    }
}

/// One way to depend on a checkout. Paths are below its root, whose own is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Files that were opened.
    pub opened: BTreeSet<String>,
    /// Folders whose names were read.
    #[serde(default)]
    pub listed: BTreeSet<String>,
    /// Links that lead to one of those.
    #[serde(default)]
    pub links: BTreeSet<String>,
    /// Which names count on the way.
    pub counting: Counting,
    /// The package of a script: the names in all of its folders count.
    #[serde(default)]
    pub package: Option<String>,
    /// The package of a script that declares nothing: all of its content counts.
    #[serde(default)]
    pub whole: Option<String>,
    /// What a script asked to be rerun for, also where nothing is.
    #[serde(default)]
    pub declared: BTreeSet<String>,
    /// Whether the commit was read.
    #[serde(default)]
    pub git: bool,
    /// Whether git's index was read: then every tracked file counts.
    #[serde(default)]
    pub index: bool,
    /// Whether what it left holds the place of the checkout, so that it runs there.
    #[serde(default)]
    pub placed: bool,
    /// Variables that were asked for.
    #[serde(default)]
    pub variables: BTreeSet<String>,
}

/// What is known of a unit's run beside what it was seen to open.
#[derive(Clone, Debug)]
pub struct Known {
    /// Which names count.
    pub counting: Counting,
    /// A script's package.
    pub package: Option<String>,
    /// Whether that script declared anything.
    pub declares: Declares,
    /// What it declared.
    pub declared: BTreeSet<String>,
    /// Whether what it left holds the place of the checkout.
    pub placed: bool,
    /// Variables that were asked for.
    pub variables: BTreeSet<String>,
}

/// Whether a script says when it is to be rerun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declares {
    /// It does, or it is no script.
    Something,
    /// It does not: cargo reruns it for any change in its package.
    Nothing,
}

impl Record {
    /// The record of a run. What it made itself (nothing of that name was there before) is no input.
    pub fn of(run: &RunRecord, known: Known, before: &Scan) -> Record {
        let is_git = |path: &&String| **path == shared::checkout::GIT || path.starts_with(".git/");
        let git = run.opened.iter().chain(&run.listed).chain(&known.declared).any(|path| is_git(&path));
        let index = run.opened.iter().any(|path| path == INDEX);
        let own = |paths: &[String]| -> BTreeSet<String> {
            paths.iter().filter(|path| !is_git(path) && before.holds(path)).cloned().collect()
        };
        let (opened, listed) = (own(&run.opened), own(&run.listed));
        let reached: BTreeSet<String> = opened.union(&listed).cloned().collect();
        let whole = known.package.clone().filter(|_| known.declares == Declares::Nothing);
        Record {
            links: before.links_to(&reached),
            opened,
            listed,
            counting: known.counting,
            package: known.package,
            whole,
            declared: known.declared.into_iter().filter(|path| !is_git(&path)).collect(),
            git,
            index,
            placed: known.placed,
            variables: known.variables,
        }
    }

    /// The folders whose names count.
    pub fn folders(&self) -> BTreeSet<String> {
        let mut folders = self.listed.clone();
        if self.counting == Counting::All {
            folders.insert(String::new());
            for path in self.opened.iter().chain(&self.links).chain(&self.listed) {
                let mut above = path.as_str();
                while let Some((parent, _)) = above.rsplit_once('/') {
                    folders.insert(parent.to_owned());
                    above = parent;
                }
            }
        }
        folders
    }

    /// Where a module could be instead of where it was opened.
    pub fn alternatives(&self) -> BTreeSet<String> {
        let other = |path: &String| {
            let stem = path.strip_suffix(".rs")?;
            match stem.strip_suffix("/mod") {
                Some(folder) => Some(format!("{folder}.rs")),
                None => Some(format!("{stem}/mod.rs")),
            }
        };
        let opened = self.opened.iter().chain(&self.links);
        opened.filter_map(other).filter(|path| !self.opened.contains(path)).collect()
    }
}

/// The narrow key: a static Action with what a record names of the checkout.
pub fn narrow(base: &Digest, facts: &Facts) -> Digest {
    let mut hasher = Hasher::new(Function::Blake3);
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    add("vx narrow 1");
    add(&base.hex());
    for (about, fact) in facts {
        add(about);
        add(fact);
    }
    hasher.finish()
}

/// The result without what its record holds.
pub fn lean(result: &v2::ActionResult) -> v2::ActionResult {
    let mut lean = result.clone();
    for raw in [&mut lean.stdout_raw, &mut lean.stderr_raw] {
        if raw.len() > INLINE_BYTES {
            raw.clear();
        }
    }
    record::update(&mut lean, |run| {
        run.opened.clear();
        run.listed.clear();
        run.naming.clear();
    });
    lean
}

/// The records of a static Action, newest first.
pub fn read(result: Option<&v2::ActionResult>) -> Vec<Record> {
    result.and_then(|result| serde_json::from_slice(&result.stdout_raw).ok()).unwrap_or_default()
}

/// Puts a record in front of others; `None` where it stands there already.
pub fn remember(record: &Record, others: &[Record]) -> Option<v2::ActionResult> {
    if others.first() == Some(record) {
        return None;
    }
    let others = others.iter().filter(|other| *other != record);
    let mut records: Vec<&Record> = std::iter::once(record).chain(others).take(limits::RECORDS).collect();
    loop {
        let text = serde_json::to_vec(&records).unwrap_or_default();
        if text.len() <= limits::RECORD_BYTES || records.len() <= 1 {
            return Some(v2::ActionResult { stdout_raw: text, ..Default::default() });
        }
        records.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(opened: &[&str], counting: Counting) -> Record {
        Record {
            opened: opened.iter().map(|&path| path.to_owned()).collect(),
            listed: BTreeSet::new(),
            links: BTreeSet::new(),
            counting,
            package: None,
            whole: None,
            declared: BTreeSet::new(),
            git: false,
            index: false,
            placed: false,
            variables: BTreeSet::new(),
        }
    }

    #[test]
    fn modules_have_one_other_place() {
        let record = record(&["a/src/lib.rs", "a/src/m.rs", "a/src/n/mod.rs", "a/x.txt"], Counting::Modules);
        let other: Vec<_> = record.alternatives().into_iter().collect();
        assert_eq!(other, ["a/src/lib/mod.rs", "a/src/m/mod.rs", "a/src/n.rs"]);
        assert!(record.folders().is_empty());
    }

    #[test]
    fn all_folders_on_the_way_count_for_who_asks_for_names() {
        let record = record(&["a/src/lib.rs"], Counting::All);
        assert_eq!(record.folders().into_iter().collect::<Vec<_>>(), ["", "a", "a/src"]);
    }

    #[test]
    fn the_newest_records_are_kept() {
        let record = |number: usize| record(&[&format!("{number}")], Counting::All);
        let mut known = Vec::new();
        for number in 0..20 {
            known = read(remember(&record(number), &known).as_ref());
        }
        assert_eq!((known.len(), known[0].clone(), known[7].clone()), (limits::RECORDS, record(19), record(12)));
        assert!(remember(&known[0], &known).is_none());
        let again = read(remember(&record(15), &known).as_ref());
        assert_eq!((again.len(), again[0].clone()), (limits::RECORDS, record(15)));
    }
}
