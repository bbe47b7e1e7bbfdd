//! The checkout of one build as it is on disk: what a record of an action names there, looked at
//! now, and whether anything of it changed while the action ran. What is recorded is `records`'s.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use shared::{
    checkout::{self, Git},
    digest::{Digest, Function},
    fault::{Failure, Fault},
    limits,
    reapi::record::RunRecord,
};

use crate::{
    records::{Facts, Known, Record},
    sources::{self, Hashes, Nested, Scope, Stamp},
};

/// A scan as young as this serves for another run too.
const FRESH: Duration = Duration::from_millis(200);
/// And as many times its own cost, so that a large checkout is not scanned all the time.
const COSTS: u32 = 20;
/// Names end so that editors and version control give to files of their own.
const PASSING_ENDS: [&str; 7] = ["~", ".swp", ".swo", ".swx", ".bak", ".orig", "#"];
/// And so they begin.
const PASSING_STARTS: [&str; 2] = [".#", "#"];
/// vim's trial file, and what a file manager leaves.
const PASSING: [&str; 2] = ["4913", ".DS_Store"];
/// Other tools' packages: what is opened of them counts, but not every name.
const ASIDE: &str = "node_modules";

/// The checkout.
#[derive(Debug)]
pub struct Checkout {
    root: PathBuf,
    target_dir: PathBuf,
    hashes: Arc<Hashes>,
    scanned: Mutex<Option<Arc<Scan>>>,
}

/// Every file and folder of the checkout, at one time.
#[derive(Debug)]
pub struct Scan {
    /// Files with their stamps; those that were only just written with their content too.
    files: HashMap<String, (Stamp, Option<Digest>)>,
    /// Folders with their names.
    folders: HashMap<String, String>,
    /// Links with what they lead to, below the root.
    links: Vec<(String, String)>,
    taken: Instant,
    cost: Duration,
}

impl Checkout {
    /// A checkout by its root.
    pub fn new(root: PathBuf, target_dir: PathBuf, hashes: Arc<Hashes>) -> Self {
        Checkout { root, target_dir, hashes, scanned: Mutex::default() }
    }

    /// Its root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its target folder.
    pub fn target_dir(&self) -> &Path {
        &self.target_dir
    }

    fn scope(&self) -> checkout::Scope<'_> {
        checkout::Scope { root: &self.root, target_dir: &self.target_dir }
    }

    /// Everything as it is now, or a moment ago.
    pub async fn scan(self: &Arc<Self>) -> Result<Arc<Scan>, Failure> {
        let known = self.scanned().clone();
        if let Some(scan) = known.filter(|scan| scan.taken.elapsed() < FRESH.max(scan.cost * COSTS)) {
            return Ok(scan);
        }
        let checkout = Arc::clone(self);
        let scan = tokio::task::spawn_blocking(move || Scan::take(&checkout)).await;
        let scan = Arc::new(scan.map_err(|err| Failure::new(Fault::Bug, format!("scanning the checkout: {err}")))??);
        *self.scanned() = Some(Arc::clone(&scan));
        Ok(scan)
    }

    /// Forgets the last scan: something has changed since.
    pub fn forget_scan(&self) {
        *self.scanned() = None;
    }

    fn scanned(&self) -> std::sync::MutexGuard<'_, Option<Arc<Scan>>> {
        self.scanned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of a folder that may count: sorted, a line each, with what they are.
    fn names(&self, folder: &str) -> String {
        let Ok(entries) = fs::read_dir(self.root.join(folder)) else { return "absent".to_owned() };
        let mut names = Vec::new();
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_passing(&name) || self.is_hidden(&entry.path(), kind) {
                continue;
            }
            names.push(match () {
                () if kind.is_dir() => format!("{name}/"),
                () if kind.is_symlink() => {
                    let target = fs::read_link(entry.path()).unwrap_or_default();
                    format!("{name} -> {}", target.to_string_lossy())
                }
                () => name,
            });
        }
        names.sort_unstable();
        names.join("\n")
    }

    fn is_hidden(&self, path: &Path, kind: fs::FileType) -> bool {
        let scope = self.scope();
        if kind.is_dir() { scope.hides_folder(path) } else { scope.hides_file(path) }
    }
}

/// Whether a name comes and goes without meaning.
fn is_passing(name: &str) -> bool {
    PASSING.contains(&name)
        || PASSING_ENDS.iter().any(|end| name.ends_with(end))
        || PASSING_STARTS.iter().any(|start| name.starts_with(start))
}

