//! Large blobs: written to unnamed files, hashed, made durable in groups and only then linked to
//! their names (FORMAT.md, "Order of writes").

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

use shared::digest::{Digest, Function, Hasher};

use super::{
    api::StoreError,
    commit::{Committer, Job, Ticket},
    folder::Folder,
    format::Stamp,
    index::Place,
    segments::{Append, Body, Common},
    sync::{begin_writing, sync_folder},
};

/// Read, hashed and written at one go.
pub const CHUNK: usize = 256 << 10;
/// Files from this size on are hashed beside the copying.
const BESIDE_BYTES: u64 = 4 << 20;
/// Chunks that may wait to be hashed.
const CHUNKS_BESIDE: usize = 8;
/// After each of this many bytes the disk is asked to begin.
const WRITTEN_BYTES: u64 = 8 << 20;

/// A file without its final name. Dropped, it is gone.
pub struct Temp {
    pub file: File,
    /// Where it lies, unless it is unnamed.
    path: Option<PathBuf>,
}

impl Temp {
    /// An empty one.
    pub fn new(folder: &Folder) -> io::Result<Self> {
        if let Some(file) = unnamed(&folder.temps())? {
            return Ok(Temp { file, path: None });
        }
        let path = folder.temp();
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o400).open(&path)?;
        Ok(Temp { file, path: Some(path) })
    }

    /// Gives it its name. A file that is there already under that name is no blob of ours: replaced.
    fn name(&mut self, target: &Path, folder: &Folder) -> io::Result<()> {
        if let Some(path) = &self.path {
            fs::rename(path, target)?;
            self.path = None;
            return Ok(());
        }
        match link_unnamed(&self.file, target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let temp = folder.temp();
                link_unnamed(&self.file, &temp)?;
                fs::rename(&temp, target)
            }
            done => done,
        }
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // What stays behind is removed at the next start.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(target_os = "linux")]
fn unnamed(folder: &Path) -> io::Result<Option<File>> {
    use rustix::fs::{Mode, OFlags};
    match rustix::fs::open(folder, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR) {
        Ok(file) => Ok(Some(file.into())),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::INVAL) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn unnamed(_: &Path) -> io::Result<Option<File>> {
    Ok(None)
}

fn link_unnamed(file: &File, target: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    let source = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(linkat(CWD, source, CWD, target, AtFlags::SYMLINK_FOLLOW)?)
}

/// A file that is whole and hashed, to be made durable and named.
pub struct Large {
    pub digest: Digest,
    pub temp: Temp,
}

/// Makes a group of files durable, enters them into the index and acknowledges them.
pub fn commit(common: &Common, segments: &Committer<Vec<Append>>, group: Vec<Job<Large>>) {
    if group.len() > 1 {
        for job in &group {
            begin_writing(&job.work.temp.file);
        }
    }
    let mut named = Vec::new();
    let mut functions = BTreeSet::new();
    for mut job in group {
        match name(common, &mut job.work) {
            Ok(()) => {
                functions.insert(job.work.digest.function());
                named.push(job);
            }
            Err(error) => finish(common, job, Err(StoreError::io("write a blob")(error))),
        }
    }
    for function in functions {
        let synced = sync_folder(&common.folder.blobs(function)).map_err(StoreError::io("sync the folder of blobs"));
        for job in named.extract_if(.., |job| job.work.digest.function() == function) {
            let digest = job.work.digest;
            let stamp = synced.clone().and_then(|()| {
                job.work.temp.file.metadata().map(|meta| Stamp::of(&meta)).map_err(StoreError::io("stat a blob"))
            });
            match stamp {
                Ok(stamp) => {
                    common.index.insert(digest, Place::File(stamp), common.uses.tick());
                    finish(common, job, Ok(()));
                    // Not waited for: without the record the file is hashed again at the next start.
                    segments.submit(vec![Append { digest, body: Body::File(stamp) }], Ticket::default());
                }
                Err(error) => {
                    let _ = fs::remove_file(common.folder.blob(&digest));
                    finish(common, job, Err(error));
                }
            }
        }
    }
    common.growth.grew();
}

fn name(common: &Common, large: &mut Large) -> io::Result<()> {
    large.temp.file.sync_data()?;
    large.temp.name(&common.folder.blob(&large.digest), &common.folder)
}

fn finish(common: &Common, job: Job<Large>, result: Result<(), StoreError>) {
    common.pending.lock().remove(&job.work.digest);
    job.ticket.complete(result);
}

/// Copies `size` bytes of `source` into a fresh file and says the digest of what was stored:
/// a source that changes meanwhile gives another digest, never a wrong one.
pub fn copy(folder: &Folder, source: &File, size: u64, function: Function) -> Result<Large, StoreError> {
    let temp = Temp::new(folder).map_err(StoreError::io("make a file"))?;
    let digest = if reflink(source, &temp.file, size) {
        hash(&temp.file, function).map_err(StoreError::io("read a blob back"))?
    } else {
        copy_bytes(source, &temp.file, size, function).map_err(StoreError::io("copy a file"))?
    };
    if digest.size() != size {
        return Err(StoreError::Size { expected: size, actual: digest.size() });
    }
    Ok(Large { digest, temp })
}

/// Shares the extents where the file system can; then copying is free.
#[cfg(target_os = "linux")]
fn reflink(source: &File, target: &File, size: u64) -> bool {
    rustix::fs::ioctl_ficlone(target, source).is_ok()
        && target.metadata().is_ok_and(|meta| meta.len() <= size || target.set_len(size).is_ok())
}

#[cfg(not(target_os = "linux"))]
fn reflink(_: &File, _: &File, _: u64) -> bool {
    false
}

/// Copies and hashes. A large file is hashed beside the copying, and the disk begins with what is
/// there already: whoever waits for it to be durable has the last part of it to wait for.
fn copy_bytes(source: &File, target: &File, size: u64, function: Function) -> io::Result<Digest> {
    let mut hasher = Hasher::new(function);
    if size < BESIDE_BYTES {
        let (mut buffer, mut offset) = (vec![0; CHUNK], 0);
        while offset < size {
            let got = copy_chunk(source, target, offset, size, &mut buffer)?;
            if got == 0 {
                break;
            }
            hasher.update(&buffer[..got]);
            offset += got as u64;
        }
        return Ok(hasher.finish());
    }
    std::thread::scope(|scope| {
        let (full, to_hash) = mpsc::sync_channel::<(Vec<u8>, usize)>(CHUNKS_BESIDE);
        let (back, free) = mpsc::channel();
        let hashing = scope.spawn(move || {
            for (buffer, length) in to_hash {
                hasher.update(&buffer[..length]);
                // Nobody takes it back once the copying is over.
                let _ = back.send(buffer);
            }
            hasher.finish()
        });
        let mut offset = 0;
        while offset < size {
            let mut buffer = free.try_recv().unwrap_or_else(|_| vec![0; CHUNK]);
            let got = copy_chunk(source, target, offset, size, &mut buffer)?;
            if got == 0 || full.send((buffer, got)).is_err() {
                break;
            }
            offset += got as u64;
            if offset % WRITTEN_BYTES < got as u64 {
                begin_writing(target);
            }
        }
        drop(full);
        hashing.join().map_err(|_| io::Error::other("hashing a file failed"))
    })
}

/// Copies what fits into the buffer; 0 where the source has ended early.
fn copy_chunk(source: &File, target: &File, offset: u64, size: u64, buffer: &mut [u8]) -> io::Result<usize> {
    use std::os::unix::fs::FileExt;
    let wanted = buffer.len().min(usize::try_from(size - offset).unwrap_or(usize::MAX));
    let got = source.read_at(&mut buffer[..wanted], offset)?;
    target.write_all_at(&buffer[..got], offset)?;
    Ok(got)
}

/// Hashes a whole file.
pub fn hash(file: &File, function: Function) -> io::Result<Digest> {
    use std::os::unix::fs::FileExt;
    let mut hasher = Hasher::new(function);
    let mut buffer = vec![0; CHUNK];
    let mut offset = 0;
    loop {
        let got = file.read_at(&mut buffer, offset)?;
        if got == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(&buffer[..got]);
        offset += got as u64;
    }
}

/// Lists the large blobs and brings the index in line: no file, no entry; a file without an
/// entry is hashed, and entered or removed, and so is one of those in doubt.
pub fn reconcile(common: &Arc<Common>, doubtful: &[Digest]) -> Result<Vec<Append>, StoreError> {
    let io = StoreError::io;
    let mut found = super::index::DigestMap::default();
    for function in [Function::Sha256, Function::Blake3] {
        for entry in fs::read_dir(common.folder.blobs(function)).map_err(io("list the blobs"))? {
            let entry = entry.map_err(io("list the blobs"))?;
            if let Some(digest) = parse_name(function, &entry.file_name()) {
                found.insert(digest, ());
            }
        }
    }
    for entry in common.index.entries() {
        if matches!(entry.place, Place::File(_)) && !found.contains_key(&entry.digest) {
            common.index.remove(&entry.digest);
        }
    }
    for digest in doubtful {
        common.index.remove(digest);
    }
    let mut appends = Vec::new();
    for digest in found.into_keys().filter(|digest| common.index.peek(digest).is_none()) {
        if let Some(stamp) = verify(&common.folder, &digest) {
            common.index.insert(digest, Place::File(stamp), common.uses.tick());
            appends.push(Append { digest, body: Body::File(stamp) });
        } else {
            tracing::warn!(%digest, "a file of the store holds other bytes than its name says; removing it");
            let _ = fs::remove_file(common.folder.blob(&digest));
        }
    }
    Ok(appends)
}

/// Hashes a blob's file; its stamp when it is what its name says.
fn verify(folder: &Folder, digest: &Digest) -> Option<Stamp> {
    let file = File::open(folder.blob(digest)).ok()?;
    let stamp = Stamp::of(&file.metadata().ok()?);
    (hash(&file, digest.function()).ok()? == *digest).then_some(stamp)
}

fn parse_name(function: Function, name: &std::ffi::OsStr) -> Option<Digest> {
    let (hex, size) = name.to_str()?.split_once('-')?;
    Digest::parse(function, hex, size.parse().ok()?).ok()
}
