//! The store on disk: keeps the promise of `api` with segments, files and the index (FORMAT.md).

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use shared::{
    digest::{Digest, Function},
    limits::SMALL_BLOB_BYTES,
};

use super::{
    api::{Blob, Capabilities, Store, StoreError, Totals},
    checkpoint,
    commit::{Committer, Ticket},
    evict::{Evicting, file_count},
    files::{self, Large, Temp},
    folder::{Ending, Folder},
    format::Stamp,
    index::Place,
    segments::{self, Append, Body, Common, Segment, Writer},
    space::Limits,
    upload::{Upload, Whole},
    uses::{Left, Uses},
};

/// Largest blob taken: what a file system can hold and an i64 can say.
const MAX_BLOB_BYTES: u64 = 1 << 40;

/// A store in one folder, alone with it.
pub struct Disk {
    pub(super) common: Arc<Common>,
    pub(super) segments: Arc<Committer<Vec<Append>>>,
    files: Committer<Large>,
    pub(super) writer: Arc<Mutex<Writer>>,
    pub(super) evicting: Evicting,
}

impl Disk {
    /// Opens the store in `path`, or begins one: FORMAT.md, "Start".
    pub fn open(path: &Path, limits: Limits) -> Result<Self, StoreError> {
        let folder = Folder::open(path)?;
        let numbers = segments::list(&folder)?;
        let loaded = checkpoint::load(&folder, &numbers);
        let clean = folder.ending == Ending::Clean && (loaded.is_some() || numbers.is_empty());
        let left = if clean { Left::Clean } else { Left::Unclean };
        let mut checkpoint = loaded.unwrap_or_default();
        let saved = checkpoint.saved.clone();
        let recorded = segments::replay(&folder, &numbers, &mut checkpoint)?;
        let doubtful = if folder.ending == Ending::PowerCut { recorded } else { Vec::new() };
        let mut files = BTreeMap::new();
        for (number, length) in &numbers {
            let file = File::open(folder.segment(*number)).map_err(StoreError::io("open a segment"))?;
            files.insert(*number, Segment { file: Arc::new(file), length: *length });
        }
        let evicting = Evicting::new(limits.budget);
        let common = Arc::new(Common {
            uses: Uses::resume(&saved, checkpoint.saved.counter, left, limits.lease),
            index: checkpoint.index,
            segments: RwLock::new(files),
            folder,
            limits,
            pending: Default::default(),
            growth: Default::default(),
        });
        let found = files::reconcile(&common, &doubtful)?;

        let writer = Arc::new(Mutex::new(Writer::open(common.clone(), numbers.keys().next_back().copied())?));
        let owner = writer.clone();
        let segments = Arc::new(Committer::start("segments", move |group| {
            owner.lock().unwrap_or_else(PoisonError::into_inner).commit(group);
        })?);
        let (to_segments, shared) = (segments.clone(), common.clone());
        let files = Committer::start("files", move |group| files::commit(&shared, &to_segments, group))?;
        if !found.is_empty() {
            segments.submit(found, Ticket::default());
        }
        Ok(Disk { common, segments, files, writer, evicting })
    }

    /// The folder and its lock.
    pub fn folder(&self) -> &Folder {
        &self.common.folder
    }

    /// Finishes what waits and writes a checkpoint, so that the next start is quick.
    pub fn close(&self) {
        self.files.close();
        self.segments.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if self.common.checkpoint(writer.position())
            && let Err(error) = self.common.folder.leave()
        {
            tracing::warn!(%error, "the store still counts as in use; ignoring, the next start is careful");
        }
    }

    /// Leases what is leased now and what is used from now on, until the answer is dropped.
    pub fn hold(&self) -> Hold {
        Hold { number: self.common.uses.hold(), common: self.common.clone() }
    }

    /// Calls `whom` after everything that makes the store grow.
    pub fn tell_growth(&self, whom: Box<dyn Fn() + Send + Sync>) {
        self.common.growth.tell(whom);
    }

    /// The ticket to wait for, and whether the caller has to submit the blob under it.
    /// `None`: it is there already.
    fn claim(&self, digest: &Digest, fresh: &Ticket, now: u64) -> Option<(Ticket, Claim)> {
        let mut pending = self.common.pending.lock();
        if self.common.index.get(digest, now).is_some() || digest.is_empty() {
            return None;
        }
        if let Some(ticket) = pending.get(digest) {
            return Some((ticket.clone(), Claim::Waits));
        }
        pending.insert(*digest, fresh.clone());
        Some((fresh.clone(), Claim::Mine))
    }

    /// What a full disk answers: what is there needs no room.
    fn only_if_there(&self, digest: &Digest, full: &StoreError) -> Result<Option<Ticket>, StoreError> {
        let there = digest.is_empty() || self.common.index.get(digest, self.common.uses.tick()).is_some();
        if there { Ok(None) } else { Err(full.clone()) }
    }

