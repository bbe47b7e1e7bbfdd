//! Crate archives become Directory trees in the store, and are remembered by their checksums.
//! Reading an archive, which is not trusted, is `archive`'s; which ones a build needs the daemon's.

use std::{
    collections::BTreeSet,
    io,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use shared::{
    digest::{Digest, Function},
    reapi::tree::{DirectoryBuilder, TreeError},
};

use super::archive::{self, Node, Nodes};
use crate::{
    actions::{Actions, Entry, Table, Update},
    store::{Store, StoreError},
};

/// Blobs gathered before they are handed to the store: one flush for many small files.
const BATCH_BYTES: usize = 8 << 20;

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
pub fn key(one: &Crate) -> Digest {
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
        let nodes = archive::read(&mut batch, &crates[n]);
        let closure = nodes.and_then(|nodes| build(&mut batch, &crates[n], &nodes));
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

/// Blobs on their way to the store.
pub struct Batch<'a> {
    store: &'a dyn Store,
    blobs: Vec<(Digest, Vec<u8>)>,
    bytes: usize,
}

impl Batch<'_> {
    pub fn add(&mut self, bytes: Vec<u8>) -> Result<Digest, StoreError> {
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

/// Builds the tree of what an archive held; its closure, root first.
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

        let mut bomb = archive::Limited { inner: io::repeat(0), left: 1000 };
        assert!(io::copy(&mut bomb, &mut io::sink()).is_err());

        let no_archive = Crate { archive: "/dev/null".into(), ..archive(&bench, &tar) };
        assert!(matches!(acquire(&bench, no_archive), Err(AcquireError::NoFile(_))));
    }
}
