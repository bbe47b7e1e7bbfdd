//! Small blobs: one thread appends them to the current segment and acknowledges them in groups
//! after one fdatasync (FORMAT.md, "Order of writes"). Reading is `disk`'s.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use shared::{
    digest::Digest,
    failpoint::{self, Point},
};

use super::{
    api::StoreError,
    checkpoint::{self, Position},
    commit::{Job, Ticket},
    folder::Folder,
    format::{FILE_HEAD, Kind, RECORD_HEADER, Stamp, encode_record, padded, write_file_head},
    index::{DigestMap, Index, Place},
    scan::Window,
    sync::sync_folder,
};

/// A segment this long is closed and the next one begun.
const SEGMENT_BYTES: u64 = 256 << 20;

/// One record to append.
pub struct Append {
    pub digest: Digest,
    pub body: Body,
}

/// What it says.
pub enum Body {
    Blob(Vec<u8>),
    File(Stamp),
    /// The blob is to be forgotten, if it still lies where it was seen.
    Gone(Place),
}

/// Blobs that are on their way to the disk: a second writer of one waits for the first.
#[derive(Default)]
pub struct Pending(Mutex<DigestMap<Ticket>>);

impl Pending {
    pub fn lock(&self) -> std::sync::MutexGuard<'_, DigestMap<Ticket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all parts of the disk store share.
pub struct Common {
    pub folder: Folder,
    pub index: Index,
    pub pending: Pending,
    /// Read-only descriptors of all segments.
    pub readers: RwLock<BTreeMap<u64, Arc<File>>>,
}

impl Common {
    pub fn reader(&self, number: u64) -> Option<Arc<File>> {
        self.readers.read().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }
}

/// The current segment, owned by the committing thread.
pub struct Writer {
    common: Arc<Common>,
    file: File,
    number: u64,
    /// End of what is durable, where the next group goes.
    tail: u64,
    /// The current segment took an error and is not appended to again.
    spoiled: Spoiled,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Spoiled {
    No,
    Yes,
}

/// The segments that are there, by number, with their lengths.
pub fn list(folder: &Folder) -> Result<BTreeMap<u64, u64>, StoreError> {
    let io = StoreError::io;
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder.segments()).map_err(io("list the segments"))? {
        let entry = entry.map_err(io("list the segments"))?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".seg")).and_then(|number| number.parse().ok());
        if let Some(number) = number {
            found.insert(number, entry.metadata().map_err(io("list the segments"))?.len());
        }
    }
    Ok(found)
}

/// Reads what follows `position` into the index. The last segment is cut after its last valid record.
pub fn replay(
    folder: &Folder,
    index: &Index,
    segments: &BTreeMap<u64, u64>,
    position: Position,
) -> Result<(), StoreError> {
    let last = segments.keys().next_back().copied();
    for (&number, &length) in segments.range(position.number..) {
        let from = if number == position.number { position.offset } else { FILE_HEAD as u64 };
        if length < from {
            continue;
        }
        let path = folder.segment(number);
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(StoreError::io("open a segment"))?;
        let mut window = Window::new(&file)?;
        let end = window.records(from, |offset, header, payload| match header.kind {
            Kind::Blob => index.insert(header.digest, Place::Segment { number, offset: offset + RECORD_HEADER as u64 }),
            Kind::File => {
                if let Some(stamp) = Stamp::decode(payload) {
                    index.insert(header.digest, Place::File(stamp));
                }
            }
            Kind::Gone => {
                index.remove(&header.digest);
            }
            Kind::Action | Kind::Crate | Kind::Forget => {}
        })?;
        if end < length && Some(number) == last {
            tracing::info!(segment = number, bytes = length - end, "cut an unfinished end off a segment");
            file.set_len(end).map_err(StoreError::io("cut a segment"))?;
        }
    }
    Ok(())
}

impl Writer {
    /// Goes on with the last segment, or begins the first one.
    pub fn open(common: Arc<Common>, last: Option<u64>) -> Result<Self, StoreError> {
        if let Some(number) = last {
            let file = OpenOptions::new()
                .write(true)
                .open(common.folder.segment(number))
                .map_err(StoreError::io("open a segment"))?;
            let length = file.metadata().map_err(StoreError::io("stat a segment"))?.len();
            if length >= FILE_HEAD as u64 && length % 8 == 0 {
                // What was read back may be in memory only: durable before anything is promised on it.
                file.sync_all().map_err(StoreError::io("sync a segment"))?;
                return Ok(Writer { common, file, number, tail: length, spoiled: Spoiled::No });
            }
        }
        let number = last.unwrap_or(0) + 1;
        let file = begin(&common, number)?;
        Ok(Writer { common, file, number, tail: FILE_HEAD as u64, spoiled: Spoiled::No })
    }

