//! Files from the store's own descriptors into directories: what is small is written, what is
//! large is copied inside the kernel. Directories come first and symbolic links last, so that no
//! write ever goes through a link of the tree itself.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{OpenOptionsExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{Timespec, Timestamps, futimens};
use shared::{
    client::{
        cas::{Cas, Opened},
        copy::copy_range,
    },
    digest::Digest,
    reapi::Properties,
};

use super::{
    StageError,
    tree::{self, Layout},
};

/// Blobs asked for at once: what one call of the store answers.
const BATCH: usize = 200;

/// Whether a file is ever written to again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Never: 0444 or 0555.
    Kept,
    /// By its action: 0644 or 0755.
    Private,
}

/// A file to be made.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub digest: Digest,
    pub executable: bool,
    pub mode: Mode,
    pub properties: Properties,
    pub to: PathBuf,
}

impl Wanted {
    /// A kept file at its place in a tree.
    pub fn inside(file: &tree::File, into: &Path) -> Wanted {
        // Kept files are shared by their content alone; only a private copy can be more.
        let (mode, properties) = (Mode::Kept, Properties::default());
        Wanted { digest: file.digest, executable: file.executable, mode, properties, to: into.join(&file.path) }
    }
}

/// A whole tree as a private copy.
pub async fn private(cas: &Cas, layout: &Layout, into: &Path) -> Result<(), StageError> {
    skeleton(layout, into)?;
    let wanted =
        |file: &tree::File| Wanted { mode: Mode::Private, properties: file.properties, ..Wanted::inside(file, into) };
    fetch(cas, &layout.files.iter().map(wanted).collect::<Vec<_>>()).await?;
    links(layout, into)
}

/// The tree's directories.
pub fn skeleton(layout: &Layout, into: &Path) -> Result<(), StageError> {
    for directory in &layout.directories {
        let path = into.join(directory);
        fs::create_dir(&path).map_err(StageError::io(&path))?;
    }
    Ok(())
}

/// The tree's symbolic links; only after its files.
pub fn links(layout: &Layout, into: &Path) -> Result<(), StageError> {
    for (path, target) in &layout.links {
        let path = into.join(path);
        symlink(target, &path).map_err(StageError::io(&path))?;
    }
    Ok(())
}

/// Makes all files, or names every blob that is missing.
pub async fn fetch(cas: &Cas, wanted: &[Wanted]) -> Result<(), StageError> {
    let mut missing = Vec::new();
    for part in wanted.chunks(BATCH) {
        let digests: Vec<_> = part.iter().map(|file| file.digest).collect();
        let (opened, fds) = cas.open(&digests).await?;
        let absent = part.iter().zip(&opened).filter(|(file, opened)| opened.is_none() && !file.digest.is_empty());
        missing.extend(absent.map(|(file, _)| file.digest));
        if missing.is_empty() {
            let part = part.to_vec();
            let written = tokio::task::spawn_blocking(move || write(&part, &opened, &fds)).await;
            written.map_err(|err| StageError::io(Path::new("stage"))(io::Error::other(err)))??;
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(StageError::Missing(missing)) }
}

fn write(part: &[Wanted], opened: &[Option<Opened>], fds: &[OwnedFd]) -> Result<(), StageError> {
    for (wanted, opened) in part.iter().zip(opened) {
        write_one(wanted, opened.as_ref(), fds).map_err(StageError::io(&wanted.to))?;
    }
    Ok(())
}

fn write_one(wanted: &Wanted, opened: Option<&Opened>, fds: &[OwnedFd]) -> io::Result<()> {
    let mode = match (wanted.mode, wanted.executable) {
        (Mode::Kept, false) => 0o444,
        (Mode::Kept, true) => 0o555,
        (Mode::Private, false) => 0o644,
        (Mode::Private, true) => 0o755,
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&wanted.to)?;
    match opened {
        None => {}
        Some(Opened::Inline(bytes)) => file.write_all(bytes)?,
        Some(Opened::File { fd, offset, size }) => copy_range(fds[*fd].as_fd(), *offset, *size, &file)?,
    }
    if let Some(mode) = wanted.properties.unix_mode {
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    if let Some((seconds, nanos)) = wanted.properties.mtime {
        let mtime = Timespec { tv_sec: seconds, tv_nsec: nanos.into() };
        futimens(&file, &Timestamps { last_access: mtime, last_modification: mtime })?;
    }
    Ok(())
}

/// A kept file in a kept tree. A copy where the file system has no more links to give.
pub fn link_or_copy(from: &Path, to: &Path) -> Result<(), StageError> {
    match fs::hard_link(from, to) {
        Err(err) if err.kind() == io::ErrorKind::TooManyLinks => fs::copy(from, to).map(drop),
        other => other,
    }
    .map_err(StageError::io(to))
}
