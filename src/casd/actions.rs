//! Results by action, and root directories by crate archive: an append log with everything but
//! the values in memory (FORMAT.md). An entry is served only while every blob of its closure is
//! in the store. What a result or a tree says is decoded by `serve` and `acquire`, not here.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use shared::{
    digest::Digest,
    failpoint::{self, Point},
};

use crate::store::{
    CLOSURE_DIGEST, Committer, DigestMap, FILE_HEAD, Folder, Header, Job, Kind, RECORD_HEADER, Store, StoreError,
    Ticket, Window, encode_record, function_byte, function_from_byte, padded, u32_at, u64_at, write_file_head,
};

/// Below this a log is not worth writing anew.
const COMPACT_BYTES: u64 = 1 << 20;

/// The two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Action digest to the bytes of an ActionResult.
    Action,
    /// SHA-256 of a crate archive (with size 0) to its root Directory, the closure's first digest.
    Crate,
}

/// What is stored under a name.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Every blob it needs to be served.
    pub closure: Vec<Digest>,
    pub value: Vec<u8>,
}

/// One entry to store.
pub struct Update {
    pub table: Table,
    pub key: Digest,
    pub entry: Entry,
}

/// What `vxctl status` shows of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub entries: u64,
    pub hits: u64,
    pub misses: u64,
}

#[derive(Clone)]
struct Known {
    /// Where its record begins, and how long its payload is.
    offset: u64,
    payload: usize,
    closure: Arc<[Digest]>,
}

#[derive(Default)]
struct Tables {
    actions: DigestMap<Known>,
    crates: DigestMap<Known>,
}

/// The action cache.
pub struct Actions {
    log: Arc<Log>,
    committer: Committer<Vec<Update>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

struct Log {
    file: File,
    tables: RwLock<Tables>,
    /// End of what is durable, where the next group goes.
    tail: Mutex<u64>,
}

impl Actions {
    /// Opens the log of a store's folder, or begins one.
    pub fn open(folder: &Folder) -> Result<Self, StoreError> {
        let path = folder.actions();
        let (mut file, mut tables, mut tail) = read(&path)?;
        let live: u64 = tables.actions.values().chain(tables.crates.values()).map(|k| padded(k.payload) as u64).sum();
        if tail > COMPACT_BYTES && live < tail / 2 {
            rewrite(folder, &file, &tables)?;
            (file, tables, tail) = read(&path)?;
        }
        let log = Arc::new(Log { file, tables: RwLock::new(tables), tail: Mutex::new(tail) });
        let owner = log.clone();
        let committer = Committer::start("actions", move |group| owner.commit(&group))?;
        Ok(Actions { log, committer, hits: AtomicU64::new(0), misses: AtomicU64::new(0) })
    }

