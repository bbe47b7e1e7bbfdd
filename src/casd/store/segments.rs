//! Small blobs: one thread appends them to the current segment and acknowledges them in groups
//! after one fdatasync (FORMAT.md, "Order of writes"). Reading is `disk`'s.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use shared::{
    digest::Digest,
    failpoint::{self, Point},
};

use super::{
    api::StoreError,
    checkpoint::{self, Checkpoint, Position},
    commit::{Job, Ticket},
    folder::Folder,
    format::{FILE_HEAD, Kind, RECORD_HEADER, Stamp, encode_record, padded, write_file_head},
    index::{DigestMap, Index, Place},
    scan::Window,
    space::Limits,
    sync::sync_folder,
    uses::Uses,
};

/// After so many bytes of large blobs a checkpoint is written, so that a power cut leaves few to hash.
const CHECKPOINT_BYTES: u64 = 1 << 30;

/// One record to append.
pub struct Append {
    pub digest: Digest,
    pub body: Body,
}

/// What it says.
pub enum Body {
    Blob(Vec<u8>),
    File(Stamp),
    /// A copy of a blob that lies elsewhere, to take its place if it still is the one.
    Moved(Vec<u8>, Place),
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
    pub uses: Uses,
    pub limits: Limits,
    pub pending: Pending,
    pub segments: RwLock<BTreeMap<u64, Segment>>,
    /// Told when the store grew.
    pub growth: Growth,
}

/// One segment's file.
pub struct Segment {
    /// Read-only.
    pub file: Arc<File>,
    /// What is durable of it.
    pub length: u64,
}

/// Wakes whoever keeps the store within its budget.
#[derive(Default)]
pub struct Growth(OnceLock<Box<dyn Fn() + Send + Sync>>);

impl Growth {
    pub fn tell(&self, whom: Box<dyn Fn() + Send + Sync>) {
        // There is one keeper a store.
        let _ = self.0.set(whom);
    }

    pub fn grew(&self) {
        if let Some(tell) = self.0.get() {
            tell();
        }
    }
}

impl Common {
    pub fn reader(&self, number: u64) -> Option<Arc<File>> {
        self.read_segments().get(&number).map(|segment| segment.file.clone())
    }

