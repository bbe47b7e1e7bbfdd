//! What rustc keeps between two compilations of one unit in one checkout. A run gets a copy (links:
//! rustc never writes to a file of an earlier session) and what it leaves takes the place of the old
//! one only after it succeeded. Nobody else sees it, and it is nothing but time: a run that finds
//! none, or finds it in use, compiles all the same.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use shared::{
    digest::{Digest, Function},
    limits,
};

use crate::{action::Request, executor::Executor, folder, view::View};

/// Where a run finds it.
pub const AT: &str = "/vx/incremental";

/// Says on which boot it was last written to, or that it was closed in order: after a power cut
/// What is being made or removed.
const ASIDE: &str = "aside";

/// The state of all units.
#[derive(Debug)]
pub struct Incremental {
    dir: PathBuf,
    budget: AtomicU64,
    next: AtomicU64,
    /// Looked for at the first question.
    table: OnceLock<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<String, Entry>,
    bytes: u64,
    /// Counts uses; eviction goes by it, not by a clock that may jump.
    clock: u64,
}

#[derive(Debug, Default)]
struct Entry {
    bytes: u64,
    used: u64,
    is_there: bool,
    in_use: bool,
}

/// One unit's state in use by one run; nobody else gets it until this is dropped.
#[derive(Debug)]
struct InUse {
    all: Arc<Incremental>,
    name: String,
}

/// State that was laid before a run.
#[derive(Debug)]
pub struct Laid {
    in_use: InUse,
    at: PathBuf,
}

/// Lays an action's state where it will look for it; `None` when it asks for none or gets none.
pub async fn lay(executor: &Executor, request: &Request, view: &View) -> Option<Laid> {
    let key = request.style.incremental()?.map(str::to_owned);
    let at = view.places.iter().find(|place| place.at == Path::new(AT))?.dir.clone();
    let (all, into) = (Arc::clone(&executor.incremental), at.clone());
    let lay = move || all.lay(&key.each_ref().map(String::as_str), &into);
    let in_use = tokio::task::spawn_blocking(lay).await.ok()??;
    Some(Laid { in_use, at })
}

impl Laid {
    /// Takes over what the run, which succeeded and is over, has left there.
    pub async fn keep(self) {
        let Laid { in_use, at } = self;
        let _lost_at_worst = tokio::task::spawn_blocking(move || in_use.keep(&at)).await;
    }
}

impl Incremental {
    /// Opens the folder. After an unclean boot what is there is dropped.
    pub fn open(dir: &Path, budget: u64) -> io::Result<Arc<Incremental>> {
        if folder::is_torn(dir) {
            folder::empty(dir)?;
        }
        folder::empty(&dir.join(ASIDE))?;
        folder::opened(dir)?;
        Ok(Arc::new(Incremental {
            dir: dir.to_owned(),
            budget: AtomicU64::new(budget),
            next: AtomicU64::new(0),
            table: OnceLock::new(),
        }))
    }

    /// Says that everything is on disk as it should be, which whoever calls this has seen to.
    pub fn close(&self) -> io::Result<()> {
        folder::closed(&self.dir)
    }

    /// Another budget, as a reload may bring; 0 keeps nothing.
    pub fn set_budget(&self, bytes: u64) {
        self.budget.store(bytes, Ordering::Relaxed);
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.table().bytes
    }

    /// Lays a unit's state into the empty folder `into`; `None` when another run uses it. `key`
    /// names checkout, toolchain and unit. Blocks.
    fn lay(self: &Arc<Self>, key: &[&str], into: &Path) -> Option<InUse> {
        if self.budget.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let checkout = key.first().copied().unwrap_or_default();
        let name = format!("{}{}", mark(checkout), mark(&key.join("\0")));
        let is_there = {
            let mut table = self.table();
            table.clock += 1;
            let clock = table.clock;
            let entry = table.entries.entry(name.clone()).or_default();
            if std::mem::replace(&mut entry.in_use, true) {
                return None;
            }
            entry.used = clock;
            entry.is_there
        };
        let in_use = InUse { all: Arc::clone(self), name };
        if is_there && let Err(err) = link_tree(&self.dir.join(&in_use.name), into, limits::TREE_DEPTH) {
            tracing::warn!(%err, "incremental state cannot be used, compiling without");
            // Half of it may be there, and rustc would take that for all.
            if let Err(err) = folder::empty(into) {
                tracing::warn!(%err, "a folder cannot be emptied, ignoring");
            }
        }
        Some(in_use)
    }

