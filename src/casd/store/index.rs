//! Where each blob lies, in memory: the answer to every look-up without touching a file.
//! Rebuilt at start by `scan` and `checkpoint`; never the only copy of anything.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasherDefault, Hasher},
    sync::{
        PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use shared::digest::Digest;

use super::format::{Stamp, padded};

/// Where a blob lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a segment; the offset is the payload's.
    Segment { number: u64, offset: u64 },
    /// A file of its own, as it was when it was stored.
    File(Stamp),
}

/// Digests are hashes already: fold instead of hashing them again. Only verified blobs are
/// entered, so a client cannot aim at one bucket.
#[derive(Default)]
pub struct Fold(u64);

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = self.0.rotate_left(5) ^ u64::from_le_bytes(word);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = self.0.rotate_left(5) ^ word;
    }

    // The hash map asks for a slice's length and an enum's tag: they say nothing here.
    fn write_usize(&mut self, _: usize) {}

    fn write_isize(&mut self, tag: isize) {
        self.0 ^= tag as u64;
    }
}

/// A map by digest.
pub type DigestMap<V> = HashMap<Digest, V, BuildHasherDefault<Fold>>;

/// One blob.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub digest: Digest,
    pub place: Place,
    /// The number of its last use.
    pub used: u64,
}

struct Known {
    place: Place,
    used: AtomicU64,
}

#[derive(Default)]
struct Inner {
    places: DigestMap<Known>,
    sums: Sums,
    /// Bytes of records that count, by segment.
    live: BTreeMap<u64, u64>,
}

/// What the index adds up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub blobs: u64,
    /// Bytes of the blobs themselves.
    pub bytes: u64,
    /// Files of their own, and what they take on disk.
    pub files: u64,
    pub file_bytes: u64,
    /// What counts in the segments, heads of records included.
    pub segment_bytes: u64,
}

/// The index, shared by all threads.
#[derive(Default)]
pub struct Index(RwLock<Inner>);

impl Index {
    /// Where a blob lies, without using it.
    pub fn peek(&self, digest: &Digest) -> Option<Place> {
        self.read().places.get(digest).map(|known| known.place)
    }

    /// Where a blob lies; that is a use of it.
    pub fn get(&self, digest: &Digest, now: u64) -> Option<Place> {
        let inner = self.read();
        let known = inner.places.get(digest)?;
        known.used.fetch_max(now, Ordering::Relaxed);
        Some(known.place)
    }

    pub fn insert(&self, digest: Digest, place: Place, used: u64) {
        self.write().insert(digest, place, used);
    }

    pub fn remove(&self, digest: &Digest) -> Option<Place> {
        self.write().remove(digest)
    }

    /// Takes a blob out if it still lies where the caller saw it, and was not used after `floor`.
    pub fn remove_if(&self, digest: &Digest, seen: Place, floor: u64) -> bool {
        let mut inner = self.write();
        let known = inner.places.get(digest);
        if known.is_none_or(|known| known.place != seen || known.used.load(Ordering::Relaxed) > floor) {
            return false;
        }
        inner.remove(digest).is_some()
    }

    /// A blob was copied: it lies at `place` now, if it still was where it was seen.
    pub fn replace(&self, digest: &Digest, seen: Place, place: Place) {
        let mut inner = self.write();
        let known = inner.places.get(digest);
        if let Some(used) = known.filter(|known| known.place == seen).map(|known| known.used.load(Ordering::Relaxed)) {
            inner.insert(*digest, place, used);
        }
    }

    /// Those that are not there; the others are used.
    pub fn find_missing(&self, digests: &[Digest], now: u64) -> Vec<Digest> {
        let inner = self.read();
        let is_missing = |digest: &&Digest| match inner.places.get(*digest) {
            Some(known) => {
                known.used.fetch_max(now, Ordering::Relaxed);
                false
            }
            None => !digest.is_empty(),
        };
        digests.iter().filter(is_missing).copied().collect()
    }