    /// The entry, if there is one and all of its blobs are there.
    pub fn get(&self, table: Table, key: &Digest, store: &dyn Store) -> Result<Option<Entry>, StoreError> {
        let found = self.log.get(table, key, store);
        if table == Table::Action {
            let counter = if matches!(found, Ok(Some(_))) { &self.hits } else { &self.misses };
            counter.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    /// Stores entries durably.
    pub fn put(&self, updates: Vec<Update>) -> Result<(), StoreError> {
        if updates.is_empty() {
            return Ok(());
        }
        let ticket = Ticket::default();
        self.committer.submit(updates, ticket.clone());
        ticket.wait()
    }

    /// How many entries there are and how often they were asked for since the start.
    pub fn counts(&self) -> Counts {
        let entries = self.log.tables.read().unwrap_or_else(PoisonError::into_inner).actions.len() as u64;
        Counts { entries, hits: self.hits.load(Ordering::Relaxed), misses: self.misses.load(Ordering::Relaxed) }
    }

    /// Finishes what waits.
    pub fn close(&self) {
        self.committer.close();
    }
}

impl Log {
    fn get(&self, table: Table, key: &Digest, store: &dyn Store) -> Result<Option<Entry>, StoreError> {
        let known = self.tables.read().unwrap_or_else(PoisonError::into_inner).table(table).get(key).cloned();
        let Some(known) = known else { return Ok(None) };
        if !store.find_missing(&known.closure).is_empty() {
            return Ok(None);
        }
        let mut record = vec![0; RECORD_HEADER + known.payload];
        self.file.read_exact_at(&mut record, known.offset).map_err(StoreError::io("read the action cache"))?;
        let payload = &record[RECORD_HEADER..];
        let whole = Header::parse(&record, known.offset)
            .is_some_and(|header| header.digest == *key && header.is_whole(payload));
        let entry = if whole { decode(payload) } else { None };
        if entry.is_none() {
            tracing::error!(%key, "an entry of the action cache is damaged and was dropped");
            self.tables.write().unwrap_or_else(PoisonError::into_inner).table_mut(table).remove(key);
        }
        Ok(entry)
    }

    fn commit(&self, group: &[Job<Vec<Update>>]) {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = Vec::new();
        let mut known = Vec::new();
        for update in group.iter().flat_map(|job| &job.work) {
            let offset = *tail + bytes.len() as u64;
            let payload = encode(&update.entry);
            encode_record(&mut bytes, offset, update.table.kind(), &update.key, &payload);
            let closure = update.entry.closure.as_slice().into();
            known.push((update.table, update.key, Known { offset, payload: payload.len(), closure }));
        }
        failpoint::reach(Point::BeforeResult);
        failpoint::reach_after(Point::ResultTorn, || {
            let _ = self.file.write_all_at(&bytes[..bytes.len() / 2], *tail);
        });
        let written = self.file.write_all_at(&bytes, *tail).and_then(|()| self.file.sync_data());
        let result = match written {
            Ok(()) => {
                *tail += bytes.len() as u64;
                let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
                for (table, key, known) in known {
                    tables.table_mut(table).insert(key, known);
                }
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "the action cache cannot be written; its last group is dropped");
                // The next group goes to the same place and is written whole again.
                let _ = self.file.set_len(*tail);
                Err(StoreError::io("write the action cache")(error))
            }
        };
        for job in group {
            job.ticket.complete(result.clone());
        }
    }
}

impl Table {
    fn kind(self) -> Kind {
        match self {
            Table::Action => Kind::Action,
            Table::Crate => Kind::Crate,
        }
    }

    fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Action => Some(Table::Action),
            Kind::Crate => Some(Table::Crate),
            _ => None,
        }
    }
}

impl Tables {
    fn table(&self, table: Table) -> &DigestMap<Known> {
        match table {
            Table::Action => &self.actions,
            Table::Crate => &self.crates,
        }
    }

    fn table_mut(&mut self, table: Table) -> &mut DigestMap<Known> {
        match table {
            Table::Action => &mut self.actions,
            Table::Crate => &mut self.crates,
        }
    }
}

/// Reads the log, cuts an unfinished end off, makes what is left durable.
fn read(path: &PathBuf) -> Result<(File, Tables, u64), StoreError> {
    let io = StoreError::io;
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(io("open the action cache"))?;
    let mut window = Window::new(&file)?;
    let mut tables = Tables::default();
    if window.length() < FILE_HEAD as u64 {
        file.set_len(0).map_err(io("begin the action cache"))?;
        file.write_all_at(&write_file_head(b"vxACT", 0), 0).map_err(io("begin the action cache"))?;
        let folder = path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all());
        folder.and_then(|()| file.sync_all()).map_err(io("begin the action cache"))?;
        return Ok((file, tables, FILE_HEAD as u64));
    }
    let end = window.records(FILE_HEAD as u64, |offset, header, payload| {
        if header.kind == Kind::Forget {
            for kind in [Kind::Action, Kind::Crate] {
                if payload == [kind as u8]
                    && let Some(table) = Table::of(kind)
                {
                    tables.table_mut(table).remove(&header.digest);
                }
            }
        } else if let (Some(table), Some(entry)) = (Table::of(header.kind), decode(payload)) {
            let known = Known { offset, payload: payload.len(), closure: entry.closure.into() };
            tables.table_mut(table).insert(header.digest, known);
        }
    })?;
    if end < window.length() {
        tracing::info!(bytes = window.length() - end, "cut an unfinished end off the action cache");
        file.set_len(end).map_err(io("cut the action cache"))?;
    }
    file.sync_all().map_err(io("sync the action cache"))?;
    Ok((file, tables, end))
}

/// Writes the log anew with only what counts.
fn rewrite(folder: &Folder, old: &File, tables: &Tables) -> Result<(), StoreError> {
    let mut bytes = write_file_head(b"vxACT", 0).to_vec();
    for (table, map) in [(Table::Action, &tables.actions), (Table::Crate, &tables.crates)] {
        for (key, known) in map {
            let mut payload = vec![0; known.payload];
            let at = known.offset + RECORD_HEADER as u64;
            old.read_exact_at(&mut payload, at).map_err(StoreError::io("read the action cache"))?;
            let offset = bytes.len() as u64;
            encode_record(&mut bytes, offset, table.kind(), key, &payload);
        }
    }
    folder
        .replace(&folder.actions(), &bytes)
        .map_err(|error: io::Error| StoreError::io("rewrite the action cache")(error))
}

