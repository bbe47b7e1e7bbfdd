//! Hashes of files, remembered by what stat says of them, so that identifying an unchanged
//! toolchain costs a stat a file: listings by the directory's stamp, contents by the file's. All
//! cores share the work.

use std::{
    collections::HashMap,
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde::{Deserialize, Serialize};

use super::ToolchainError;

/// Deeper than any toolchain: a ring of links ends here.
const DEPTH: usize = 40;
/// What is read at once.
const CHUNK: usize = 1 << 20;
/// Files stat-ed by one thread before it takes more.
const SHARE: usize = 256;
/// A file touched so recently may change again within one tick of its clock.
const FRESH_NS: i128 = 50_000_000;

type Hash = [u8; 32];
/// Entries by their index, hashed.
type Share = Vec<(usize, (Stamp, Hash))>;

/// What stat says of a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Stamp(u64, u64, u64, i64, i64, i64, i64);

impl Stamp {
    fn of(meta: &Metadata) -> Stamp {
        Stamp(meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec())
    }

    /// Whether another change right after would leave the same stamp.
    fn is_fresh(&self) -> bool {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        now.as_nanos() as i128 - (i128::from(self.5) * 1_000_000_000 + i128::from(self.6)) < FRESH_NS
    }
}

/// One file that counts.
#[derive(Debug)]
struct Entry {
    path: PathBuf,
    /// Where in `path` its name for the identity begins.
    name: usize,
}

impl Entry {
    fn new(path: PathBuf, base: &Path) -> Entry {
        let skipped = path.strip_prefix(base).map_or(0, |name| path.as_os_str().len() - name.as_os_str().len());
        Entry { path, name: skipped }
    }

    fn name(&self) -> &[u8] {
        &self.path.as_os_str().as_encoded_bytes()[self.name..]
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Listing {
    stamp: Stamp,
    files: Vec<String>,
    folders: Vec<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Remembered {
    hashes: Vec<(Stamp, Hash)>,
    listings: Vec<(PathBuf, Listing)>,
}

#[derive(Debug, Default)]
struct State {
    hashes: HashMap<Stamp, Hash>,
    listings: HashMap<PathBuf, Listing>,
    changed: bool,
}

/// The memory, kept in a file.
#[derive(Debug)]
pub struct Memory {
    file: PathBuf,
    state: Mutex<State>,
}

impl Memory {
    /// Reads what was remembered; what cannot be read is found out again.
    pub fn open(file: PathBuf) -> Memory {
        let bytes = fs::read(&file).unwrap_or_default();
        let remembered: Remembered = serde_json::from_slice(&bytes).unwrap_or_default();
        let state = State {
            hashes: remembered.hashes.into_iter().collect(),
            listings: remembered.listings.into_iter().collect(),
            changed: false,
        };
        Memory { file, state: Mutex::new(state) }
    }

    /// The identity of the files at and below `roots`, named relative to `base`, and that of
    /// `host`, named as they are.
    pub fn identities(&self, base: &Path, roots: &[PathBuf], host: &[PathBuf]) -> Result<(Hash, Hash), ToolchainError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let toolchain = list(&mut state, roots, base)?;
        let host = list(&mut state, host, Path::new("/"))?;
        let both: Vec<&Entry> = toolchain.iter().chain(&host).collect();
        let hashed = hash_all(&state.hashes, &both)?;
        for (stamp, hash) in &hashed {
            if !stamp.is_fresh() && state.hashes.insert(*stamp, *hash).is_none() {
                state.changed = true;
            }
        }
        let (of_toolchain, of_host) = hashed.split_at(toolchain.len());
        let identities = (combine(&toolchain, of_toolchain), combine(&host, of_host));
        if std::mem::take(&mut state.changed) {
            self.save(&state);
        }
        Ok(identities)
    }

    /// Every file and folder that those identities are made of.
    pub fn paths(
        &self,
        base: &Path,
        roots: &[PathBuf],
        host: &[PathBuf],
    ) -> Result<impl Iterator<Item = PathBuf>, ToolchainError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let toolchain = list(&mut state, roots, base)?;
        let host = list(&mut state, host, Path::new("/"))?;
        let folders: Vec<PathBuf> = state.listings.keys().map(|folder| folder.join("x")).collect();
        Ok(toolchain.into_iter().chain(host).map(|entry| entry.path).chain(folders))
    }

    fn save(&self, state: &State) {
        let remembered = Remembered {
            hashes: state.hashes.iter().map(|(stamp, hash)| (*stamp, *hash)).collect(),
            listings: state.listings.iter().map(|(path, listing)| (path.clone(), listing.clone())).collect(),
        };
        let temporary = self.file.with_extension("new");
        let saved = serde_json::to_vec(&remembered).map_err(io::Error::from);
        let saved =
            saved.and_then(|bytes| fs::write(&temporary, bytes)).and_then(|()| fs::rename(&temporary, &self.file));
        if let Err(err) = saved {
            tracing::warn!(%err, file = %self.file.display(), "hashes are not remembered, ignoring");
        }
    }
}

/// Every file at and below `roots`, sorted by name.
fn list(state: &mut State, roots: &[PathBuf], base: &Path) -> Result<Vec<Entry>, ToolchainError> {
    let mut entries = Vec::new();
    for root in roots {
        let meta = fs::metadata(root).map_err(io_at(root))?;
        if meta.is_dir() {
            walk(state, root, &meta, base, &mut entries, DEPTH)?;
        } else {
            entries.push(Entry::new(root.clone(), base));
        }
    }
    // By bytes: paths compare part by part, which costs more than everything else here.
    entries.sort_unstable_by(|a, b| a.name().cmp(b.name()));
    entries.dedup_by(|a, b| a.name() == b.name());
    Ok(entries)
}

fn walk(
    state: &mut State,
    dir: &Path,
    meta: &Metadata,
    base: &Path,
    entries: &mut Vec<Entry>,
    depth: usize,
) -> Result<(), ToolchainError> {
    let Some(depth) = depth.checked_sub(1) else { return Ok(()) };
    let stamp = Stamp::of(meta);
    if state.listings.get(dir).is_none_or(|listing| listing.stamp != stamp) {
        let listing = read_listing(dir, stamp)?;
        state.listings.insert(dir.to_owned(), listing);
        state.changed = true;
    }
    let Some(listing) = state.listings.get(dir) else { return Ok(()) };
    let skipped = dir.strip_prefix(base).map_or(0, |name| dir.as_os_str().len() - name.as_os_str().len());
    entries.extend(listing.files.iter().map(|name| Entry { path: dir.join(name), name: skipped }));
    let folders: Vec<_> = listing.folders.iter().map(|name| dir.join(name)).collect();
    if stamp.is_fresh() {
        state.listings.remove(dir);
    }
    for path in folders {
        let meta = fs::metadata(&path).map_err(io_at(&path))?;
        walk(state, &path, &meta, base, entries, depth)?;
    }
    Ok(())
}

/// Names that are not UTF-8, links that lead nowhere and special files are nothing that a
/// compiler loads.
fn read_listing(dir: &Path, stamp: Stamp) -> Result<Listing, ToolchainError> {
    let mut listing = Listing { stamp, files: Vec::new(), folders: Vec::new() };
    for entry in fs::read_dir(dir).map_err(io_at(dir))? {
        let entry = entry.map_err(io_at(dir))?;
        let (Ok(name), Ok(meta)) = (entry.file_name().into_string(), fs::metadata(entry.path())) else { continue };
        if meta.is_dir() {
            listing.folders.push(name);
        } else if meta.is_file() {
            listing.files.push(name);
        }
    }
    Ok(listing)
}

/// Stamp and hash of each entry, in their order.
fn hash_all(known: &HashMap<Stamp, Hash>, entries: &[&Entry]) -> Result<Vec<(Stamp, Hash)>, ToolchainError> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(entries.len() / SHARE + 1);
    let next = AtomicUsize::new(0);
    let work = || -> Result<Share, ToolchainError> {
        let mut done = Vec::new();
        loop {
            let start = next.fetch_add(SHARE, Ordering::Relaxed);
            let Some(share) = entries.get(start..).filter(|rest| !rest.is_empty()) else { return Ok(done) };
            for (index, entry) in share.iter().take(SHARE).enumerate() {
                done.push((start + index, hash_one(known, &entry.path)?));
            }
        }
    };
    let parts = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut parts = vec![work()];
        parts.extend(others.into_iter().map(|other| match other.join() {
            Ok(part) => part,
            Err(panic) => std::panic::resume_unwind(panic),
        }));
        parts
    });
    let mut hashed = Vec::with_capacity(entries.len());
    for part in parts {
        hashed.extend(part?);
    }
    hashed.sort_unstable_by_key(|(index, _)| *index);
    Ok(hashed.into_iter().map(|(_, hashed)| hashed).collect())
}

