//! The state folder: made, locked against a second casd, and of a format this program knows.
//! What lies in it is the others' business; the paths are named here.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use shared::digest::{Digest, Function};

use super::{api::StoreError, sync::sync_folder};

/// The format that this program reads and writes.
const FORMAT: u64 = 2;
/// The format that is converted: only its checkpoint differs.
const CONVERTED: u64 = 1;

/// The folder; the lock is held for as long as this lives.
pub struct Folder {
    path: PathBuf,
    _lock: File,
    temp: AtomicU64,
    /// The folder an older store was set aside in, for status.
    pub set_aside: Option<PathBuf>,
    /// How the last process left it.
    pub ending: Ending,
}

/// How a store was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a checkpoint of everything.
    Clean,
    /// In the middle, but the system went on: all that was written is there.
    Killed,
    /// The system was started anew since, or that cannot be told.
    PowerCut,
}

impl Folder {
    /// Opens or makes the folder, alone.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        make(path)?;
        refuse_foreign(path)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("LOCK"))
            .map_err(StoreError::io("open the store's lock"))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            StoreError::Folder(format!("{} is in use by another vx-casd; end that one first", path.display()))
        })?;
        let set_aside = check_format(path)?;
        let ending = was_left(path);
        let folder = Folder { path: path.to_owned(), _lock: lock, temp: AtomicU64::new(0), set_aside, ending };
        for sub in [folder.segments(), folder.temps(), folder.blobs(Function::Sha256), folder.blobs(Function::Blake3)] {
            make(&sub)?;
        }
        folder.empty_temps()?;
        // On a full disk the store is opened all the same: what is there is served, and room is made.
        if let Err(error) = fs::write(path.join("RUNNING"), boot()) {
            tracing::warn!(%error, "the store cannot be marked as in use; ignoring");
        }
        for sub in [folder.path.join("blobs"), folder.path.clone()] {
            sync_folder(&sub).map_err(StoreError::io("sync the store's folder"))?;
        }
        Ok(folder)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn segments(&self) -> PathBuf {
        self.path.join("segments")
    }

    pub fn segment(&self, number: u64) -> PathBuf {
        self.segments().join(format!("{number:08}.seg"))
    }

    pub fn temps(&self) -> PathBuf {
        self.path.join("tmp")
    }

    pub fn checkpoint(&self) -> PathBuf {
        self.path.join("checkpoint")
    }

    pub fn actions(&self) -> PathBuf {
        self.path.join("actions.log")
    }

    pub fn blobs(&self, function: Function) -> PathBuf {
        self.path.join("blobs").join(function.name())
    }

    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs(digest.function()).join(format!("{}-{}", digest.hex(), digest.size()))
    }

    /// A fresh name for an unfinished file.
    pub fn temp(&self) -> PathBuf {
        self.temps().join(self.temp.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Replaces `target` by `content`, durably and at one instant.
    pub fn replace(&self, target: &Path, content: &[u8]) -> io::Result<()> {
        let temp = self.temp();
        let replace = || {
            fs::write(&temp, content)?;
            File::open(&temp)?.sync_all()?;
            fs::rename(&temp, target)
        };
        if let Err(error) = replace() {
            // Where the disk is full, the half of it must not stay.
            let _ = fs::remove_file(&temp);
            return Err(error);
        }
        sync_folder(&self.path)
    }

    /// Says that nothing was left undone.
    pub fn leave(&self) -> Result<(), StoreError> {
        remove(&self.path.join("RUNNING"))?;
        sync_folder(&self.path).map_err(StoreError::io("sync the store's folder"))
    }

    fn empty_temps(&self) -> Result<(), StoreError> {
        let entries = fs::read_dir(self.temps()).map_err(StoreError::io("list unfinished uploads"))?;
        for entry in entries.flatten() {
            if let Err(error) = fs::remove_file(entry.path()) {
                tracing::warn!(path = %entry.path().display(), %error, "an unfinished upload cannot be removed; ignoring");
            }
        }
        Ok(())
    }
}

fn make(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(StoreError::io("make the store's folder"))
}

/// Refuses a newer format, sets an older one aside, writes ours into an empty folder.
fn check_format(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    let file = path.join("FORMAT");
    let found = match fs::read_to_string(&file) {
        Ok(text) => text.trim().parse::<u64>().unwrap_or(0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(StoreError::io("read the store's format number")(error)),
    };
    if found == FORMAT {
        return Ok(None);
    }
    if found > FORMAT {
        return Err(StoreError::Folder(format!(
            "{} has format {found}, this vx-casd knows {FORMAT}: run the newer vx that wrote it, or move the folder away",
            path.display()
        )));
    }
    let aside = if found == CONVERTED {
        remove(&path.join("checkpoint"))?;
        None
    } else {
        set_aside(path, found)?
    };
    let temp = path.join("FORMAT.new");
    let write = || {
        fs::write(&temp, format!("{FORMAT}\n"))?;
        File::open(&temp)?.sync_all()?;
        fs::rename(&temp, &file)?;
        sync_folder(path)
    };
    write().map_err(StoreError::io("write the store's format number"))?;
    Ok(aside)
}

/// Removes a file that need not be there.
fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("remove a file of the store")(error))
        }
        _ => Ok(()),
    }
}

/// The boot that this process runs under; where it cannot be told, each start counts as another.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// How the last process left the store.
fn was_left(path: &Path) -> Ending {
    match fs::read_to_string(path.join("RUNNING")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ending::Clean,
        Ok(then) if !then.is_empty() && then == boot() => Ending::Killed,
        _ => Ending::PowerCut,
    }
}

/// What a store of any format is made of.
fn is_ours(name: &std::ffi::OsStr) -> bool {
    ["FORMAT", "RUNNING", "segments", "blobs", "checkpoint", "actions.log", "tmp"].iter().any(|ours| name == *ours)
}

/// A folder with other things in it and no format number is the person's, not ours.
fn refuse_foreign(path: &Path) -> Result<(), StoreError> {
    if path.join("FORMAT").exists() {
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(StoreError::io("list the store's folder"))? {
        let name = entry.map_err(StoreError::io("list the store's folder"))?.file_name();
        let left = name == "LOCK" || name == "FORMAT.new" || name.to_string_lossy().starts_with("set-aside-");
        if !left && !is_ours(&name) {
            return Err(StoreError::Folder(format!(
                "{} holds {} and is no store: name an empty folder for it, or one that is not there yet",
                path.display(),
                name.to_string_lossy()
            )));
        }
    }
    Ok(())
}

fn set_aside(path: &Path, format: u64) -> Result<Option<PathBuf>, StoreError> {
    let io = StoreError::io;
    let mut old = Vec::new();
    for entry in fs::read_dir(path).map_err(io("list the store's folder"))? {
        let entry = entry.map_err(io("list the store's folder"))?;
        if is_ours(&entry.file_name()) {
            old.push(entry.path());
        }
    }
    if old.is_empty() {
        return Ok(None);
    }
    let base = path.join(format!("set-aside-{format}"));
    let target = (1..).map(|n| base.with_extension(n.to_string())).find(|p| !p.exists());
    let aside = if base.exists() { target.unwrap_or(base) } else { base };
    make(&aside)?;
    for entry in old {
        if let Some(name) = entry.file_name() {
            fs::rename(&entry, aside.join(name)).map_err(io("set an older store aside"))?;
        }
    }
    tracing::warn!(path = %aside.display(), format, "a store of an older format was set aside");
    Ok(Some(aside))
}