impl Scan {
    /// What two checkouts have in common that are most likely alike: names and sizes.
    pub fn likeness(&self) -> Digest {
        let files: BTreeSet<_> = self.files.iter().map(|(path, (stamp, _))| (path, stamp.size())).collect();
        Digest::of(Function::Blake3, format!("{files:?}").as_bytes())
    }

    fn take(checkout: &Checkout) -> Result<Scan, Failure> {
        let taken = Instant::now();
        let mut scan =
            Scan { files: HashMap::new(), folders: HashMap::new(), links: Vec::new(), taken, cost: Duration::ZERO };
        let mut open = vec![String::new()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(checkout.root.join(&folder)).into_iter().flatten().flatten() {
                let (path, Ok(kind), Ok(meta)) = (entry.path(), entry.file_type(), entry.metadata()) else { continue };
                let name = entry.file_name();
                let Some(name) = name.to_str() else { continue };
                let below = join(&folder, name);
                if checkout.is_hidden(&path, kind) {
                    continue;
                }
                if kind.is_dir() {
                    open.push(below);
                    continue;
                }
                if kind.is_symlink() {
                    let target = fs::canonicalize(&path).ok();
                    let target = target.as_ref().and_then(|target| target.strip_prefix(&checkout.root).ok()?.to_str());
                    scan.links.extend(target.map(|target| (below.clone(), target.to_owned())));
                }
                let stamp = Stamp::of(&meta);
                let young = kind.is_file() && !stamp.is_settled();
                let digest = if young { checkout.hashes.of(&path, &meta).ok() } else { None };
                scan.files.insert(below, (stamp, digest));
            }
            scan.folders.insert(folder.clone(), checkout.names(&folder));
            if scan.files.len() + scan.folders.len() > limits::TREE_NODES {
                let what = format!("{}: more than a million files", checkout.root.display());
                return Err(
                    Failure::new(Fault::User, what).hint("keep what is no source out of the workspace's folder")
                );
            }
        }
        scan.cost = taken.elapsed();
        Ok(scan)
    }

    /// Whether this was there.
    pub fn holds(&self, path: &str) -> bool {
        self.files.contains_key(path) || self.folders.contains_key(path)
    }

    /// The links that lead to one of these, or to a folder on the way to one.
    pub fn links_to(&self, paths: &BTreeSet<String>) -> BTreeSet<String> {
        let leads = |target: &str| {
            let below = format!("{target}/");
            paths.contains(target) || paths.range(below.clone()..).next().is_some_and(|path| path.starts_with(&below))
        };
        self.links.iter().filter(|(_, target)| leads(target)).map(|(link, _)| link.clone()).collect()
    }

    /// What below these folders is another file now.
    fn differs_below(&self, now: &Scan, folder: &str) -> Option<String> {
        let inside = |path: &str| folder.is_empty() || path == folder || path.starts_with(&format!("{folder}/"));
        let before: BTreeMap<&String, &Stamp> =
            self.files.iter().filter(|(path, _)| inside(path)).map(|(path, (stamp, _))| (path, stamp)).collect();
        let after: BTreeMap<&String, &Stamp> =
            now.files.iter().filter(|(path, _)| inside(path)).map(|(path, (stamp, _))| (path, stamp)).collect();
        let gone =
            before.iter().find(|(path, stamp)| after.get(*path) != Some(*stamp)).map(|(path, _)| (*path).clone());
        gone.or_else(|| after.keys().find(|path| !before.contains_key(*path)).map(|path| (*path).clone()))
    }
}

/// What a run that is over comes to.
pub struct Settled {
    /// What it opened.
    pub record: Record,
    /// All that this names, as it is now.
    pub facts: Facts,
    /// The first of it that changed since the run began.
    pub changed: Option<String>,
}

/// Looks at all that a run has opened; `before` is the checkout when it began.
pub async fn settle(
    checkout: &Arc<Checkout>,
    run: RunRecord,
    known: Known,
    before: Arc<Scan>,
) -> Result<Settled, Failure> {
    let checkout = Arc::clone(checkout);
    let look = move || {
        let record = Record::of(&run, known, &before);
        let mut glance = Glance::new(&checkout);
        let facts = glance.facts(&record);
        Settled { record, facts, changed: glance.changed_since(&before) }
    };
    blocking(look).await
}

/// Looks at the checkout where that may block.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|err| Failure::new(Fault::Bug, format!("looking at the checkout: {err}")))
}

