//! What build scripts and macros opened, tried and were refused, by package: kept in a small file a
//! workspace, printed by `vx audit`, and in part a warning. What runs hear is execd's; whether a
//! result may be kept has nothing to do with it.

mod wants;
mod word;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use shared::{
    digest::{Digest, Function},
    limits,
    reapi::record::{Attempt, GRANTED, RunRecord},
};
pub use word::answer;

/// The form of the files.
const FORMAT: u32 = 1;
/// What a program leaves that is compiled with `-C instrument-coverage`.
const PROFILE: &str = ".profraw";
/// Attempts named in one warning or error.
const NAMED: usize = 3;
/// Whom the C library asks for names where no other is configured.
const RESOLVER: &str = "127.0.0.1:53";
/// Below the home: what tools ask for by themselves and do well without.
const HARMLESS: [&str; 11] = [
    "~/.gitconfig",
    "~/.config/git",
    "~/.cargo/config",
    "~/.cargo/env",
    "~/.rustup",
    "~/.cache",
    "~/.local/share",
    "~/.terminfo",
    "~/.profile",
    "~/.inputrc",
    "~/.bashrc",
];
/// Below the home: what tools write by themselves.
const CACHES: [&str; 4] = ["~/.cache", "~/.cargo/.global-cache", "~/.cargo/.package-cache", "~/.local/share"];
/// Outside the home: what only somebody who looks for secrets or sockets asks for.
const TELLING: [&str; 7] = ["/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssh", "/root", "/run", "/var/run"];

/// What runs of one kind of one package did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Files of the workspace that were opened.
    #[serde(default)]
    pub opened: Vec<String>,
    /// What was tried and refused.
    #[serde(default)]
    pub tried: Vec<Tried>,
    /// What it wrote beside its sources, which is lost.
    #[serde(default)]
    pub wrote: Vec<String>,
    /// What exceptions of vx.toml gave it.
    #[serde(default)]
    pub granted: Vec<String>,
    /// Why either may lack something.
    #[serde(default)]
    pub lacks: Vec<String>,
}

/// One attempt, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    kind: String,
    what: String,
    answer: String,
}

/// All of one workspace, by package and what of it ran.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Workspace {
    format: u32,
    /// By `NAME vVERSION (build script)` or `(compiler with macros)`.
    pub entries: BTreeMap<String, Entry>,
    #[serde(default)]
    wants: wants::Wants,
}

/// The files, one a workspace.
#[derive(Debug)]
pub struct Memory {
    /// Nowhere without a home.
    folder: Option<PathBuf>,
}

impl Entry {
    /// From a result's record.
    pub fn of(record: &RunRecord) -> Entry {
        let tried = |attempt: &Attempt| {
            let Attempt { kind, what, answer } = attempt.clone();
            Tried { kind, what, answer }
        };
        let lacks = [&record.unseen, &record.unheard].into_iter().filter(|why| !why.is_empty()).cloned();
        Entry {
            opened: record.opened.clone(),
            wrote: record.wrote.clone(),
            tried: record.tried.iter().map(tried).collect(),
            granted: record.granted.clone(),
            lacks: lacks.collect(),
        }
    }

    fn is_empty(&self) -> bool {
        *self == Entry::default()
    }

    /// What a person should hear of, although it was refused and the run went on; in one sentence.
    pub fn warning(&self) -> Option<String> {
        named(self.tried.iter().filter(|tried| tried.is_telling()))
    }

    /// What it left in its view of the workspace, where cargo would have let it: another build than cargo's.
    pub fn lost(&self) -> Option<String> {
        // What a program that is measured leaves is not its own doing.
        let wrote: Vec<&str> = self.wrote.iter().map(String::as_str).filter(|path| !path.ends_with(PROFILE)).collect();
        let named = &wrote[..wrote.len().min(NAMED)];
        match wrote.len() - named.len() {
            _ if named.is_empty() => None,
            0 => Some(named.join(", ")),
            more => Some(format!("{} and {more} more", named.join(", "))),
        }
    }

    /// What may have made a run fail: the telling ones, else whatever was refused.
    pub fn suspicion(&self) -> Option<String> {
        self.warning().or_else(|| named(self.tried.iter().filter(|tried| tried.answer != GRANTED)))
    }

    /// Whether it tried or used anything of interest.
    pub fn wants_anything(&self) -> bool {
        !wants::of(self).is_empty()
    }
}

impl Tried {
    /// Whether it says something about whoever tried: the network, sockets, keys, the home.
    fn is_telling(&self) -> bool {
        // By the text: a name may go on with an ending.
        let below = |folder: &str| self.what.starts_with(folder);
        match self.what.starts_with("~/") {
            _ if self.answer == GRANTED => false,
            // Caches tools do well without; what a shell or git obeys nobody writes in passing.
            true if self.kind == "write" => !CACHES.iter().any(|folder| below(folder)),
            _ if self.kind == "connect" => true,
            true => !HARMLESS.iter().any(|folder| below(folder)),
            false => TELLING.iter().any(|folder| below(folder)),
        }
    }

