//! The checkout of one build as it is on disk: every file and folder of it at one time. What is asked
//! of it for one action is `glance`'s.

mod glance;

pub use glance::{Glance, Settled, blocking, settle};

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use shared::{
    checkout,
    digest::{Digest, Function},
    fault::{Failure, Fault},
    limits,
};

use crate::sources::{Hashes, Stamp};

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

/// A name in a folder, below the root.
pub fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
