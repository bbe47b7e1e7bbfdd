//! Why units were run: what their keys were made of in the last build of each workspace, kept in
//! memory and in a small file a workspace, so that the next build can say which part changed. A
//! help to people, nothing more: whatever cannot be read is forgotten.

mod parts;
mod reason;
mod word;

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

pub use parts::{Parts, of_call, with_facts};
pub use reason::{Reason, differences};
use serde::{Deserialize, Serialize};
use shared::{
    digest::{Digest, Function},
    limits,
};
pub use word::answer;

/// The form of the files.
const FORMAT: u32 = 1;

/// What became of a unit in a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// Its result was found.
    Hit,
    /// It was run well, and why.
    Built(Vec<Reason>),
    /// It was run and failed, and why it was run.
    Failed(Vec<Reason>),
}

/// A unit as it was in the last build that had it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The number of that build.
    pub build: u64,
    /// What became of it.
    pub end: End,
    /// Why its result was not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unkept: Option<String>,
    /// Its key, to know without looking that nothing changed.
    pub key: String,
    /// What that was made of; the same one for as long as nothing changes.
    pub parts: Arc<Parts>,
}

/// The units of one workspace, by profile and label.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Workspace {
    format: u32,
    /// The number of the last build.
    pub build: u64,
    /// By profile and label.
    pub units: BTreeMap<String, Entry>,
}

/// All workspaces.
#[derive(Debug)]
pub struct Memory {
    /// Where files are; nowhere without a home.
    folder: Option<PathBuf>,
    known: Mutex<HashMap<PathBuf, Arc<Workspace>>>,
}

impl Memory {
    /// What is kept in this folder.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Memory { folder, known: Mutex::default() }
    }

    /// A workspace as it was after its last build.
    pub fn workspace(&self, root: &Path) -> Arc<Workspace> {
        Arc::clone(self.known(&mut self.lock(), root))
    }

    /// Takes in what a build has seen, which is known from then on; whether more than its number is
    /// new, so that it is to be written down.
    pub fn learn(&self, root: &Path, units: BTreeMap<String, Entry>) -> bool {
        let mut known = self.lock();
        let workspace = Arc::make_mut(self.known(&mut known, root));
        workspace.build += 1;
        let mut is_new = false;
        for (name, entry) in units {
            let entry = Entry { build: workspace.build, ..entry };
            let before = workspace.units.insert(name, entry.clone());
            is_new |= before.is_none_or(|before| Entry { build: entry.build, ..before } != entry);
        }
        while workspace.units.len() > limits::WHY_UNITS {
            let oldest = workspace.units.iter().min_by_key(|(_, entry)| entry.build).map(|(name, _)| name.clone());
            oldest.map(|name| workspace.units.remove(&name));
        }
        is_new
    }

    /// Writes down what is known of a workspace. Blocks.
    pub fn write_down(&self, root: &Path) {
        if let Err(err) = self.write(root, &self.workspace(root)) {
            tracing::warn!(%err, "what units were made of cannot be kept, ignoring");
        }
    }

    fn known<'a>(&self, known: &'a mut HashMap<PathBuf, Arc<Workspace>>, root: &Path) -> &'a mut Arc<Workspace> {
        if known.len() >= limits::WHY_WORKSPACES && !known.contains_key(root) {
            known.clear();
        }
        known.entry(root.to_owned()).or_insert_with(|| Arc::new(self.read(root)))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Arc<Workspace>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, root: &Path) -> Option<PathBuf> {
        let name = Digest::of(Function::Blake3, root.as_os_str().as_encoded_bytes()).hex();
        Some(self.folder.as_ref()?.join(format!("{}.json", &name[..32])))
    }

    fn read(&self, root: &Path) -> Workspace {
        let text = self.file(root).and_then(|file| fs::read(file).ok()).unwrap_or_default();
        let read = serde_json::from_slice(&text).ok();
        read.filter(|workspace: &Workspace| workspace.format == FORMAT).unwrap_or_default()
    }

    fn write(&self, root: &Path, workspace: &Workspace) -> io::Result<()> {
        let (Some(folder), Some(file)) = (&self.folder, self.file(root)) else { return Ok(()) };
        fs::create_dir_all(folder)?;
        make_room(folder)?;
        let beside = file.with_extension("new");
        let text = serde_json::to_vec(&Workspace { format: FORMAT, ..workspace.clone() })?;
        fs::write(&beside, text)?;
        fs::rename(&beside, &file)
    }
}

/// Takes away what was not written to for the longest time.
fn make_room(folder: &Path) -> io::Result<()> {
    let mut files: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)?.flatten() {
        files.push((entry.metadata()?.modified()?, entry.path()));
    }
    files.sort();
    for (_, file) in files.iter().rev().skip(limits::WHY_WORKSPACES - 1) {
        fs::remove_file(file)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(parts: &[(&str, &str)], end: End) -> Entry {
        let parts = parts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Entry { build: 0, end, unkept: None, key: "k".to_owned(), parts: Arc::new(parts) }
    }

    #[test]
    fn a_workspace_outlives_a_restart_and_files_are_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path().join("why");
        let memory = Memory::new(Some(at.clone()));
        let built = entry(&[("file a", "1")], End::Built(vec![Reason::First]));
        for number in 0..limits::WHY_WORKSPACES + 3 {
            memory.learn(Path::new(&format!("/w{number}")), [("dev x".to_owned(), built.clone())].into());
            memory.write_down(Path::new(&format!("/w{number}")));
        }
        assert_eq!(fs::read_dir(&at).expect("a folder").count(), limits::WHY_WORKSPACES);
        let last = PathBuf::from(format!("/w{}", limits::WHY_WORKSPACES + 2));
        let again = Memory::new(Some(at)).workspace(&last);
        assert_eq!((again.build, &again.units["dev x"].end), (1, &built.end));
    }
}
