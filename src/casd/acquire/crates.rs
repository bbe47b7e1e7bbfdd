//! Crate archives: each entry is streamed into the store and the Directory tree built in memory.
//! An archive is not trusted: its checksum, names, kinds of entries and sizes are checked here.
//! Which archives a build needs is the daemon's business.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    rc::Rc,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use shared::{
    digest::{Digest, Function, Hasher},
    limits::{ARCHIVE_BYTES, ARCHIVE_ENTRIES, ARCHIVE_RATIO, TREE_DEPTH},
    reapi::{
        is_component,
        tree::{DirectoryBuilder, Mode, TreeError},
    },
};

use crate::{
    actions::{Actions, Entry, Table, Update},
    store::{Store, StoreError},
};

/// Blobs gathered before they are handed to the store: one flush for many small files.
const BATCH_BYTES: usize = 8 << 20;
/// Symlinks followed before a chain counts as a loop, as the kernel does it.
const LINKS: usize = 40;

/// One archive to bring in.
pub struct Crate {
    pub name: String,
    pub version: String,
    /// SHA-256 of the archive, as Cargo.lock says it.
    pub checksum: [u8; 32],
    pub archive: PathBuf,
}

/// Why an archive was not brought in.
#[derive(Debug, thiserror::Error)]
pub enum AcquireError {
    #[error("{path}: {source}")]
    Archive { path: PathBuf, source: io::Error },
    #[error("{0} is no file")]
    NoFile(PathBuf),
    #[error("the checksum of {path} is {actual}, not {expected}; remove it so that cargo fetches it again")]
    Checksum { path: PathBuf, expected: String, actual: String },
    #[error("{path}: entry {entry:?}: {why}")]
    Entry { path: PathBuf, entry: String, why: String },
    #[error("{path}: {why}")]
    Limit { path: PathBuf, why: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The root Directory of each crate; archives that were brought in before are only looked up.
pub fn acquire_crates(store: &dyn Store, actions: &Actions, crates: &[Crate]) -> Vec<Result<Digest, AcquireError>> {
    let known = |one: &Crate| actions.get(Table::Crate, &key(one), store).ok().flatten();
    let mut roots: Vec<Option<Result<Digest, AcquireError>>> =
        crates.iter().map(|one| known(one).and_then(|entry| entry.closure.first().copied()).map(Ok)).collect();
    let missing: Vec<usize> = (0..crates.len()).filter(|&n| roots[n].is_none()).collect();
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4).min(missing.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let done = work(store, actions, crates, || missing.get(next.fetch_add(1, Ordering::Relaxed)).copied());
                results.lock().unwrap_or_else(PoisonError::into_inner).extend(done);
            });
        }
    });
    for (n, result) in results.into_inner().unwrap_or_else(PoisonError::into_inner) {
        roots[n] = Some(result);
    }
    roots.into_iter().map(|root| root.unwrap_or(Err(AcquireError::Store(StoreError::Closed)))).collect()
}

/// The name under which a root is remembered.
fn key(one: &Crate) -> Digest {
    Digest::new(Function::Sha256, one.checksum, 0)
}

/// Unpacks archives until none is left, then makes all of them durable with one flush.
fn work(
    store: &dyn Store,
    actions: &Actions,
    crates: &[Crate],
    next: impl Fn() -> Option<usize>,
) -> Vec<(usize, Result<Digest, AcquireError>)> {
    let mut batch = Batch { store, blobs: Vec::new(), bytes: 0 };
    let mut results = Vec::new();
    let mut updates = Vec::new();
    while let Some(n) = next() {
        let closure = unpack(&mut batch, &crates[n]);
        results.push((
            n,
            closure.map(|closure| {
                let root = closure[0];
                let entry = Entry { closure, value: Vec::new() };
                updates.push(Update { table: Table::Crate, key: key(&crates[n]), entry });
                root
            }),
        ));
    }
    if let Err(error) = batch.flush().and_then(|()| actions.put(updates)) {
        for (_, result) in results.iter_mut().filter(|(_, result)| result.is_ok()) {
            *result = Err(error.clone().into());
        }
    }
    results
}

struct Batch<'a> {
    store: &'a dyn Store,
    blobs: Vec<(Digest, Vec<u8>)>,
    bytes: usize,
}

impl Batch<'_> {
    fn add(&mut self, bytes: Vec<u8>) -> Result<Digest, StoreError> {
        let digest = Digest::of(Function::Blake3, &bytes);
        self.bytes += bytes.len();
        self.blobs.push((digest, bytes));
        if self.bytes > BATCH_BYTES {
            self.flush()?;
        }
        Ok(digest)
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.bytes = 0;
        self.store.put(std::mem::take(&mut self.blobs)).into_iter().collect()
    }
}