fn encode(entry: &Entry) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + entry.closure.len() * CLOSURE_DIGEST + entry.value.len());
    bytes.extend_from_slice(&(entry.closure.len() as u32).to_le_bytes());
    for digest in &entry.closure {
        bytes.push(function_byte(digest.function()));
        bytes.extend_from_slice(&digest.size().to_le_bytes());
        bytes.extend_from_slice(digest.hash());
    }
    bytes.extend_from_slice(&entry.value);
    bytes
}

fn decode(payload: &[u8]) -> Option<Entry> {
    let count = u32_at(payload, 0)? as usize;
    let (digests, value) = payload[4..].split_at_checked(count.checked_mul(CLOSURE_DIGEST)?)?;
    let digest =
        |bytes: &[u8]| Some(Digest::new(function_from_byte(bytes[0])?, bytes[9..].try_into().ok()?, u64_at(bytes, 1)?));
    let closure = digests.chunks_exact(CLOSURE_DIGEST).map(digest).collect::<Option<_>>()?;
    Some(Entry { closure, value: value.to_vec() })
}

#[cfg(test)]
mod tests {
    use shared::digest::Function;

    use super::*;
    use crate::store::Disk;

    fn update(n: u8, closure: Vec<Digest>) -> Update {
        let entry = Entry { closure, value: vec![n; 100] };
        Update { table: Table::Action, key: Digest::of(Function::Blake3, &[n]), entry }
    }

    #[test]
    fn an_entry_is_served_only_while_its_blobs_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let store = Disk::open(dir.path()).unwrap();
        let actions = Actions::open(store.folder()).unwrap();
        let blob = Digest::of(Function::Sha256, b"blob");
        actions.put(vec![update(1, vec![blob, Digest::empty(Function::Blake3)])]).unwrap();
        let key = Digest::of(Function::Blake3, &[1]);
        assert!(actions.get(Table::Action, &key, &store).unwrap().is_none());
        store.put(vec![(blob, b"blob".to_vec())]).pop().unwrap().unwrap();
        assert_eq!(actions.get(Table::Action, &key, &store).unwrap().unwrap().value, vec![1; 100]);
        assert!(actions.get(Table::Crate, &key, &store).unwrap().is_none());
        store.remove(&blob).unwrap();
        assert!(actions.get(Table::Action, &key, &store).unwrap().is_none());
        assert_eq!((actions.counts().entries, actions.counts().hits, actions.counts().misses), (1, 1, 2));
    }

    #[test]
    fn a_log_torn_at_any_byte_keeps_every_entry_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Disk::open(dir.path()).unwrap();
        let actions = Actions::open(store.folder()).unwrap();
        actions.put(vec![update(1, vec![])]).unwrap();
        let first = std::fs::metadata(store.folder().actions()).unwrap().len();
        actions.put(vec![update(2, vec![])]).unwrap();
        drop(actions);
        let whole = std::fs::read(store.folder().actions()).unwrap();
        for cut in first as usize..=whole.len() {
            std::fs::write(store.folder().actions(), &whole[..cut]).unwrap();
            let actions = Actions::open(store.folder()).unwrap();
            let has = |n| actions.get(Table::Action, &Digest::of(Function::Blake3, &[n]), &store).unwrap().is_some();
            assert!(has(1), "cut at {cut}");
            assert_eq!(has(2), cut == whole.len(), "cut at {cut}");
        }
    }

    #[test]
    fn a_log_of_mostly_old_entries_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let store = Disk::open(dir.path()).unwrap();
        let actions = Actions::open(store.folder()).unwrap();
        for n in 0..40 {
            let mut update = update(7, vec![]);
            update.entry.value = vec![n; 64 << 10];
            actions.put(vec![update]).unwrap();
        }
        drop(actions);
        let actions = Actions::open(store.folder()).unwrap();
        assert!(std::fs::metadata(store.folder().actions()).unwrap().len() < 100_000);
        let entry = actions.get(Table::Action, &Digest::of(Function::Blake3, &[7]), &store).unwrap().unwrap();
        assert_eq!(entry.value, vec![39; 64 << 10]);
    }
}