/// One look at the checkout: nothing is looked at twice.
#[derive(Debug)]
pub struct Glance<'a> {
    checkout: &'a Checkout,
    files: HashMap<String, String>,
    folders: HashMap<String, String>,
    trees: HashMap<String, String>,
}

impl<'a> Glance<'a> {
    /// A look at what is there now.
    pub fn new(checkout: &'a Checkout) -> Self {
        Glance { checkout, files: HashMap::new(), folders: HashMap::new(), trees: HashMap::new() }
    }

    /// All that a record names, as it is now. A key is the digest over these.
    pub fn facts(&mut self, record: &Record) -> Facts {
        let mut facts = Facts::new();
        for path in record.opened.iter().chain(&record.links) {
            facts.insert(format!("file {path}"), self.file(path));
        }
        for path in &record.declared {
            facts.insert(format!("declared {path}"), self.declared(path));
        }
        for folder in record.folders() {
            facts.insert(format!("names {folder}"), self.names(&folder));
        }
        // Also where all names on the way count: the other place may lie in a folder beside the way.
        for path in record.alternatives() {
            facts.insert(format!("module {path}"), self.kind(&path).to_owned());
        }
        if let Some(package) = &record.package {
            self.names_below(package, &mut facts);
            // A script also asks whether something is there beside its package, and nothing sees that it asked.
            self.names_below("", &mut facts);
        }
        if let Some(package) = &record.whole {
            facts.insert(format!("package {package}"), self.tree(package, Nested::LeftOut));
        }
        if record.git {
            facts.insert("commit".to_owned(), self.commit());
        }
        facts
    }

    /// Such facts by their names alone, for what is named so; others are left out.
    pub fn again(&mut self, names: &[String]) -> Facts {
        let mut facts = Facts::new();
        for name in names {
            let fact = match name.split_once(' ').unwrap_or((name, "")) {
                ("file", path) => self.file(path),
                ("declared", path) => self.declared(path),
                ("names", folder) => self.names(folder),
                ("module", path) => self.kind(path).to_owned(),
                ("package", folder) if !folder.starts_with('/') => self.tree(folder, Nested::LeftOut),
                ("commit", "") => self.commit(),
                _ => continue,
            };
            facts.insert(name.clone(), fact);
        }
        facts
    }

    fn commit(&self) -> String {
        let git = Git::of(&self.checkout.root);
        let text = git.as_ref().map_or_else(String::new, Git::text);
        format!("{} {}", git.as_ref().map_or("", Git::commit), blake3(&text))
    }

    /// The first thing that is not as it was, of all that was looked at.
    pub fn changed_since(&self, before: &Scan) -> Option<String> {
        for (path, fact) in &self.files {
            let now = fs::symlink_metadata(self.checkout.root.join(path)).ok();
            let same = match (before.files.get(path), &now) {
                (Some((stamp, content)), Some(meta)) => {
                    let same_content = content.is_none_or(|content| fact.starts_with(&content.hex()));
                    *stamp == Stamp::of(meta) && same_content
                }
                (None, Some(meta)) => meta.is_dir() && before.folders.contains_key(path),
                (known, None) => known.is_none() && !before.folders.contains_key(path),
            };
            if !same {
                return Some(path.clone());
            }
        }
        let folder = self.folders.iter().find(|(folder, names)| {
            let before = before.folders.get(*folder).map_or("absent", String::as_str);
            before != names.as_str()
        });
        if let Some((folder, _)) = folder {
            return Some(if folder.is_empty() { "the workspace's folder".to_owned() } else { folder.clone() });
        }
        if self.trees.is_empty() {
            return None;
        }
        let now = Scan::take(self.checkout).ok()?;
        self.trees.keys().find_map(|folder| before.differs_below(&now, folder))
    }

    fn file(&mut self, path: &str) -> String {
        if let Some(known) = self.files.get(path) {
            return known.clone();
        }
        let real = self.checkout.root.join(path);
        let fact = match fs::symlink_metadata(&real) {
            Err(_) => "absent".to_owned(),
            Ok(meta) if meta.is_dir() => "folder".to_owned(),
            Ok(meta) if meta.is_symlink() => {
                let target = fs::read_link(&real).unwrap_or_default();
                format!("-> {} {}", target.to_string_lossy(), self.content(&real))
            }
            Ok(meta) if meta.is_file() => {
                let content = self.checkout.hashes.of(&real, &meta);
                let mode = if meta.mode() & 0o100 == 0 { "" } else { " x" };
                content.map_or_else(|err| format!("unreadable: {err}"), |digest| format!("{}{mode}", digest.hex()))
            }
            Ok(_) => "special".to_owned(),
        };
        self.files.insert(path.to_owned(), fact.clone());
        fact
    }