/// What an archive holds, by path below its top folder.
type Nodes = BTreeMap<String, Node>;

enum Node {
    File(Digest, Mode),
    Symlink(String),
    Directory,
}

/// Stores an archive's entries; the closure of its tree, root first.
fn unpack(batch: &mut Batch<'_>, one: &Crate) -> Result<Vec<Digest>, AcquireError> {
    let path = || one.archive.clone();
    let io = |source| AcquireError::Archive { path: path(), source };
    // A fifo would block the open, and only a file is an archive.
    let file =
        OpenOptions::new().read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32).open(&one.archive);
    let file = file.map_err(io)?;
    let meta = file.metadata().map_err(io)?;
    if !meta.is_file() {
        return Err(AcquireError::NoFile(path()));
    }
    let limit = ARCHIVE_BYTES.max(meta.len().saturating_mul(ARCHIVE_RATIO));
    let hashed = Rc::new(RefCell::new(Hashed { file, hasher: Hasher::new(Function::Sha256) }));
    let unpacked = Limited { inner: flate2::read::GzDecoder::new(Shared(hashed.clone())), left: limit };
    let nodes = read_entries(batch, one, unpacked);
    // The rest of the file is part of what the checksum says.
    io::copy(&mut Shared(hashed.clone()), &mut io::sink()).map_err(io)?;
    let actual = hashed.borrow().hasher.clone().finish();
    if *actual.hash() != one.checksum {
        let expected = key(one).hex();
        return Err(AcquireError::Checksum { path: path(), expected, actual: actual.hex() });
    }
    let nodes = nodes?;
    check_links(one, &nodes)?;
    build(batch, one, &nodes)
}

fn read_entries(batch: &mut Batch<'_>, one: &Crate, unpacked: impl Read) -> Result<Nodes, AcquireError> {
    let io = |source| AcquireError::Archive { path: one.archive.clone(), source };
    let top = format!("{}-{}", one.name, one.version);
    let mut archive = tar::Archive::new(unpacked);
    let mut nodes = Nodes::new();
    for (count, entry) in archive.entries().map_err(io)?.enumerate() {
        if count >= ARCHIVE_ENTRIES {
            let why = format!("more than {ARCHIVE_ENTRIES} entries");
            return Err(AcquireError::Limit { path: one.archive.clone(), why });
        }
        let mut entry = entry.map_err(io)?;
        if entry.header().entry_type() == tar::EntryType::XGlobalHeader {
            continue;
        }
        let raw = entry.path_bytes().into_owned();
        let refuse = |why: String| AcquireError::Entry {
            path: one.archive.clone(),
            entry: String::from_utf8_lossy(&raw).chars().take(300).collect(),
            why,
        };
        let Some(path) = inner_path(&raw, &top).map_err(|why| refuse(why.to_owned()))? else { continue };
        let node = match entry.header().entry_type() {
            tar::EntryType::Directory => Node::Directory,
            tar::EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                let target = String::from_utf8(target).map_err(|_| refuse("its target is not UTF-8".into()))?;
                Node::Symlink(target)
            }
            tar::EntryType::Regular => {
                let executable = entry.header().mode().map_err(io)? & 0o111 != 0;
                let mut bytes = Vec::with_capacity(entry.size().min(1 << 20) as usize);
                entry.read_to_end(&mut bytes).map_err(io)?;
                Node::File(batch.add(bytes)?, if executable { Mode::Executable } else { Mode::Plain })
            }
            other => return Err(refuse(format!("a crate holds no entries of type {other:?}"))),
        };
        // As in any unpacking, the last entry of a name counts; a folder may be named many times.
        match (nodes.get(&path), &node) {
            (Some(Node::Directory), Node::Directory) | (Some(Node::File(..)), Node::File(..)) | (None, _) => {
                nodes.insert(path, node);
            }
            _ => return Err(refuse("its name stands for two things".into())),
        }
    }
    Ok(nodes)
}

/// An entry's path below the archive's top folder; `None` for the top folder itself.
fn inner_path(raw: &[u8], top: &str) -> Result<Option<String>, &'static str> {
    let text = std::str::from_utf8(raw).map_err(|_| "its name is not UTF-8")?;
    let mut components = text.split('/').filter(|name| *name != "." && !name.is_empty());
    if text.starts_with('/') || components.next() != Some(top) {
        return Err("it is not in the folder that the crate's name and version say");
    }
    let components: Vec<&str> = components.collect();
    if components.len() > TREE_DEPTH {
        return Err("it is too deep");
    }
    if !components.iter().all(|name| is_component(name)) {
        return Err("its name is not one a tree may hold");
    }
    Ok((!components.is_empty()).then(|| components.join("/")))
}

