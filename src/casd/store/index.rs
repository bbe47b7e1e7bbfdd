//! Where each blob lies, in memory: the answer to every look-up without touching a file.
//! Rebuilt at start by `scan` and `checkpoint`; never the only copy of anything.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use shared::digest::Digest;

use super::{api::Totals, format::Stamp};

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

#[derive(Default)]
struct Inner {
    places: DigestMap<Place>,
    bytes: u64,
}

/// The index, shared by all threads.
#[derive(Default)]
pub struct Index(RwLock<Inner>);

impl Index {
    pub fn get(&self, digest: &Digest) -> Option<Place> {
        self.read().places.get(digest).copied()
    }

    pub fn insert(&self, digest: Digest, place: Place) {
        let mut inner = self.write();
        if inner.places.insert(digest, place).is_none() {
            inner.bytes += digest.size();
        }
    }

    pub fn remove(&self, digest: &Digest) -> Option<Place> {
        let mut inner = self.write();
        let place = inner.places.remove(digest)?;
        inner.bytes -= digest.size();
        Some(place)
    }

    /// Takes a blob out if it still lies where the caller saw it damaged.
    pub fn remove_if(&self, digest: &Digest, seen: Place) -> bool {
        let mut inner = self.write();
        if inner.places.get(digest) != Some(&seen) {
            return false;
        }
        inner.places.remove(digest);
        inner.bytes -= digest.size();
        true
    }

    pub fn find_missing(&self, digests: &[Digest]) -> Vec<Digest> {
        let inner = self.read();
        digests.iter().filter(|digest| !inner.places.contains_key(digest) && !digest.is_empty()).copied().collect()
    }

    pub fn totals(&self) -> Totals {
        let inner = self.read();
        Totals { blobs: inner.places.len() as u64, bytes: inner.bytes }
    }

    /// All entries at one instant.
    pub fn entries(&self) -> Vec<(Digest, Place)> {
        self.read().places.iter().map(|(digest, place)| (*digest, *place)).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