fn hash_one(known: &HashMap<Stamp, Hash>, path: &Path) -> Result<(Stamp, Hash), ToolchainError> {
    let stamp = Stamp::of(&fs::metadata(path).map_err(io_at(path))?);
    if let Some(hash) = known.get(&stamp) {
        return Ok((stamp, *hash));
    }
    let mut file = File::open(path).map_err(io_at(path))?;
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0_u8; CHUNK.min(usize::try_from(stamp.2).unwrap_or(CHUNK).max(1))];
    loop {
        match file.read(&mut chunk).map_err(io_at(path))? {
            0 => break,
            count => hasher.update(&chunk[..count]),
        };
    }
    let after = Stamp::of(&file.metadata().map_err(io_at(path))?);
    if after != stamp {
        return Err(ToolchainError::Changing(path.to_owned()));
    }
    Ok((stamp, *hasher.finalize().as_bytes()))
}

fn combine(entries: &[Entry], hashed: &[(Stamp, Hash)]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    for (entry, (stamp, hash)) in entries.iter().zip(hashed) {
        let name = entry.name();
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name);
        hasher.update(&stamp.2.to_le_bytes());
        hasher.update(hash);
    }
    *hasher.finalize().as_bytes()
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> ToolchainError {
    let path = path.to_owned();
    move |source| ToolchainError::Io { path, source }
}