    /// Makes a group durable, enters it into the index and acknowledges it.
    pub fn commit(&mut self, group: Vec<Job<Vec<Append>>>) {
        let result = self.append(&group);
        let mut pending = self.common.pending.lock();
        for (append, offset) in group.iter().flat_map(|job| &job.work).zip(result.as_deref().unwrap_or_default()) {
            self.enter(append, *offset);
        }
        for append in group.iter().flat_map(|job| &job.work) {
            if matches!(append.body, Body::Blob(_)) {
                pending.remove(&append.digest);
            }
        }
        drop(pending);
        for job in &group {
            job.ticket.complete(result.as_ref().map(|_| ()).map_err(Clone::clone));
        }
        failpoint::reach_soon(Point::BlobAcknowledged);
    }

    /// Everything up to here is durable and in the index.
    pub fn position(&self) -> Position {
        Position { number: self.number, offset: self.tail }
    }

    fn enter(&self, append: &Append, offset: u64) {
        let index = &self.common.index;
        match &append.body {
            Body::Blob(_) => {
                let offset = offset + RECORD_HEADER as u64;
                index.insert(append.digest, Place::Segment { number: self.number, offset });
            }
            Body::File(_) => {}
            Body::Gone(seen) => {
                if index.get(&append.digest) == Some(*seen) && matches!(seen, Place::File(_)) {
                    // Failing to remove it costs space, not truth: it is hashed again at the next start.
                    let _ = fs::remove_file(self.common.folder.blob(&append.digest));
                }
                index.remove_if(&append.digest, *seen);
            }
        }
    }

    /// Writes and syncs a group; the offset of each record.
    fn append(&mut self, group: &[Job<Vec<Append>>]) -> Result<Vec<u64>, StoreError> {
        if self.spoiled == Spoiled::Yes || self.tail >= SEGMENT_BYTES {
            self.next_segment()?;
        }
        let records = || group.iter().flat_map(|job| &job.work);
        let length = records().map(|append| padded(append.payload().len())).sum();
        let mut bytes = Vec::with_capacity(length);
        let mut offsets = Vec::new();
        for append in records() {
            let offset = self.tail + bytes.len() as u64;
            let stamp;
            let payload = match &append.body {
                Body::File(file) => {
                    stamp = file.encode();
                    &stamp[..]
                }
                _ => append.payload(),
            };
            encode_record(&mut bytes, offset, append.kind(), &append.digest, payload);
            offsets.push(offset);
        }
        failpoint::reach_after(Point::SegmentTorn, || {
            let _ = self.file.write_all_at(&bytes[..bytes.len() / 2], self.tail);
        });
        if let Err(error) = self.file.write_all_at(&bytes, self.tail) {
            // What was written before the space ran out is cut off; the segment is as it was.
            if self.file.set_len(self.tail).is_err() {
                self.spoiled = Spoiled::Yes;
            }
            return Err(StoreError::io("write a segment")(error));
        }
        if let Err(error) = self.file.sync_data() {
            // The kernel may have dropped the pages and will not say so again: never append here again.
            tracing::error!(segment = self.number, %error, "a segment cannot be made durable; its last group is dropped");
            self.spoiled = Spoiled::Yes;
            let _ = self.file.set_len(self.tail);
            return Err(StoreError::io("write a segment")(error));
        }
        self.tail += bytes.len() as u64;
        Ok(offsets)
    }

    fn next_segment(&mut self) -> Result<(), StoreError> {
        let number = self.number + 1;
        self.file = begin(&self.common, number)?;
        self.number = number;
        self.tail = FILE_HEAD as u64;
        self.spoiled = Spoiled::No;
        if let Err(error) = checkpoint::write(&self.common.folder, &self.common.index, self.position()) {
            tracing::warn!(%error, "no checkpoint was written; ignoring, the next start reads more");
        }
        Ok(())
    }
}

impl Append {
    fn kind(&self) -> Kind {
        match self.body {
            Body::Blob(_) => Kind::Blob,
            Body::File(_) => Kind::File,
            Body::Gone(_) => Kind::Gone,
        }
    }

    fn payload(&self) -> &[u8] {
        match &self.body {
            Body::Blob(bytes) => bytes,
            Body::File(_) | Body::Gone(_) => &[],
        }
    }
}

/// Begins a segment: durable itself before any record in it is acknowledged.
fn begin(common: &Common, number: u64) -> Result<File, StoreError> {
    let path = common.folder.segment(number);
    let make = || -> io::Result<(File, File)> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all_at(&write_file_head(b"vxSEG", number), 0)?;
        file.sync_all()?;
        sync_folder(&common.folder.segments())?;
        Ok((file, File::open(&path)?))
    };
    let (file, reader) = make().map_err(StoreError::io("begin a segment"))?;
    common.readers.write().unwrap_or_else(PoisonError::into_inner).insert(number, Arc::new(reader));
    Ok(file)
}
