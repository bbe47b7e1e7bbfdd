//! Inputs as real directories. A directory is made once from the store and kept under its digest,
//! to be shown read-only to any number of actions; large files are kept once under theirs and are
//! links there. An action that writes into its inputs gets a copy of its own. Least recently used
//! first, what nobody uses goes when the budget is full. Which directory is shown where is
//! `view`'s business.

mod cache;
mod fill;
mod tree;

use std::{
    collections::HashMap,
    fs, io,
    os::{
        fd::BorrowedFd,
        unix::fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use cache::{Key, Table};
use shared::{
    client::cas::{Cas, CasError},
    digest::Digest,
    reapi::{Properties, tree::Mode},
};
pub use tree::Directories;

use crate::folder;

/// Files from this size on are kept once and linked; below, a copy costs less than a link.
const LINK_BYTES: u64 = 16 << 10;

/// Why inputs cannot be staged.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// Blobs that the store does not have; all of those that were looked for.
    #[error("{} input blobs are not in the store", .0.len())]
    Missing(Vec<Digest>),
    /// An input tree that nobody may make.
    #[error("input tree: {0}")]
    Hostile(String),
    /// The store did not answer as it should.
    #[error(transparent)]
    Cas(#[from] CasError),
    /// A file of the stage.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl StageError {
    /// Around an error of the file system.
    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> StageError {
        let path = path.to_owned();
        move |source| StageError::Io { path, source }
    }
}

/// The stage cache.
#[derive(Debug)]
pub struct Stage {
    dir: PathBuf,
    cas: Cas,
    table: Mutex<Table>,
    /// One lock for each thing that is being made, so that it is made once.
    making: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>,
    budget: AtomicU64,
    next: AtomicU64,
}

/// Keeps one staged directory from being evicted.
#[derive(Debug)]
pub struct Lease {
    stage: Arc<Stage>,
    key: Key,
    path: PathBuf,
}

impl Lease {
    /// Where the directory is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.stage.table().release(&self.key);
    }
}

impl Stage {
    /// Opens the cache in `dir`. After an unclean boot what is there may be torn, and is dropped.
    pub fn open(dir: &Path, cas: Cas, budget: u64) -> io::Result<Arc<Stage>> {
        let table = cache::open(dir)?;
        Ok(Arc::new(Stage {
            dir: dir.to_owned(),
            cas,
            table: Mutex::new(table),
            making: Mutex::default(),
            budget: AtomicU64::new(budget),
            next: AtomicU64::new(0),
        }))
    }

    /// Says that everything in the cache is on disk as it should be: at an orderly end.
    pub fn close(&self) -> io::Result<()> {
        cache::close(&self.dir)
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.table().bytes()
    }

    /// Another budget, as a reload may bring.
    pub fn set_budget(&self, bytes: u64) {
        self.budget.store(bytes, Ordering::Relaxed);
    }

    /// The directory with this digest, made if it is not there yet.
    pub async fn directory(self: &Arc<Self>, digest: Digest, seen: &Directories) -> Result<Lease, StageError> {
        let key = Key::Directory(digest);
        if let Some(lease) = self.lease(key) {
            return Ok(lease);
        }
        let making = self.making(key);
        let _one_at_a_time = making.lock().await;
        if let Some(lease) = self.lease(key) {
            return Ok(lease);
        }
        let layout = tree::layout(&self.cas, digest, seen).await?;
        let temporary = self.temporary();
        fs::create_dir(&temporary).map_err(StageError::io(&temporary))?;
        let made = match self.fill(&layout, &temporary).await {
            Ok(own_bytes) => self.keep(key, own_bytes, &temporary),
            Err(err) => Err(err),
        };
        self.made(&key);
        if made.is_err() {
            folder::remove_later(temporary);
        }
        made
    }

    /// The tree with this digest as a writable copy in the empty directory `into`.
    pub async fn copy(self: &Arc<Self>, digest: Digest, seen: &Directories, into: &Path) -> Result<(), StageError> {
        let layout = tree::layout(&self.cas, digest, seen).await?;
        fill::private(&self.cas, &layout, into).await
    }

    /// Directory messages from `root` down to where files begin, at most `depth` below it.
    pub async fn top(&self, root: Digest, depth: usize) -> Result<Directories, StageError> {
        tree::top(&self.cas, root, depth).await
    }

    /// Takes over a captured output, so that staging it for a dependent costs a link. The caller
    /// knows that nothing can write to it any more.
    pub fn adopt(&self, digest: Digest, mode: Mode, file: &Path) {
        let executable = mode == Mode::Executable;
        let key = Key::File(digest, executable);
        if digest.size() < LINK_BYTES || self.table().contains(&key) {
            return;
        }
        let bits = if executable { 0o555 } else { 0o444 };
        let moved = fs::symlink_metadata(file).and_then(|meta| {
            // Another name of it would be another way to write to it.
            let alone = meta.is_file() && meta.nlink() == 1;
            alone.then_some(()).ok_or(io::ErrorKind::Unsupported)?;
            fs::set_permissions(file, fs::Permissions::from_mode(bits))?;
            self.keep_file(key, file)
        });
        match moved {
            Ok(()) => {}
            Err(err) => tracing::debug!(%err, "an output is not kept in the stage, ignoring"),
        }
    }

    /// Moves a file that the stage alone has into a folder on the same file system; whether it did.
    /// The mode is what new files of the person have.
    pub fn hand_over(&self, digest: Digest, mode: Mode, folder: BorrowedFd<'_>, name: &str) -> bool {
        let (executable, bits) = (mode == Mode::Executable, if mode == Mode::Executable { 0o755 } else { 0o644 });
        let key = Key::File(digest, executable);
        let mut table = self.table();
        if !table.is_idle(&key) {
            return false;
        }
        let kept = self.path(&key);
        let moved = fs::symlink_metadata(&kept).and_then(|meta| {
            // Shown to another action under another name, or with more to it than bytes.
            let plain = meta.is_file() && meta.nlink() == 1 && meta.len() == digest.size();
            let bare = plain && rustix::fs::llistxattr(&kept, &mut [0_u8; 0][..])? == 0;
            let near = bare && rustix::fs::fstat(folder)?.st_dev == rustix::fs::lstat(&kept)?.st_dev;
            near.then_some(()).ok_or(io::ErrorKind::Unsupported)?;
            fs::set_permissions(&kept, fs::Permissions::from_mode(bits))?;
            rustix::fs::renameat(rustix::fs::CWD, &kept, folder, name).map_err(|err| {
                // As it was: it is shown to others again.
                let _ = fs::set_permissions(&kept, meta.permissions());
                io::Error::from(err)
            })
        });
        if let Err(err) = &moved {
            tracing::debug!(%err, "an output is copied and not moved");
            return false;
        }
        table.remove(&key);
        true
    }

    /// Fills `into` for keeping: large files as links to the blob cache.
    async fn fill(self: &Arc<Self>, layout: &tree::Layout, into: &Path) -> Result<u64, StageError> {
        let (large, small): (Vec<_>, Vec<_>) = layout.files.iter().partition(|file| file.digest.size() >= LINK_BYTES);
        let mut held = Vec::with_capacity(large.len());
        let mut absent: Vec<(Digest, bool)> = Vec::new();
        for file in &large {
            match self.lease(Key::File(file.digest, file.executable)) {
                Some(lease) => held.push((lease, into.join(&file.path))),
                None => absent.push((file.digest, file.executable)),
            }
        }
        absent.sort_unstable();
        absent.dedup();
        fill::skeleton(layout, into)?;
        let mut wanted: Vec<_> = small.iter().map(|file| fill::Wanted::inside(file, into)).collect();
        let mut fetched = Vec::with_capacity(absent.len());
        for (digest, executable) in absent {
            let temporary = self.temporary();
            wanted.push(fill::Wanted {
                digest,
                executable,
                mode: fill::Mode::Kept,
                properties: Properties::default(),
                to: temporary.clone(),
            });
            fetched.push((Key::File(digest, executable), temporary));
        }
        fill::fetch(&self.cas, &wanted).await?;
        for (key, temporary) in fetched {
            self.keep_file(key, &temporary).map_err(StageError::io(&temporary))?;
        }
        for file in &large {
            let key = Key::File(file.digest, file.executable);
            if let Some(lease) = self.lease(key) {
                held.push((lease, into.join(&file.path)));
            }
        }
        held.sort_by(|(_, a), (_, b)| a.cmp(b));
        held.dedup_by(|(_, a), (_, b)| a == b);
        if held.len() != large.len() {
            // Evicted between fetch and lease: the budget is smaller than this one directory.
            return Err(StageError::io(into)(io::ErrorKind::StorageFull.into()));
        }
        for (lease, to) in &held {
            fill::link_or_copy(lease.path(), to)?;
        }
        fill::links(layout, into)?;
        Ok(small.iter().map(|file| file.digest.size() + 512).sum::<u64>() + 4096 * layout.directories.len() as u64)
    }

    /// A file that is there already stays: two directories may have fetched it at once, and a link to
    /// a file that is being replaced fails as if it were not there.
    fn keep_file(&self, key: Key, temporary: &Path) -> io::Result<()> {
        let mut table = self.table();
        if table.contains(&key) {
            return fs::remove_file(temporary);
        }
        fs::rename(temporary, self.path(&key))?;
        table.insert(key, key.size());
        Ok(())
    }

    /// Names on disk and in the table change together, under its lock: nobody meets one without
    /// the other.
    fn keep(self: &Arc<Self>, key: Key, own_bytes: u64, temporary: &Path) -> Result<Lease, StageError> {
        let path = self.path(&key);
        let lease = {
            let mut table = self.table();
            fs::rename(temporary, &path).map_err(StageError::io(&path))?;
            table.insert(key, own_bytes);
            table.hold(&key);
            Lease { stage: Arc::clone(self), key, path }
        };
        self.evict();
        Ok(lease)
    }

    fn evict(&self) {
        let mut table = self.table();
        for key in table.over(self.budget.load(Ordering::Relaxed)) {
            let (from, to) = (self.path(&key), self.temporary());
            if fs::rename(&from, &to).is_ok() {
                folder::remove_later(to);
            }
        }
    }

    fn lease(self: &Arc<Self>, key: Key) -> Option<Lease> {
        let mut table = self.table();
        table.hold(&key).then(|| Lease { stage: Arc::clone(self), key, path: self.path(&key) })
    }

    fn making(&self, key: Key) -> Arc<tokio::sync::Mutex<()>> {
        let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(making.entry(key).or_default())
    }

    /// Whoever still waits has the lock by itself and finds the thing made.
    fn made(&self, key: &Key) {
        self.making.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.dir.join(key.place())
    }

    fn temporary(&self) -> PathBuf {
        self.dir.join("tmp").join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use shared::{client::Link, digest::Function};

    use super::*;

    #[tokio::test]
    async fn a_file_that_two_fetched_is_never_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let cas = Cas::new(Link::new(folder.path().join("nobody.sock")));
        let stage = Stage::open(&folder.path().join("stage"), cas, 1 << 20).expect("a stage");
        let key = Key::File(Digest::of(Function::Blake3, b"x"), false);
        let inodes = [0, 1].map(|_| {
            let temporary = stage.temporary();
            fs::write(&temporary, "x").expect("written");
            stage.keep_file(key, &temporary).expect("kept");
            assert!(!temporary.exists());
            fs::metadata(stage.path(&key)).expect("it is there").ino()
        });
        assert_eq!(inodes[0], inodes[1]);
        assert_eq!(stage.bytes(), key.size());
    }
}