    /// When the one of `digests` that was used longest ago was used; `None` where one is missing.
    pub fn oldest_use(&self, digests: &[Digest]) -> Option<u64> {
        let inner = self.read();
        let present = digests.iter().filter(|digest| !digest.is_empty());
        present
            .map(|digest| Some(inner.places.get(digest)?.used.load(Ordering::Relaxed)))
            .try_fold(u64::MAX, |a, b| Some(a.min(b?)))
    }

    pub fn sums(&self) -> Sums {
        self.read().sums
    }

    /// Bytes of records that count in each segment that has any.
    pub fn live(&self) -> BTreeMap<u64, u64> {
        self.read().live.clone()
    }

    /// Bytes of the blobs that were used after `floor`.
    pub fn bytes_since(&self, floor: u64) -> u64 {
        let inner = self.read();
        let since = inner.places.iter().filter(|(_, known)| known.used.load(Ordering::Relaxed) > floor);
        since.map(|(digest, _)| digest.size()).sum()
    }

    /// Blobs that were used at or before `floor`, least recently used first.
    pub fn unused_since(&self, floor: u64) -> Vec<Entry> {
        let mut entries = self.entries_where(|_, used| used <= floor);
        entries.sort_unstable_by_key(|entry| entry.used);
        entries
    }

    /// The blobs of one segment, in the order in which they lie there.
    pub fn of_segment(&self, wanted: u64) -> Vec<Entry> {
        let mut entries =
            self.entries_where(|place, _| matches!(place, Place::Segment { number, .. } if number == wanted));
        entries.sort_unstable_by_key(|entry| match entry.place {
            Place::Segment { offset, .. } => offset,
            Place::File(_) => 0,
        });
        entries
    }

    /// All entries at one instant.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries_where(|_, _| true)
    }

    fn entries_where(&self, wanted: impl Fn(Place, u64) -> bool) -> Vec<Entry> {
        let inner = self.read();
        let entry = |(digest, known): (&Digest, &Known)| {
            let used = known.used.load(Ordering::Relaxed);
            wanted(known.place, used).then_some(Entry { digest: *digest, place: known.place, used })
        };
        inner.places.iter().filter_map(entry).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn insert(&mut self, digest: Digest, place: Place, used: u64) {
        let before = self.places.get(&digest).map(|known| known.used.load(Ordering::Relaxed));
        if before.is_some() {
            self.remove(&digest);
        }
        self.places.insert(digest, Known { place, used: AtomicU64::new(used.max(before.unwrap_or(0))) });
        self.sums.blobs += 1;
        self.sums.bytes += digest.size();
        match place {
            Place::Segment { number, .. } => {
                *self.live.entry(number).or_default() += record_bytes(&digest);
                self.sums.segment_bytes += record_bytes(&digest);
            }
            Place::File(_) => {
                self.sums.files += 1;
                self.sums.file_bytes += file_bytes(&digest);
            }
        }
    }

    fn remove(&mut self, digest: &Digest) -> Option<Place> {
        let place = self.places.remove(digest)?.place;
        self.sums.blobs -= 1;
        self.sums.bytes -= digest.size();
        match place {
            Place::Segment { number, .. } => {
                if let Some(live) = self.live.get_mut(&number) {
                    *live -= record_bytes(digest);
                }
                self.sums.segment_bytes -= record_bytes(digest);
            }
            Place::File(_) => {
                self.sums.files -= 1;
                self.sums.file_bytes -= file_bytes(digest);
            }
        }
        Some(place)
    }
}

/// What a small blob takes of its segment.
pub fn record_bytes(digest: &Digest) -> u64 {
    padded(usize::try_from(digest.size()).unwrap_or(usize::MAX >> 1)) as u64
}

/// What a large blob takes of the file system, near enough.
pub fn file_bytes(digest: &Digest) -> u64 {
    digest.size().next_multiple_of(4096)
}