    pub fn read_segments(&self) -> RwLockReadGuard<'_, BTreeMap<u64, Segment>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write_segments(&self) -> RwLockWriteGuard<'_, BTreeMap<u64, Segment>> {
        self.segments.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes on disk, the action cache's log aside.
    pub fn disk_bytes(&self) -> u64 {
        let segments: u64 = self.read_segments().values().map(|segment| segment.length).sum();
        segments + self.index.sums().file_bytes
    }

    /// Takes a blob out of service if it still lies where it was seen and was not used after
    /// `floor`. Nobody is told in between that it is there: an uploader has to claim it first.
    pub fn take_out(&self, digest: &Digest, seen: Place, floor: u64) -> bool {
        let pending = self.pending.lock();
        if pending.contains_key(digest) || !self.index.remove_if(digest, seen, floor) {
            return false;
        }
        let mut away = None;
        if matches!(seen, Place::File(_)) {
            let (path, temp) = (self.folder.blob(digest), self.folder.temp());
            match fs::rename(&path, &temp) {
                Ok(()) => away = Some(temp),
                // Failing costs space, not truth: it is hashed again at the next start.
                Err(_) => drop(fs::remove_file(&path)),
            }
        }
        drop(pending);
        // Freeing a large file takes a while.
        if let Some(path) = away {
            let _ = fs::remove_file(path);
        }
        true
    }

    /// Writes the checkpoint as of `position`, which the caller keeps from moving; whether it was written.
    pub fn checkpoint(&self, position: Position) -> bool {
        let written = checkpoint::write(&self.folder, &self.index, position, &self.uses.save());
        if let Err(error) = &written {
            tracing::warn!(%error, "no checkpoint was written; ignoring, the next start reads more");
        }
        written.is_ok()
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
    /// Bytes of large blobs recorded since the last checkpoint.
    large: u64,
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

/// Reads what follows the checkpoint's position into its index. The last segment is cut after its
/// last valid record. The large blobs that are recorded there.
pub fn replay(
    folder: &Folder,
    segments: &BTreeMap<u64, u64>,
    checkpoint: &mut Checkpoint,
) -> Result<Vec<Digest>, StoreError> {
    let last = segments.keys().next_back().copied();
    let (index, position) = (&checkpoint.index, checkpoint.position);
    let used = &mut checkpoint.saved.counter;
    let mut large = Vec::new();
    for (&number, &length) in segments.range(position.number..) {
        let from = if number == position.number { position.offset } else { FILE_HEAD as u64 };
        if length < from {
            continue;
        }
        let path = folder.segment(number);
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(StoreError::io("open a segment"))?;
        let mut window = Window::new(&file)?;
        let end = window.records(from, |offset, header, payload| {
            *used += 1;
            match header.kind {
                Kind::Blob => {
                    let place = Place::Segment { number, offset: offset + RECORD_HEADER as u64 };
                    index.insert(header.digest, place, *used);
                }
                Kind::File => {
                    if let Some(stamp) = Stamp::decode(payload) {
                        index.insert(header.digest, Place::File(stamp), *used);
                        large.push(header.digest);
                    }
                }
                Kind::Gone => {
                    index.remove(&header.digest);
                }
                Kind::Action | Kind::Crate | Kind::Forget => {}
            }
        })?;
        if end < length && Some(number) == last {
            tracing::info!(segment = number, bytes = length - end, "cut an unfinished end off a segment");
            file.set_len(end).map_err(StoreError::io("cut a segment"))?;
        }
    }
    Ok(large)
}

impl Writer {
    /// Goes on with the last segment, or begins the first one.
    pub fn open(common: Arc<Common>, last: Option<u64>) -> Result<Self, StoreError> {
        let writer =
            |file, number, tail| Writer { common: common.clone(), file, number, tail, spoiled: Spoiled::No, large: 0 };
        if let Some(number) = last {
            let file = OpenOptions::new()
                .write(true)
                .open(common.folder.segment(number))
                .map_err(StoreError::io("open a segment"))?;
            let length = file.metadata().map_err(StoreError::io("stat a segment"))?.len();
            if length >= FILE_HEAD as u64 && length % 8 == 0 {
                // What was read back may be in memory only: durable before anything is promised on it.
                file.sync_all().map_err(StoreError::io("sync a segment"))?;
                if let Some(segment) = common.write_segments().get_mut(&number) {
                    segment.length = length;
                }
                return Ok(writer(file, number, length));
            }
        }
        let number = last.unwrap_or(0) + 1;
        let file = begin(&common, number)?;
        Ok(writer(file, number, FILE_HEAD as u64))
    }

    /// Makes a group durable, enters it into the index and acknowledges it.
    pub fn commit(&mut self, mut group: Vec<Job<Vec<Append>>>) {
        for job in &mut group {
            // First out of service, then recorded: who uploads it anew meanwhile comes after the record.
            job.work.retain(|append| match append.body {
                Body::Gone(seen) => self.common.take_out(&append.digest, seen, u64::MAX),
                _ => true,
            });
        }
        let result = self.append(&group);
        let now = self.common.uses.tick();
        let common = self.common.clone();
        let mut pending = common.pending.lock();
        for (append, offset) in group.iter().flat_map(|job| &job.work).zip(result.as_deref().unwrap_or_default()) {
            self.enter(append, *offset, now);
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
        if self.large >= CHECKPOINT_BYTES {
            self.large = 0;
            self.common.checkpoint(self.position());
        }
        self.common.growth.grew();
    }

    /// Closes the current segment, so that it can be compacted.
    pub fn close_segment(&mut self) -> Result<(), StoreError> {
        if self.tail > FILE_HEAD as u64 { self.next_segment() } else { Ok(()) }
    }

    /// Everything up to here is durable and in the index.
    pub fn position(&self) -> Position {
        Position { number: self.number, offset: self.tail }
    }

    fn enter(&mut self, append: &Append, offset: u64, now: u64) {
        let place = Place::Segment { number: self.number, offset: offset + RECORD_HEADER as u64 };
        match &append.body {
            Body::Blob(_) => self.common.index.insert(append.digest, place, now),
            Body::Moved(_, seen) => self.common.index.replace(&append.digest, *seen, place),
            Body::File(_) => self.large += append.digest.size(),
            Body::Gone(_) => {}
        }
    }

    /// Writes and syncs a group; the offset of each record.
    fn append(&mut self, group: &[Job<Vec<Append>>]) -> Result<Vec<u64>, StoreError> {
        if self.spoiled == Spoiled::Yes || self.tail >= self.common.limits.segment_bytes {
            self.next_segment()?;
        }
        if group.iter().all(|job| job.work.is_empty()) {
            return Ok(Vec::new());
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
        if let Some(segment) = self.common.write_segments().get_mut(&self.number) {
            segment.length = self.tail;
        }
        Ok(offsets)
    }

    fn next_segment(&mut self) -> Result<(), StoreError> {
        let number = self.number + 1;
        self.file = begin(&self.common, number)?;
        self.number = number;
        self.tail = FILE_HEAD as u64;
        self.spoiled = Spoiled::No;
        self.large = 0;
        self.common.checkpoint(self.position());
        Ok(())
    }
}

impl Append {
    fn kind(&self) -> Kind {
        match self.body {
            Body::Blob(_) | Body::Moved(..) => Kind::Blob,
            Body::File(_) => Kind::File,
            Body::Gone(_) => Kind::Gone,
        }
    }

    fn payload(&self) -> &[u8] {
        match &self.body {
            Body::Blob(bytes) | Body::Moved(bytes, _) => bytes,
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
    common.write_segments().insert(number, Segment { file: Arc::new(reader), length: FILE_HEAD as u64 });
    Ok(file)
}