/// Every symlink must stay inside, followed as a kernel follows it, other links included.
fn check_links(one: &Crate, nodes: &Nodes) -> Result<(), AcquireError> {
    for (path, node) in nodes {
        let Node::Symlink(target) = node else { continue };
        let mut at: Vec<&str> = path.split('/').collect();
        at.pop();
        let mut hops = 0;
        if target.is_empty() || target.contains('\0') || !stays_inside(nodes, &mut at, target, &mut hops) {
            let why = format!("it points outside of the crate: {target:?}");
            return Err(AcquireError::Entry { path: one.archive.clone(), entry: path.clone(), why });
        }
    }
    Ok(())
}

/// Walks `target` from the folder `at`; `at` is where it ends.
fn stays_inside<'a>(nodes: &'a Nodes, at: &mut Vec<&'a str>, target: &'a str, hops: &mut usize) -> bool {
    if target.starts_with('/') {
        return false;
    }
    for name in target.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                if at.pop().is_none() {
                    return false;
                }
            }
            _ => {
                at.push(name);
                if let Some(Node::Symlink(next)) = nodes.get(&at.join("/")) {
                    at.pop();
                    *hops += 1;
                    if *hops > LINKS || !stays_inside(nodes, at, next, hops) {
                        return false;
                    }
                }
            }
        }
    }
    true
}

fn build(batch: &mut Batch<'_>, one: &Crate, nodes: &Nodes) -> Result<Vec<Digest>, AcquireError> {
    let refuse = |entry: &str, why: TreeError| AcquireError::Entry {
        path: one.archive.clone(),
        entry: entry.to_owned(),
        why: why.to_string(),
    };
    let mut tree = DirectoryBuilder::new();
    let mut below = BTreeSet::new();
    for (path, node) in nodes {
        let added = match node {
            Node::File(digest, mode) => {
                below.insert(*digest);
                tree.file(path, *digest, *mode)
            }
            Node::Symlink(target) => tree.symlink(path, target),
            Node::Directory => tree.directory(path),
        };
        added.map_err(|why| refuse(path, why))?;
    }
    let built = tree.build(Function::Blake3);
    for (digest, bytes) in built.directories {
        below.insert(digest);
        batch.add(bytes)?;
    }
    below.remove(&built.root);
    Ok(std::iter::once(built.root).chain(below.into_iter().filter(|digest| !digest.is_empty())).collect())
}

/// The archive, hashed as it is read: what is unpacked is what the checksum says.
struct Hashed {
    file: File,
    hasher: Hasher,
}

#[derive(Clone)]
struct Shared(Rc<RefCell<Hashed>>);

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut hashed = self.0.borrow_mut();
        let count = hashed.file.read(buffer)?;
        hashed.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// Fails when more comes out than `left`.
struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, "it unpacks to far more than a crate may hold")
        })?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use shared::reapi::{Message, v2};

    use super::*;
    use crate::store::{Disk, Limits};

    struct Bench {
        dir: tempfile::TempDir,
        store: Disk,
        actions: Actions,
    }

    fn bench() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let store = Disk::open(&dir.path().join("cas"), Limits::default()).unwrap();
        let actions = Actions::open(store.folder()).unwrap();
        Bench { dir, store, actions }
    }

    /// A raw entry: no library checks the name on the way.
    fn entry(out: &mut Vec<u8>, kind: tar::EntryType, name: &[u8], target: &[u8], mode: u32, content: &[u8]) {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(content);
        out.resize(out.len().next_multiple_of(512), 0);
    }

    fn archive(bench: &Bench, tar: &[u8]) -> Crate {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(tar).unwrap();
        gz.write_all(&[0; 1024]).unwrap();
        let bytes = gz.finish().unwrap();
        let archive = bench.dir.path().join("a-1.0.0.crate");
        std::fs::write(&archive, &bytes).unwrap();
        let checksum = *Digest::of(Function::Sha256, &bytes).hash();
        Crate { name: "a".into(), version: "1.0.0".into(), checksum, archive }
    }

    fn acquire(bench: &Bench, one: Crate) -> Result<Digest, AcquireError> {
        acquire_crates(&bench.store, &bench.actions, &[one]).pop().unwrap()
    }

    fn directory(bench: &Bench, digest: &Digest) -> v2::Directory {
        v2::Directory::decode(&*bench.store.get(digest).unwrap().unwrap().into_bytes().unwrap()).unwrap()
    }

    #[test]
    fn an_archive_becomes_a_tree_and_is_remembered() {
        use tar::EntryType::{Directory, Regular, Symlink};
        let bench = bench();
        let mut tar = Vec::new();
        entry(&mut tar, Regular, b"a-1.0.0/src/lib.rs", b"", 0o644, b"fn main() {}");
        entry(&mut tar, Regular, b"a-1.0.0/run.sh", b"", 0o755, b"#!/bin/sh\n");
        entry(&mut tar, Directory, b"a-1.0.0/empty/", b"", 0o755, b"");
        entry(&mut tar, Symlink, b"a-1.0.0/src/link", b"../run.sh", 0o777, b"");
        let one = archive(&bench, &tar);
        let again = Crate { name: one.name.clone(), version: one.version.clone(), ..one };
        let path = again.archive.clone();
        let root = acquire(&bench, again).unwrap();
        let top = directory(&bench, &root);
        assert_eq!(top.files.len(), 1);
        assert!(top.files[0].is_executable);
        assert_eq!(top.directories.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["empty", "src"]);
        // The second time needs no archive, as long as all blobs are there.
        std::fs::remove_file(&path).unwrap();
        let one = || Crate { name: "a".into(), version: "1.0.0".into(), checksum: one.checksum, archive: path.clone() };
        assert_eq!(acquire(&bench, one()).unwrap(), root);
        bench.store.remove(&Digest::of(Function::Blake3, b"fn main() {}")).unwrap();
        assert!(matches!(acquire(&bench, one()), Err(AcquireError::Archive { .. })));
    }

    #[test]
    fn hostile_entries_are_refused() {
        use tar::EntryType::{Block, Char, Fifo, GNUSparse, Link, Regular, Symlink};
        let cases: &[(tar::EntryType, &[u8], &[u8])] = &[
            (Regular, b"../evil", b""),
            (Regular, b"/etc/evil", b""),
            (Regular, b"a-1.0.0/../evil", b""),
            (Regular, b"a-1.0.0/x/../../../evil", b""),
            (Regular, b"b-1.0.0/evil", b""),
            (Regular, b"evil", b""),
            (Regular, b"a-1.0.0/\xff", b""),
            (Link, b"a-1.0.0/hard", b"/etc/passwd"),
            (Link, b"a-1.0.0/hard", b"a-1.0.0/x"),
            (Symlink, b"a-1.0.0/link", b"/etc/passwd"),
            (Symlink, b"a-1.0.0/link", b"../evil"),
            (Symlink, b"a-1.0.0/link", b"x/../../evil"),
            (Symlink, b"a-1.0.0/link", b""),
            (Char, b"a-1.0.0/dev", b""),
            (Block, b"a-1.0.0/dev", b""),
            (Fifo, b"a-1.0.0/fifo", b""),
            (GNUSparse, b"a-1.0.0/sparse", b""),
        ];
        let bench = bench();
        for (kind, name, target) in cases {
            let mut tar = Vec::new();
            entry(&mut tar, *kind, name, target, 0o644, b"");
            let one = archive(&bench, &tar);
            let result = acquire(&bench, one);
            assert!(result.is_err(), "{kind:?} {:?}", String::from_utf8_lossy(name));
        }
    }

    #[test]
    fn a_link_through_a_link_cannot_leave() {
        use tar::EntryType::Symlink;
        let bench = bench();
        let mut tar = Vec::new();
        entry(&mut tar, Symlink, b"a-1.0.0/dir/up", b"..", 0o777, b"");
        let inside = archive(&bench, &tar);
        acquire(&bench, inside).unwrap();
        entry(&mut tar, Symlink, b"a-1.0.0/out", b"dir/up/../x", 0o777, b"");
        let outside = archive(&bench, &tar);
        assert!(matches!(acquire(&bench, outside), Err(AcquireError::Entry { .. })));
        let mut tar = Vec::new();
        entry(&mut tar, Symlink, b"a-1.0.0/a", b"b", 0o777, b"");
        entry(&mut tar, Symlink, b"a-1.0.0/b", b"a", 0o777, b"");
        let ring = archive(&bench, &tar);
        assert!(matches!(acquire(&bench, ring), Err(AcquireError::Entry { .. })));
    }

    #[test]
    fn wrong_bytes_bombs_and_clashes_are_refused() {
        use tar::EntryType::{Directory, Regular};
        let bench = bench();
        let mut tar = Vec::new();
        entry(&mut tar, Regular, b"a-1.0.0/x", b"", 0o644, b"one");
        let mut wrong = archive(&bench, &tar);
        wrong.checksum[0] ^= 1;
        assert!(matches!(acquire(&bench, wrong), Err(AcquireError::Checksum { .. })));

        entry(&mut tar, Directory, b"a-1.0.0/x", b"", 0o755, b"");
        let clash = archive(&bench, &tar);
        assert!(matches!(acquire(&bench, clash), Err(AcquireError::Entry { .. })));

        let mut bomb = Limited { inner: io::repeat(0), left: 1000 };
        assert!(io::copy(&mut bomb, &mut io::sink()).is_err());

        let no_archive = Crate { archive: "/dev/null".into(), ..archive(&bench, &tar) };
        assert!(matches!(acquire(&bench, no_archive), Err(AcquireError::NoFile(_))));
    }
}
