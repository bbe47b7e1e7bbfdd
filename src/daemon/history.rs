//! How long units took when they last ran, so that the next build starts the longest way first.
//! Kept over restarts in one small file; a hint, nothing more: whatever cannot be read is forgotten.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use shared::{
    digest::{Digest, Function},
    limits,
    reapi::record::RunRecord,
};

use crate::{
    cargo::plan::{Kind, Plan, Unit},
    graph::Cost,
};

/// The first line of the file.
const FORMAT: &str = "vx durations 1";

/// What is known of all units that ever ran.
#[derive(Debug)]
pub struct History {
    /// Where it is kept; nowhere without a home.
    file: Option<PathBuf>,
    /// Read at the first question.
    table: OnceLock<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<u64, Entry>,
    /// Counts what was learnt; what was learnt first goes first.
    clock: u64,
    changed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    cost: Cost,
    learnt: u64,
}

impl History {
    /// The history in this file.
    pub fn new(file: Option<PathBuf>) -> Self {
        History { file, table: OnceLock::new() }
    }

    /// What each unit of a plan is expected to cost, microseconds.
    pub fn costs(&self, plan: &Plan) -> Vec<Cost> {
        let table = self.table();
        let cost = |unit: &Unit| {
            let known = keys(plan, unit).into_iter().find_map(|key| table.entries.get(&key));
            known.map_or_else(|| guess(unit), |entry| entry.cost)
        };
        plan.units.iter().map(cost).collect()
    }

    /// A unit has run.
    pub fn learn(&self, plan: &Plan, unit: &Unit, cost: Cost) {
        let mut table = self.table();
        for key in keys(plan, unit) {
            table.learn(key, cost);
        }
    }

    /// Writes down what was learnt.
    pub fn keep(&self) {
        let Some(file) = &self.file else { return };
        let text = {
            let mut table = self.table();
            if !std::mem::take(&mut table.changed) {
                return;
            }
            table.write()
        };
        if let Err(err) = replace(file, &text) {
            tracing::warn!(file = %file.display(), %err, "durations cannot be kept, ignoring");
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        let read = || Mutex::new(self.file.as_deref().map(read).unwrap_or_default());
        self.table.get_or_init(read).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn learn(&mut self, key: u64, cost: Cost) {
        self.clock += 1;
        self.entries.insert(key, Entry { cost, learnt: self.clock });
        self.changed = true;
        if self.entries.len() > limits::DURATIONS {
            let mut ages: Vec<u64> = self.entries.values().map(|entry| entry.learnt).collect();
            // A tenth at once, so that the next one does not sort again.
            let (_, &mut youngest, _) = ages.select_nth_unstable(limits::DURATIONS / 10);
            self.entries.retain(|_, entry| entry.learnt > youngest);
        }
    }

    fn write(&self) -> String {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_unstable_by_key(|(_, entry)| entry.learnt);
        let mut text = format!("{FORMAT}\n");
        for (key, entry) in entries {
            let _ = writeln!(text, "{key:016x} {} {}", entry.cost.whole, entry.cost.metadata);
        }
        text
    }
}

fn read(file: &Path) -> Table {
    let mut table = Table::default();
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut lines = text.lines();
    if lines.next() != Some(FORMAT) {
        return table;
    }
    for line in lines.take(limits::DURATIONS) {
        let mut words = line.split(' ');
        let key = words.next().and_then(|word| u64::from_str_radix(word, 16).ok());
        let mut number = || words.next().and_then(|word| word.parse().ok());
        if let (Some(key), Some(whole), Some(metadata)) = (key, number(), number()) {
            table.learn(key, Cost { whole, metadata });
        }
    }
    table.changed = false;
    table
}

/// In the place of the old file, whole or not at all; after a power cut perhaps neither, which
/// costs a guess.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = file.with_extension("new");
    fs::write(&beside, text)?;
    fs::rename(&beside, file)
}

/// The unit itself, and what it most likely is in another version or with other features.
fn keys(plan: &Plan, unit: &Unit) -> [u64; 2] {
    let name = &plan.package(unit).name;
    let way = if unit.is_check() { " check" } else { "" };
    let like = format!("{name} {:?} {} {}{way}", unit.kind, unit.target.name, unit.profile.name);
    let own = u64::from_str_radix(&unit.hash, 16).unwrap_or(0);
    let like = Digest::of(Function::Blake3, like.as_bytes());
    [own, u64::from_str_radix(&like.hex()[..16], 16).unwrap_or(0)]
}

/// For units that never ran: links take longer than libraries, scripts are short.
fn guess(unit: &Unit) -> Cost {
    let ms = |whole: u64, metadata: u64| Cost { whole: whole * 1000, metadata: metadata * 1000 };
    match unit.kind {
        _ if unit.is_check() => ms(400, 400),
        Kind::Lib if !unit.needs_objects() => ms(600, 400),
        Kind::Lib | Kind::ProcMacro | Kind::Bin | Kind::Example | Kind::Test => ms(900, 900),
        Kind::BuildScriptCompile => ms(400, 400),
        Kind::BuildScriptRun => ms(50, 50),
        Kind::Doctest => ms(0, 0),
        Kind::Doc => ms(900, 900),
        Kind::DocMerge => ms(500, 500),
    }
}

/// What a run cost by its record; nothing for a result that execd did not make.
pub fn cost(record: &RunRecord) -> Cost {
    let metadata = if record.early_us == 0 { record.wall_us } else { record.early_us };
    Cost { whole: record.wall_us, metadata }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_outlive_a_restart_and_are_bounded() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("state/durations");
        let history = History::new(Some(file.clone()));
        for key in 0..limits::DURATIONS as u64 + 1 {
            history.table().learn(key, Cost { whole: key, metadata: 1 });
        }
        history.keep();
        let again = History::new(Some(file.clone()));
        let table = again.table();
        assert!(table.entries.len() <= limits::DURATIONS && table.entries.len() > limits::DURATIONS / 2);
        assert!(!table.entries.contains_key(&0));
        let last = limits::DURATIONS as u64;
        assert_eq!(table.entries[&last].cost, Cost { whole: last, metadata: 1 });
        drop(table);
        for broken in ["", "another format\n", "vx durations 1\nx\n1 2\n-\n", "vx durations 1\n\u{0}"] {
            fs::write(&file, broken).expect("a file");
            assert!(History::new(Some(file.clone())).table().entries.is_empty(), "{broken:?}");
        }
    }
}