    fn submit_large(&self, large: Large) -> Option<Ticket> {
        let (ticket, claim) = self.claim(&large.digest, &Ticket::default(), self.common.uses.tick())?;
        if claim == Claim::Mine {
            self.files.submit(large, ticket.clone());
        }
        Some(ticket)
    }

    /// Stores blobs whose digests have been compared; the tickets to wait for.
    fn submit_all(&self, blobs: Vec<(Digest, Vec<u8>)>) -> Vec<Result<Option<Ticket>, StoreError>> {
        let (group, now) = (Ticket::default(), self.common.uses.tick());
        let mut appends = Vec::new();
        let mut tickets = Vec::with_capacity(blobs.len());
        for (digest, bytes) in blobs {
            if digest.size() > SMALL_BLOB_BYTES {
                tickets.push(self.write_large(digest, &bytes).map(|large| self.submit_large(large)));
                continue;
            }
            let claim = self.claim(&digest, &group, now);
            if let Some((_, Claim::Mine)) = claim {
                appends.push(Append { digest, body: Body::Blob(bytes) });
            }
            tickets.push(Ok(claim.map(|(ticket, _)| ticket)));
        }
        if !appends.is_empty() {
            self.segments.submit(appends, group);
        }
        tickets
    }

    fn write_large(&self, digest: Digest, bytes: &[u8]) -> Result<Large, StoreError> {
        let write = || -> io::Result<Temp> {
            let temp = Temp::new(&self.common.folder)?;
            temp.file.write_all_at(bytes, 0)?;
            Ok(temp)
        };
        Ok(Large { digest, temp: write().map_err(StoreError::io("write a blob"))? })
    }

    /// Takes a damaged blob out, so that the next upload mends it. Nothing is damaged when it only
    /// moved, or was evicted, since it was seen.
    pub(super) fn drop_damaged(&self, digest: &Digest, seen: Place) -> Result<Found, StoreError> {
        if self.common.index.peek(digest) != Some(seen) {
            return Ok(Found::Elsewhere);
        }
        tracing::error!(%digest, ?seen, "a blob is damaged on disk and was dropped");
        self.forget(*digest, seen)?;
        Ok(Found::Damaged)
    }

    fn forget(&self, digest: Digest, seen: Place) -> Result<(), StoreError> {
        let ticket = Ticket::default();
        self.segments.submit(vec![Append { digest, body: Body::Gone(seen) }], ticket.clone());
        ticket.wait()
    }

    /// Reads a blob where it was seen. Its bytes are right; a file's are unless somebody wrote to it
    /// and turned its clock back, which only a `Look::Whole` finds.
    pub(super) fn look(&self, digest: &Digest, seen: Place, look: Look) -> Result<Found, StoreError> {
        match seen {
            Place::Segment { number, offset } => self.look_small(digest, seen, number, offset),
            Place::File(stamp) => self.look_large(digest, seen, stamp, look),
        }
    }

    fn look_small(&self, digest: &Digest, seen: Place, number: u64, offset: u64) -> Result<Found, StoreError> {
        let Some(file) = self.common.reader(number) else { return self.drop_damaged(digest, seen) };
        // The index holds only sizes up to SMALL_BLOB_BYTES for segments.
        let mut bytes = vec![0; digest.size() as usize];
        match file.read_exact_at(&mut bytes, offset) {
            Ok(()) if Digest::of(digest.function(), &bytes) == *digest => {
                Ok(Found::Whole(Blob::small(bytes, Some((file, offset)))))
            }
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(StoreError::io("read a blob")(error)),
            _ => self.drop_damaged(digest, seen),
        }
    }

    fn look_large(&self, digest: &Digest, seen: Place, stamp: Stamp, look: Look) -> Result<Found, StoreError> {
        let file = match File::open(self.common.folder.blob(digest)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.drop_damaged(digest, seen),
            Err(error) => return Err(StoreError::io("open a blob")(error)),
        };
        let meta = file.metadata().map_err(StoreError::io("stat a blob"))?;
        let now = Stamp::of(&meta);
        let changed = now != stamp || meta.len() != digest.size();
        if changed || look == Look::Whole {
            if files::hash(&file, digest.function()).map_err(StoreError::io("read a blob"))? != *digest {
                return self.drop_damaged(digest, seen);
            }
            if changed {
                self.common.index.replace(digest, seen, Place::File(now));
                self.segments.submit(vec![Append { digest: *digest, body: Body::File(now) }], Ticket::default());
            }
        }
        Ok(Found::Whole(Blob::large(file, digest.size())))
    }
}

/// How closely a blob is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// A file whose stamp is as it was is believed.
    Stamp,
    /// Everything is hashed.
    Whole,
}

