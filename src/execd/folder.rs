//! Folders that come and go: scratch of actions, what was evicted. Removal copes with whatever
//! modes an action left behind, and never follows a link.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::kernel;

/// Removes a folder or file with everything below.
pub fn remove(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.is_dir() {
        return fs::remove_file(path);
    }
    match fs::remove_dir_all(path) {
        // An ordinary user cannot empty a folder that says 0555 or 0000.
        Err(err) if err.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            fs::remove_dir_all(path)
        }
        other => other,
    }
}

fn open_up(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes without making anybody wait.
pub fn remove_later(path: PathBuf) {
    let work = move || {
        if let Err(err) = remove(&path)
            && err.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %err, "a folder cannot be removed, ignoring");
        }
    };
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}

/// Says on which boot a cache was last written to, or that it was closed in order.
pub const STATE: &str = "state";
const CLEAN: &str = "clean";

/// Whether what a cache holds may be torn: the machine went down while it was open.
pub fn is_torn(cache: &Path) -> bool {
    let (boot, state) = (kernel::boot_id(), fs::read_to_string(cache.join(STATE)).unwrap_or_default());
    cache.exists() && state != CLEAN && (state != boot || boot.is_empty())
}

/// Marks a cache as open on this boot.
pub fn opened(cache: &Path) -> io::Result<()> {
    fs::write(cache.join(STATE), kernel::boot_id())
}

/// Marks a cache as whole on disk, which whoever calls this has seen to.
pub fn closed(cache: &Path) -> io::Result<()> {
    let state = fs::File::create(cache.join(STATE))?;
    io::Write::write_all(&mut &state, CLEAN.as_bytes())?;
    state.sync_all()
}

/// Makes sure the folder is there and empty.
pub fn empty(path: &Path) -> io::Result<()> {
    if path.exists() {
        remove(path)?;
    }
    fs::create_dir_all(path)
}

/// Where actions get their scratch folders.
#[derive(Debug)]
pub struct Scratch {
    dir: PathBuf,
    next: AtomicU64,
}

/// One action's scratch folder; removed with this value.
#[derive(Debug)]
pub struct Own {
    dir: PathBuf,
}

impl Scratch {
    /// Takes over `dir`, emptied: what is there was left by an earlier execd.
    pub fn open(dir: &Path) -> io::Result<Scratch> {
        empty(dir)?;
        Ok(Scratch { dir: dir.to_owned(), next: AtomicU64::new(0) })
    }

    /// A new folder.
    pub fn own(&self) -> io::Result<Own> {
        let dir = self.dir.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&dir)?;
        Ok(Own { dir })
    }
}

impl Own {
    /// A new folder inside.
    pub fn make(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.dir.join(name);
        fs::create_dir(&path)?;
        Ok(path)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        remove_later(std::mem::take(&mut self.dir));
    }
}