    fn verb(&self) -> &'static str {
        match self.kind.as_str() {
            "connect" => "connect to",
            "write" => "write",
            _ => "open",
        }
    }

    fn words(&self) -> String {
        if self.what == RESOLVER {
            return format!("look up a host's name ({})", self.answer);
        }
        format!("{} {} ({})", self.verb(), self.what, self.answer)
    }
}

fn named<'a>(tried: impl Iterator<Item = &'a Tried>) -> Option<String> {
    let all: Vec<String> = tried.map(Tried::words).collect();
    let more = all.len().saturating_sub(NAMED);
    let named = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match (all.len(), more) {
        (0, _) => None,
        (_, 0) => Some(named),
        (_, more) => Some(format!("{named} and {more} more")),
    }
}

impl Memory {
    /// What is kept in this folder.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Memory { folder }
    }

    /// What is known of a workspace.
    pub fn workspace(&self, root: &Path) -> Workspace {
        let text = self.file(root).and_then(|file| fs::read(file).ok()).unwrap_or_default();
        let read = serde_json::from_slice(&text).ok();
        read.filter(|workspace: &Workspace| workspace.format == FORMAT).unwrap_or_default()
    }

    /// Takes in what a build has heard; says what of it is news. Of results that were found, what was opened is not in the
    /// result any more: what is known of that stays.
    pub fn learn(&self, root: &Path, entries: BTreeMap<String, Entry>) -> io::Result<Vec<String>> {
        let (Some(folder), Some(file)) = (&self.folder, self.file(root)) else { return Ok(Vec::new()) };
        let mut workspace = self.workspace(root);
        let before = (workspace.entries.clone(), workspace.wants.clone());
        let news = wants::learn(&mut workspace.wants, &entries);
        for (name, mut entry) in entries {
            if let Some(known) = workspace.entries.get(&name).filter(|_| entry.opened.is_empty()) {
                entry.opened.clone_from(&known.opened);
            }
            match entry.is_empty() {
                true => drop(workspace.entries.remove(&name)),
                false => drop(workspace.entries.insert(name, entry)),
            }
        }
        while workspace.entries.len() > limits::WHY_UNITS {
            workspace.entries.pop_first();
        }
        if (&workspace.entries, &workspace.wants) == (&before.0, &before.1) {
            return Ok(news);
        }
        fs::create_dir_all(folder)?;
        let beside = file.with_extension("new");
        fs::write(&beside, serde_json::to_vec(&Workspace { format: FORMAT, ..workspace })?)?;
        fs::rename(&beside, &file)?;
        Ok(news)
    }

    fn file(&self, root: &Path) -> Option<PathBuf> {
        let name = Digest::of(Function::Blake3, root.as_os_str().as_encoded_bytes()).hex();
        Some(self.folder.as_ref()?.join(format!("{}.json", &name[..32])))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Of attempts that were refused.
    pub fn entry(tried: &[(&str, &str)]) -> Entry {
        let tried = tried.iter().map(|(kind, what)| Tried {
            kind: (*kind).to_owned(),
            what: (*what).to_owned(),
            answer: "ENOENT".to_owned(),
        });
        Entry { tried: tried.collect(), ..Entry::default() }
    }

    #[test]
    fn only_telling_attempts_are_warnings() {
        let quiet = [("open", "~/.gitconfig"), ("open", "~/.cargo/config.toml"), ("open", "/etc/localtime")];
        assert_eq!(entry(&quiet).warning(), None);
        assert!(entry(&quiet).suspicion().expect("all of it").contains("/etc/localtime"));
        for (kind, what) in [
            ("open", "~/.ssh/id_rsa"),
            ("open", "~/.cargo/credentials.toml"),
            ("open", "/etc/shadow"),
            ("connect", "192.0.2.1:80"),
            ("connect", "/var/run/docker.sock"),
            ("connect", "@abstract"),
        ] {
            assert!(entry(&[(kind, what)]).warning().is_some_and(|text| text.contains(what)), "{what}");
        }
        let many = [("connect", "a"), ("connect", "b"), ("connect", "c"), ("connect", "d")];
        assert!(entry(&many).warning().expect("four").ends_with(" and 1 more"));
    }

    #[test]
    fn what_was_opened_outlasts_a_hit() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (memory, root) = (Memory::new(Some(dir.path().to_owned())), Path::new("/w"));
        let learn =
            |entry: Entry| memory.learn(root, BTreeMap::from([("a".to_owned(), entry)])).expect("it is written");
        learn(Entry { opened: vec!["x".to_owned()], ..entry(&[("connect", "b")]) });
        learn(entry(&[("connect", "c")]));
        let known = &memory.workspace(root).entries["a"];
        assert_eq!((known.opened.clone(), known.tried[0].what.as_str()), (vec!["x".to_owned()], "c"));
    }
}