    /// Drops all state of a checkout but what a run has in use. Blocks.
    pub fn forget(&self, checkout: &Path) {
        let start = mark(&checkout.to_string_lossy());
        let victims = self.table().take(|name| name.starts_with(&start));
        self.put_aside(victims).into_iter().for_each(folder::remove_later);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        let read = || Mutex::new(Table::read(&self.dir));
        self.table.get_or_init(read).lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn aside(&self) -> PathBuf {
        self.dir.join(ASIDE).join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Moves away what is over the budget.
    fn trim(&self) -> Vec<PathBuf> {
        let victims = self.table().over(self.budget.load(Ordering::Relaxed));
        self.put_aside(victims)
    }

    fn put_aside(&self, victims: Vec<String>) -> Vec<PathBuf> {
        let away = victims.into_iter().filter_map(|name| {
            let aside = self.aside();
            fs::rename(self.dir.join(name), &aside).ok().map(|()| aside)
        });
        away.collect()
    }
}

impl InUse {
    /// Takes over what a run that succeeded has left in `from`. Blocks.
    fn keep(self, from: &Path) {
        let bytes = match size(from, limits::TREE_DEPTH) {
            Ok(0) => return,
            Ok(bytes) => bytes,
            Err(err) => return tracing::warn!(%err, "incremental state cannot be kept, ignoring"),
        };
        let (kept, old) = (self.all.dir.join(&self.name), self.all.aside());
        let _none_yet = fs::rename(&kept, &old);
        let is_there = fs::rename(from, &kept).is_ok();
        self.all.table().put(&self.name, bytes, is_there);
        folder::remove_later(old);
        self.all.trim().into_iter().for_each(folder::remove_later);
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some(entry) = self.all.table().entries.get_mut(&self.name) {
            entry.in_use = false;
        }
    }
}

impl Table {
    /// What is there, the longest untouched first.
    fn read(dir: &Path) -> Table {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let meta = entry.metadata().ok().filter(|meta| meta.is_dir() && name != ASIDE);
            if let Some(changed) = meta.and_then(|meta| meta.modified().ok()) {
                found.push((changed, name, size(&path, limits::TREE_DEPTH).unwrap_or(0)));
            }
        }
        found.sort_unstable();
        let mut table = Table::default();
        for (_, name, bytes) in found {
            table.put(&name, bytes, true);
        }
        table
    }

    fn put(&mut self, name: &str, bytes: u64, is_there: bool) {
        self.clock += 1;
        let entry = self.entries.entry(name.to_owned()).or_default();
        let bytes = if is_there { bytes } else { 0 };
        self.bytes = self.bytes - entry.bytes + bytes;
        (entry.bytes, entry.used, entry.is_there) = (bytes, self.clock, is_there);
    }

    /// Takes out what nobody uses and `is_meant` means.
    fn take(&mut self, is_meant: impl Fn(&str) -> bool) -> Vec<String> {
        let idle = self.entries.iter().filter(|(name, entry)| !entry.in_use && is_meant(name));
        let names: Vec<String> = idle.map(|(name, _)| name.clone()).collect();
        for entry in names.iter().filter_map(|name| self.entries.remove(name)).collect::<Vec<_>>() {
            self.bytes -= entry.bytes;
        }
        names
    }

    /// Takes out what has to go, least recently used first.
    fn over(&mut self, budget: u64) -> Vec<String> {
        let mut idle: Vec<_> =
            self.entries.iter().filter(|(_, entry)| !entry.in_use).map(|(name, entry)| (entry.used, name)).collect();
        idle.sort_unstable();
        let names: Vec<String> = idle.into_iter().map(|(_, name)| name.clone()).collect();
        let mut victims = Vec::new();
        for name in names {
            if self.bytes <= budget && self.entries.len() <= limits::INCREMENTAL_UNITS {
                break;
            }
            if let Some(entry) = self.entries.remove(&name) {
                self.bytes -= entry.bytes;
                victims.push(name);
            }
        }
        victims
    }
}

/// Half of a name: 16 hexadecimal digits.
fn mark(text: &str) -> String {
    Digest::of(Function::Blake3, text.as_bytes()).hex()[..16].to_owned()
}

/// The same tree again, its files by another name. Locks are new files, since a lock belongs to
/// the file and not to its name; links are nothing that rustc leaves.
fn link_tree(from: &Path, to: &Path, depth: usize) -> io::Result<()> {
    let depth = depth.checked_sub(1).ok_or(io::ErrorKind::InvalidInput)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, from, to) = (entry.file_type()?, entry.path(), to.join(entry.file_name()));
        if kind.is_dir() {
            fs::create_dir(&to)?;
            link_tree(&from, &to, depth)?;
        } else if kind.is_file() && from.extension().is_some_and(|end| end == "lock") {
            fs::write(&to, [])?;
        } else if kind.is_file() {
            fs::hard_link(&from, &to)?;
        }
    }
    Ok(())
}