/// What was found where a blob was seen.
pub(super) enum Found {
    Whole(Blob),
    /// It was taken out of service.
    Damaged,
    /// It is not there any more, or not in that place.
    Elsewhere,
}

/// A lease of everything in use; dropped, it ends.
pub struct Hold {
    number: u64,
    common: Arc<Common>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.common.uses.release(self.number);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    Mine,
    Waits,
}

impl Store for Disk {
    fn get(&self, digest: &Digest) -> Result<Option<Blob>, StoreError> {
        let now = self.common.uses.tick();
        while let Some(seen) = self.common.index.get(digest, now) {
            match self.look(digest, seen, Look::Stamp)? {
                Found::Whole(blob) => return Ok(Some(blob)),
                Found::Damaged => return Ok(None),
                Found::Elsewhere => {}
            }
        }
        Ok(digest.is_empty().then(|| Blob::small(Vec::new(), None)))
    }

    fn put(&self, blobs: Vec<(Digest, Vec<u8>)>) -> Vec<Result<(), StoreError>> {
        let mut results = Vec::with_capacity(blobs.len());
        let mut good = Vec::with_capacity(blobs.len());
        for (expected, bytes) in blobs {
            let actual = Digest::of(expected.function(), &bytes);
            if actual == expected {
                good.push((expected, bytes));
                results.push(Ok(()));
            } else {
                results.push(Err(StoreError::Mismatch { expected, actual }));
            }
        }
        let room = self.room_for(good.iter().map(|(digest, _)| digest));
        let mut tickets = match &room {
            Ok(()) => self.submit_all(good),
            Err(full) => good.iter().map(|(digest, _)| self.only_if_there(digest, full)).collect(),
        }
        .into_iter();
        for result in results.iter_mut().filter(|result| result.is_ok()) {
            *result = match tickets.next() {
                Some(Ok(Some(ticket))) => ticket.wait(),
                Some(Ok(None)) | None => Ok(()),
                Some(Err(error)) => Err(error),
            };
        }
        results
    }

    fn put_files(&self, function: Function, files: Vec<(File, u64)>) -> Vec<Result<Digest, StoreError>> {
        let mut small = Vec::new();
        let mut waits = Vec::with_capacity(files.len());
        for (file, size) in files {
            let room = self.room(size, file_count(size));
            let wait = if size > MAX_BLOB_BYTES {
                Err(StoreError::TooLarge(size))
            } else if let Err(full) = room {
                Err(full)
            } else if size > SMALL_BLOB_BYTES {
                files::copy(&self.common.folder, &file, size, function)
                    .map(|large| (large.digest, self.submit_large(large)))
            } else {
                let mut bytes = vec![0; size as usize];
                match file.read_exact_at(&mut bytes, 0) {
                    Ok(()) => {
                        let digest = Digest::of(function, &bytes);
                        small.push((digest, bytes));
                        Ok((digest, None))
                    }
                    Err(error) => Err(StoreError::io("read a file")(error)),
                }
            };
            waits.push(wait);
        }
        let mut tickets = self.submit_all(small).into_iter();
        let mut results = Vec::with_capacity(waits.len());
        for wait in waits {
            results.push(wait.and_then(|(digest, ticket)| {
                let ticket =
                    if digest.size() > SMALL_BLOB_BYTES { ticket } else { tickets.next().transpose()?.flatten() };
                ticket.map_or(Ok(()), |ticket| ticket.wait()).map(|()| digest)
            }));
        }
        results
    }

    fn upload(&self, expected: Digest) -> Result<Upload, StoreError> {
        if expected.size() > MAX_BLOB_BYTES {
            return Err(StoreError::TooLarge(expected.size()));
        }
        self.room(expected.size(), file_count(expected.size()))?;
        Upload::begin(&self.common.folder, expected)
    }

    fn finish(&self, upload: Upload) -> Result<(), StoreError> {
        match upload.end()? {
            Whole::Small(digest, bytes) => self.put(vec![(digest, bytes)]).pop().unwrap_or(Ok(())),
            Whole::Large(large) => self.submit_large(large).map_or(Ok(()), |ticket| ticket.wait()),
        }
    }

    fn find_missing(&self, digests: &[Digest]) -> Vec<Digest> {
        self.common.index.find_missing(digests, self.common.uses.tick())
    }

    fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        match self.common.index.peek(digest) {
            Some(seen) => self.forget(*digest, seen),
            None => Ok(()),
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { functions: &[Function::Sha256, Function::Blake3], max_blob_bytes: MAX_BLOB_BYTES }
    }

    fn totals(&self) -> Totals {
        let sums = self.common.index.sums();
        Totals { blobs: sums.blobs, bytes: sums.bytes }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.files.close();
        self.segments.close();
    }
}

#[cfg(test)]
pub fn remove_checkpoint(path: &Path) {
    let _ = std::fs::remove_file(path.join("checkpoint"));
}
