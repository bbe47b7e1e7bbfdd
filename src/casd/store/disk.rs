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
    checkpoint::{self, Position},
    commit::{Committer, Ticket},
    files::{self, Large, Temp},
    folder::Folder,
    format::{FILE_HEAD, Stamp},
    index::{Index, Place},
    segments::{self, Append, Body, Common, Writer},
    upload::{Upload, Whole},
};

/// Largest blob taken: what a file system can hold and an i64 can say.
const MAX_BLOB_BYTES: u64 = 1 << 40;

/// A store in one folder, alone with it.
pub struct Disk {
    common: Arc<Common>,
    segments: Arc<Committer<Vec<Append>>>,
    files: Committer<Large>,
    writer: Arc<Mutex<Writer>>,
}

impl Disk {
    /// Opens the store in `path`, or begins one: FORMAT.md, "Start".
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let folder = Folder::open(path)?;
        let numbers = segments::list(&folder)?;
        let first = Position { number: 0, offset: FILE_HEAD as u64 };
        let (index, position) = checkpoint::load(&folder, &numbers).unwrap_or_else(|| (Index::default(), first));
        segments::replay(&folder, &index, &numbers, position)?;
        let mut readers = BTreeMap::new();
        for number in numbers.keys() {
            let file = File::open(folder.segment(*number)).map_err(StoreError::io("open a segment"))?;
            readers.insert(*number, Arc::new(file));
        }
        let common = Arc::new(Common { folder, index, pending: Default::default(), readers: RwLock::new(readers) });
        let found = files::reconcile(&common)?;

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
        Ok(Disk { common, segments, files, writer })
    }

    /// The folder and its lock.
    pub fn folder(&self) -> &Folder {
        &self.common.folder
    }

    /// Finishes what waits and writes a checkpoint, so that the next start is quick.
    pub fn close(&self) {
        self.files.close();
        self.segments.close();
        let position = self.writer.lock().unwrap_or_else(PoisonError::into_inner).position();
        if let Err(error) = checkpoint::write(&self.common.folder, &self.common.index, position) {
            tracing::warn!(%error, "no checkpoint was written; ignoring, the next start reads more");
        }
    }

    /// The ticket to wait for, and whether the caller has to submit the blob under it.
    /// `None`: it is there already.
    fn claim(&self, digest: &Digest, fresh: &Ticket) -> Option<(Ticket, Claim)> {
        let mut pending = self.common.pending.lock();
        if self.common.index.get(digest).is_some() || digest.is_empty() {
            return None;
        }
        if let Some(ticket) = pending.get(digest) {
            return Some((ticket.clone(), Claim::Waits));
        }
        pending.insert(*digest, fresh.clone());
        Some((fresh.clone(), Claim::Mine))
    }

    fn submit_large(&self, large: Large) -> Option<Ticket> {
        let (ticket, claim) = self.claim(&large.digest, &Ticket::default())?;
        if claim == Claim::Mine {
            self.files.submit(large, ticket.clone());
        }
        Some(ticket)
    }

    /// Stores blobs whose digests have been compared; the tickets to wait for.
    fn submit_all(&self, blobs: Vec<(Digest, Vec<u8>)>) -> Vec<Result<Option<Ticket>, StoreError>> {
        let group = Ticket::default();
        let mut appends = Vec::new();
        let mut tickets = Vec::with_capacity(blobs.len());
        for (digest, bytes) in blobs {
            if digest.size() > SMALL_BLOB_BYTES {
                tickets.push(self.write_large(digest, &bytes).map(|large| self.submit_large(large)));
                continue;
            }
            let claim = self.claim(&digest, &group);
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

    /// Takes a damaged blob out, so that the next upload mends it.
    fn drop_damaged(&self, digest: &Digest, seen: Place) -> Result<Option<Blob>, StoreError> {
        tracing::error!(%digest, ?seen, "a blob is damaged on disk and was dropped");
        self.forget(*digest, seen)?;
        Ok(None)
    }

    fn forget(&self, digest: Digest, seen: Place) -> Result<(), StoreError> {
        let ticket = Ticket::default();
        self.segments.submit(vec![Append { digest, body: Body::Gone(seen) }], ticket.clone());
        ticket.wait()
    }

    fn get_small(&self, digest: &Digest, seen: Place, number: u64, offset: u64) -> Result<Option<Blob>, StoreError> {
        let Some(file) = self.common.reader(number) else { return self.drop_damaged(digest, seen) };
        // The index holds only sizes up to SMALL_BLOB_BYTES for segments.
        let mut bytes = vec![0; digest.size() as usize];
        match file.read_exact_at(&mut bytes, offset) {
            Ok(()) if Digest::of(digest.function(), &bytes) == *digest => {
                Ok(Some(Blob::small(bytes, Some((file, offset)))))
            }
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(StoreError::io("read a blob")(error)),
            _ => self.drop_damaged(digest, seen),
        }
    }

    fn get_large(&self, digest: &Digest, seen: Place, stamp: Stamp) -> Result<Option<Blob>, StoreError> {
        let file = match File::open(self.common.folder.blob(digest)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.drop_damaged(digest, seen),
            Err(error) => return Err(StoreError::io("open a blob")(error)),
        };
        let meta = file.metadata().map_err(StoreError::io("stat a blob"))?;
        let now = Stamp::of(&meta);
        if now != stamp || meta.len() != digest.size() {
            if files::hash(&file, digest.function()).map_err(StoreError::io("read a blob"))? != *digest {
                return self.drop_damaged(digest, seen);
            }
            self.common.index.insert(*digest, Place::File(now));
            self.segments.submit(vec![Append { digest: *digest, body: Body::File(now) }], Ticket::default());
        }
        Ok(Some(Blob::large(file, digest.size())))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    Mine,
    Waits,
}

impl Store for Disk {
    fn get(&self, digest: &Digest) -> Result<Option<Blob>, StoreError> {
        match self.common.index.get(digest) {
            Some(seen @ Place::Segment { number, offset }) => self.get_small(digest, seen, number, offset),
            Some(seen @ Place::File(stamp)) => self.get_large(digest, seen, stamp),
            None => Ok(digest.is_empty().then(|| Blob::small(Vec::new(), None))),
        }
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
        let mut tickets = self.submit_all(good).into_iter();
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
            let wait = if size > MAX_BLOB_BYTES {
                Err(StoreError::TooLarge(size))
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
        Upload::begin(&self.common.folder, expected)
    }

    fn finish(&self, upload: Upload) -> Result<(), StoreError> {
        match upload.end()? {
            Whole::Small(digest, bytes) => self.put(vec![(digest, bytes)]).pop().unwrap_or(Ok(())),
            Whole::Large(large) => self.submit_large(large).map_or(Ok(()), |ticket| ticket.wait()),
        }
    }

    fn find_missing(&self, digests: &[Digest]) -> Vec<Digest> {
        self.common.index.find_missing(digests)
    }

    fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        match self.common.index.get(digest) {
            Some(seen) => self.forget(*digest, seen),
            None => Ok(()),
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { functions: &[Function::Sha256, Function::Blake3], max_blob_bytes: MAX_BLOB_BYTES }
    }

    fn totals(&self) -> Totals {
        self.common.index.totals()
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
