//! Results by action, and root directories by crate archive: an append log with everything but
//! the values in memory (FORMAT.md). An entry is served only while every blob of its closure is
//! in the store. What a result or a tree says is decoded by `serve` and `acquire`, not here.

use std::{
    os::unix::fs::FileExt,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use shared::{
    digest::Digest,
    failpoint::{self, Point},
};

mod tables;

use self::tables::{Known, Tables, decode, encode, read, rewrite};
use crate::store::{Committer, Folder, Header, Job, RECORD_HEADER, Store, StoreError, Ticket, encode_record, padded};

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

/// The action cache.
pub struct Actions {
    log: Arc<Log>,
    committer: Committer<Vec<Update>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

struct Log {
    tables: RwLock<Tables>,
    /// End of what is durable, where the next group goes.
    tail: Mutex<u64>,
}

impl Actions {
    /// Opens the log of a store's folder, or begins one.
    pub fn open(folder: &Folder) -> Result<Self, StoreError> {
        let path = folder.actions();
        let (mut tables, mut tail) = read(&path)?;
        if tables.is_mostly_old(tail) {
            // On a full disk the old one serves as well.
            match rewrite(folder, &tables) {
                Ok(written) => (tables, tail) = written,
                Err(error) => tracing::warn!(%error, "the action cache is not written anew; ignoring"),
            }
        }
        let log = Arc::new(Log { tables: RwLock::new(tables), tail: Mutex::new(tail) });
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

    /// Bytes that the entries take, once the log is written anew.
    pub fn live_bytes(&self) -> u64 {
        self.log.read().live()
    }

    /// Forgets entries that need a blob which is gone, and while the rest takes more than `limit`
    /// bytes those whose blobs were used longest ago. `oldest_use` says when, and `None` for gone.
    pub fn sweep(&self, folder: &Folder, limit: u64, oldest_use: impl Fn(&[Digest]) -> Option<u64>) -> u64 {
        let mut left = self.log.lock();
        let (mut gone, mut kept, mut bytes) = (Vec::new(), Vec::new(), 0);
        for (table, key, known) in left.entries() {
            match oldest_use(&known.closure) {
                None => gone.push((table, key)),
                Some(used) => {
                    kept.push((used, known.offset, table, key));
                    bytes += padded(known.payload) as u64;
                }
            }
        }
        if bytes > limit {
            kept.sort_unstable_by_key(|(used, offset, ..)| (*used, *offset));
        }
        for (_, _, table, key) in kept {
            if bytes <= limit {
                break;
            }
            bytes -= left.table(table).get(&key).map_or(0, |known| padded(known.payload) as u64);
            gone.push((table, key));
        }
        for (table, key) in &gone {
            left.table_mut(*table).remove(key);
        }
        drop(left);
        if let Err(error) = self.log.compact(folder) {
            tracing::warn!(%error, "the action cache is not written anew; ignoring");
        }
        gone.len() as u64
    }

    /// Reads every entry back; damaged ones are forgotten. How many were read and how many damaged.
    pub fn verify(&self) -> (u64, u64) {
        let entries: Vec<_> = self.log.read().entries().map(|(table, key, _)| (table, key)).collect();
        let read = |(table, key): &(Table, Digest)| self.log.read_entry(*table, key);
        let damaged = entries.iter().filter(|entry| matches!(read(entry), Ok(Read::Damaged))).count();
        (entries.len() as u64, damaged as u64)
    }

    /// How many entries there are and how often they were asked for since the start.
    pub fn counts(&self) -> Counts {
        let entries = self.log.read().table(Table::Action).len() as u64;
        Counts { entries, hits: self.hits.load(Ordering::Relaxed), misses: self.misses.load(Ordering::Relaxed) }
    }

    /// Finishes what waits.
    pub fn close(&self) {
        self.committer.close();
    }
}

/// An entry read back.
enum Read {
    Whole(Entry),
    Absent,
    /// It was forgotten.
    Damaged,
}

impl Log {
    fn get(&self, table: Table, key: &Digest, store: &dyn Store) -> Result<Option<Entry>, StoreError> {
        let closure = self.read().table(table).get(key).map(|known| known.closure.clone());
        if closure.is_none_or(|closure| !store.find_missing(&closure).is_empty()) {
            return Ok(None);
        }
        match self.read_entry(table, key)? {
            // Its closure may be another by now.
            Read::Whole(entry) if store.find_missing(&entry.closure).is_empty() => Ok(Some(entry)),
            _ => Ok(None),
        }
    }

    fn read_entry(&self, table: Table, key: &Digest) -> Result<Read, StoreError> {
        let (file, known) = {
            let tables = self.read();
            let Some(known) = tables.table(table).get(key) else { return Ok(Read::Absent) };
            (tables.file.clone(), known.clone())
        };
        let mut record = vec![0; RECORD_HEADER + known.payload];
        file.read_exact_at(&mut record, known.offset).map_err(StoreError::io("read the action cache"))?;
        let payload = &record[RECORD_HEADER..];
        let whole = Header::parse(&record, known.offset)
            .is_some_and(|header| header.digest == *key && header.is_whole(payload));
        if let Some(entry) = decode(payload).filter(|_| whole) {
            return Ok(Read::Whole(entry));
        }
        tracing::error!(%key, "an entry of the action cache is damaged and was dropped");
        let mut tables = self.lock();
        if tables.table(table).get(key).is_some_and(|now| now.offset == known.offset) {
            tables.table_mut(table).remove(key);
        }
        Ok(Read::Damaged)
    }

    /// Writes the log anew when most of it does not count.
    fn compact(&self, folder: &Folder) -> Result<(), StoreError> {
        // Nothing is appended meanwhile, so that nothing is lost.
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if self.read().is_mostly_old(*tail) {
            let written = rewrite(folder, &self.read())?;
            (*self.lock(), *tail) = written;
        }
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
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
        let file = self.read().file.clone();
        failpoint::reach_after(Point::ResultTorn, || {
            let _ = file.write_all_at(&bytes[..bytes.len() / 2], *tail);
        });
        let written = file.write_all_at(&bytes, *tail).and_then(|()| file.sync_data());
        let result = match written {
            Ok(()) => {
                *tail += bytes.len() as u64;
                let mut tables = self.lock();
                for (table, key, known) in known {
                    tables.table_mut(table).insert(key, known);
                }
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "the action cache cannot be written; its last group is dropped");
                // The next group goes to the same place and is written whole again.
                let _ = file.set_len(*tail);
                Err(StoreError::io("write the action cache")(error))
            }
        };
        for job in group {
            job.ticket.complete(result.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::digest::Function;

    use super::*;
    use crate::store::{Disk, Limits};

    fn update(n: u8, closure: Vec<Digest>) -> Update {
        let entry = Entry { closure, value: vec![n; 100] };
        Update { table: Table::Action, key: Digest::of(Function::Blake3, &[n]), entry }
    }

    #[test]
    fn an_entry_is_served_only_while_its_blobs_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let store = Disk::open(dir.path(), Limits::default()).unwrap();
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
    fn a_hit_renews_the_blobs_that_it_names() {
        for function in [Function::Sha256, Function::Blake3] {
            let dir = tempfile::tempdir().unwrap();
            let limits = Limits { budget: Some(1 << 20), lease: std::time::Duration::ZERO, ..Limits::default() };
            let store = Disk::open(dir.path(), limits).unwrap();
            let actions = Actions::open(store.folder()).unwrap();
            let bytes = |n: u8| vec![n; 100_000];
            let digest = |n: u8| Digest::of(function, &bytes(n));
            for n in 0..10 {
                store.put(vec![(digest(n), bytes(n))]).pop().unwrap().unwrap();
            }
            actions.put(vec![update(1, vec![digest(0)]), update(2, vec![digest(1)])]).unwrap();
            let hit =
                |n: u8| actions.get(Table::Action, &Digest::of(Function::Blake3, &[n]), &store).unwrap().is_some();
            assert!(hit(1));
            store.collect(350_000);
            assert!(hit(1), "what was asked for stays, as old as it is");
            assert!(!hit(2) && !store.contains(&digest(5)));
        }
    }

    #[test]
    fn a_log_torn_at_any_byte_keeps_every_entry_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Disk::open(dir.path(), Limits::default()).unwrap();
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
        let store = Disk::open(dir.path(), Limits::default()).unwrap();
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