fn size(dir: &Path, depth: usize) -> io::Result<u64> {
    let depth = depth.checked_sub(1).ok_or(io::ErrorKind::InvalidInput)?;
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        bytes += if kind.is_dir() { size(&entry.path(), depth)? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(all: &Arc<Incremental>, unit: &str, leaves: &str) -> Option<String> {
        let scratch = tempfile::tempdir_in(all.dir.parent().expect("a folder")).expect("a temporary folder");
        let into = scratch.path().join("incremental");
        fs::create_dir(&into).expect("a new folder");
        let in_use = all.lay(&["/checkout", "toolchain", unit], &into).expect("nobody else uses it");
        let found = fs::read_to_string(into.join("s-1/dep-graph.bin")).ok();
        fs::create_dir_all(into.join("s-1")).expect("a folder");
        let file = into.join("s-1/dep-graph.bin");
        let _as_rustc_does = fs::remove_file(&file);
        fs::write(&file, leaves).expect("a file");
        if leaves != "fails" {
            in_use.keep(&into);
        }
        found
    }

    #[test]
    fn a_run_finds_what_the_last_one_that_succeeded_left() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let at = dir.path().join("state");
        let all = Incremental::open(&at, 1000).expect("a new folder");
        assert_eq!(run(&all, "a", "first"), None);
        assert_eq!(run(&all, "a", "fails").as_deref(), Some("first"));
        assert_eq!(run(&all, "a", "second").as_deref(), Some("first"));
        assert_eq!(run(&all, "b", "other"), None);
        let into = dir.path().join("into");
        let first = all.lay(&["/checkout", "toolchain", "a"], &into);
        assert!(first.is_none() || all.lay(&["/checkout", "toolchain", "a"], &into).is_none());
        drop(first);
        // Kept over a restart, but not over a power cut.
        let all = Incremental::open(&at, 1000).expect("the folder");
        assert_eq!(run(&all, "a", "third").as_deref(), Some("second"));
        fs::write(at.join(folder::STATE), "another boot").expect("a file");
        let all = Incremental::open(&at, 1000).expect("the folder");
        assert_eq!(run(&all, "a", "fourth"), None);
        all.close().expect("a file");
        let all = Incremental::open(&at, 1000).expect("the folder");
        assert_eq!(run(&all, "a", "fifth").as_deref(), Some("fourth"));
    }

    #[test]
    fn the_least_recently_used_goes() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let all = Incremental::open(&dir.path().join("state"), 20).expect("a new folder");
        run(&all, "a", "0123456789");
        run(&all, "b", "0123456789");
        run(&all, "a", "0123456789");
        run(&all, "c", "0123456789");
        assert_eq!(all.bytes(), 20);
        assert_eq!(run(&all, "b", "fails"), None);
        assert_eq!(run(&all, "a", "fails").as_deref(), Some("0123456789"));
        all.forget(Path::new("/another"));
        assert_eq!(run(&all, "a", "fails").as_deref(), Some("0123456789"));
        all.forget(Path::new("/checkout"));
        assert_eq!((run(&all, "a", "fails"), all.bytes()), (None, 0));
        all.set_budget(0);
        assert!(all.lay(&["x"], dir.path()).is_none());
    }
}
