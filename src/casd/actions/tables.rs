//! The log of the action cache as it lies on disk, and what of it is in memory: names, closures
//! and where each entry lies. Who asks for what, and when it is written, is the parent's.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::PathBuf,
    sync::Arc,
};

use shared::digest::Digest;

use super::{Entry, Table};
use crate::store::{
    CLOSURE_DIGEST, DigestMap, FILE_HEAD, Folder, Kind, RECORD_HEADER, StoreError, Window, encode_record,
    function_byte, function_from_byte, padded, u32_at, u64_at, write_file_head,
};

/// Below this a log is not worth writing anew.
const COMPACT_BYTES: u64 = 1 << 20;

#[derive(Clone)]
pub struct Known {
    /// Where its record begins, and how long its payload is.
    pub offset: u64,
    pub payload: usize,
    pub closure: Arc<[Digest]>,
}

pub struct Tables {
    /// What the offsets below are in.
    pub file: Arc<File>,
    actions: DigestMap<Known>,
    crates: DigestMap<Known>,
}

impl Table {
    pub fn kind(self) -> Kind {
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
    pub fn new(file: File) -> Self {
        Tables { file: Arc::new(file), actions: DigestMap::default(), crates: DigestMap::default() }
    }

    pub fn entries(&self) -> impl Iterator<Item = (Table, Digest, &Known)> {
        let of = |table| self.table(table).iter().map(move |(key, known)| (table, *key, known));
        of(Table::Action).chain(of(Table::Crate))
    }

    /// Bytes of records that count.
    pub fn live(&self) -> u64 {
        self.entries().map(|(_, _, known)| padded(known.payload) as u64).sum()
    }

    pub fn is_mostly_old(&self, length: u64) -> bool {
        length > COMPACT_BYTES && self.live() < length / 2
    }

    pub fn table(&self, table: Table) -> &DigestMap<Known> {
        match table {
            Table::Action => &self.actions,
            Table::Crate => &self.crates,
        }
    }

    pub fn table_mut(&mut self, table: Table) -> &mut DigestMap<Known> {
        match table {
            Table::Action => &mut self.actions,
            Table::Crate => &mut self.crates,
        }
    }
}

/// Reads the log, cuts an unfinished end off, makes what is left durable. The end of it.
pub fn read(path: &PathBuf) -> Result<(Tables, u64), StoreError> {
    let io = StoreError::io;
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(io("open the action cache"))?;
    let mut tables = Tables::new(file.try_clone().map_err(io("open the action cache"))?);
    let mut window = Window::new(&file)?;
    if window.length() < FILE_HEAD as u64 {
        file.set_len(0).map_err(io("begin the action cache"))?;
        file.write_all_at(&write_file_head(b"vxACT", 0), 0).map_err(io("begin the action cache"))?;
        let folder = path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all());
        folder.and_then(|()| file.sync_all()).map_err(io("begin the action cache"))?;
        return Ok((tables, FILE_HEAD as u64));
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
    Ok((tables, end))
}

/// Writes the log anew with only what counts, in the order in which it was written.
pub fn rewrite(folder: &Folder, old: &Tables) -> Result<(Tables, u64), StoreError> {
    let temp = folder.temp();
    let write = || -> io::Result<(Tables, u64)> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&temp)?;
        let mut out = io::BufWriter::new(file.try_clone()?);
        out.write_all(&write_file_head(b"vxACT", 0))?;
        let (mut tables, mut offset) = (Tables::new(file), FILE_HEAD as u64);
        let mut entries: Vec<_> = old.entries().collect();
        entries.sort_unstable_by_key(|(_, _, known)| known.offset);
        let mut record = Vec::new();
        for (table, key, known) in entries {
            let mut payload = vec![0; known.payload];
            old.file.read_exact_at(&mut payload, known.offset + RECORD_HEADER as u64)?;
            record.clear();
            encode_record(&mut record, offset, table.kind(), &key, &payload);
            out.write_all(&record)?;
            tables.table_mut(table).insert(key, Known { offset, ..known.clone() });
            offset += record.len() as u64;
        }
        out.flush()?;
        tables.file.sync_all()?;
        std::fs::rename(&temp, folder.actions())?;
        if let Err(error) = File::open(folder.path()).and_then(|path| path.sync_all()) {
            // The new one is in place all the same; only a power cut could bring the old one back.
            tracing::error!(%error, "the rewritten action cache may not be durable; ignoring");
        }
        Ok((tables, offset))
    };
    write().map_err(|error| {
        let _ = std::fs::remove_file(&temp);
        StoreError::io("rewrite the action cache")(error)
    })
}

/// An entry as a payload.
pub fn encode(entry: &Entry) -> Vec<u8> {
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

/// An entry from a payload; `None` when it is none.
pub fn decode(payload: &[u8]) -> Option<Entry> {
    let count = u32_at(payload, 0)? as usize;
    let (digests, value) = payload[4..].split_at_checked(count.checked_mul(CLOSURE_DIGEST)?)?;
    let digest =
        |bytes: &[u8]| Some(Digest::new(function_from_byte(bytes[0])?, bytes[9..].try_into().ok()?, u64_at(bytes, 1)?));
    let closure = digests.chunks_exact(CLOSURE_DIGEST).map(digest).collect::<Option<_>>()?;
    Some(Entry { closure, value: value.to_vec() })
}