    /// What a link leads to.
    fn content(&self, real: &Path) -> String {
        match fs::metadata(real) {
            Ok(meta) if meta.is_file() => self.checkout.hashes.of(real, &meta).map_or(String::new(), |one| one.hex()),
            Ok(_) => "folder".to_owned(),
            Err(_) => "absent".to_owned(),
        }
    }

    fn kind(&mut self, path: &str) -> &'static str {
        match self.file(path).as_str() {
            "absent" => "absent",
            "folder" => "folder",
            _ => "file",
        }
    }

    fn names(&mut self, folder: &str) -> String {
        let checkout = self.checkout;
        self.folders.entry(folder.to_owned()).or_insert_with(|| checkout.names(folder)).clone()
    }

    /// What a script asked to be rerun for: a file's content, a folder's whole, or that there is
    /// nothing.
    fn declared(&mut self, path: &str) -> String {
        match self.file(path) {
            fact if fact == "folder" => self.tree(path, Nested::Kept),
            fact => fact,
        }
    }

    fn tree(&mut self, folder: &str, nested: Nested) -> String {
        let checkout = self.checkout;
        let read = || {
            let scope = Scope { checkout: &checkout.root, target_dir: &checkout.target_dir, nested };
            let read = sources::tree(&checkout.hashes, &checkout.root.join(folder), scope);
            read.map_or_else(|err| format!("unreadable: {err}"), |tree| tree.root.hex())
        };
        self.trees.entry(folder.to_owned()).or_insert_with(read).clone()
    }

    /// The names in every folder of a package, or of the workspace; packages inside are their own.
    fn names_below(&mut self, package: &str, facts: &mut Facts) {
        let mut open = vec![package.to_owned()];
        while let Some(folder) = open.pop() {
            let names = self.names(&folder);
            for name in names.lines().filter_map(|line| line.strip_suffix('/')) {
                let below = join(&folder, name);
                let is_own = self.checkout.root.join(&below).join(crate::cargo::MANIFEST).is_file();
                if name != ASIDE && !is_own && facts.len() < limits::SEEN_PATHS {
                    open.push(below);
                }
            }
            facts.insert(format!("names {folder}"), names);
        }
    }
}

fn blake3(text: &str) -> String {
    Digest::of(shared::digest::Function::Blake3, text.as_bytes()).hex()
}

/// A name in a folder, below the root.
pub fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Counting;

    fn record(opened: &[&str], package: Option<&str>) -> Record {
        Record {
            opened: opened.iter().map(|&path| path.to_owned()).collect(),
            listed: Default::default(),
            links: Default::default(),
            counting: Counting::All,
            package: package.map(str::to_owned),
            whole: None,
            declared: Default::default(),
            git: false,
            variables: Default::default(),
            placed: Default::default(),
        }
    }

    #[test]
    fn what_a_script_may_ask_for_beside_its_package_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().to_owned();
        for (path, text) in
            [("mine/Cargo.toml", ""), ("other/Cargo.toml", ""), ("shared/a/b/held", ""), ("other/src/a", "")]
        {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let record = record(&["mine/Cargo.toml"], Some("mine"));
        let checkout = Checkout::new(root.clone(), root.join("target"), Arc::default());
        let before = Glance::new(&checkout).facts(&record);
        fs::write(root.join("other/src/b"), "").expect("a file");
        assert_eq!(Glance::new(&checkout).facts(&record), before, "another package is not asked");
        fs::write(root.join("shared/a/b/flag"), "").expect("a file");
        assert_ne!(Glance::new(&checkout).facts(&record), before);
    }

    #[test]
    fn a_second_place_of_a_module_counts_beside_the_way_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().to_owned();
        fs::create_dir_all(root.join("src/m")).expect("a folder");
        fs::write(root.join("src/m.rs"), "").expect("a file");
        let record = record(&["src/m.rs"], None);
        let checkout = Checkout::new(root.clone(), root.join("target"), Arc::default());
        let before = Glance::new(&checkout).facts(&record);
        fs::write(root.join("src/m/mod.rs"), "").expect("a file");
        assert_ne!(Glance::new(&checkout).facts(&record), before);
    }
}
