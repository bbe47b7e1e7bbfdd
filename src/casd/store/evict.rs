//! Keeps the store within its budget and the file system above its reserve: least recently used
//! blobs go first, what is leased stays (FORMAT.md, "Uses, leases, eviction"). When that is due is
//! the keeper's; which action results go with their blobs is `actions`'.

use std::{
    fs,
    os::unix::fs::FileExt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use shared::{digest::Digest, limits::SMALL_BLOB_BYTES};

use super::{
    api::StoreError,
    commit::Ticket,
    disk::Disk,
    format::FILE_HEAD,
    index::{Entry, Place, file_bytes, record_bytes},
    segments::{Append, Body},
    space::{Lack, Room},
    sync::sync_folder,
};

/// Copied at one go while a segment is compacted.
const MOVE_BYTES: u64 = 4 << 20;
/// After an eviction that made no room, writes are refused at once for so long.
const FUTILE: Duration = Duration::from_secs(1);
/// The store is brought to so many hundredths of its budget, so that not each write evicts.
const KEEP_PERCENT: u64 = 90;

/// When an eviction made too little room, and how many bytes were lacking.
type Futile = (Instant, u64);

/// One eviction at a time, and what bounds it.
pub struct Evicting {
    /// `u64::MAX`: none was named.
    budget: AtomicU64,
    /// The last eviction that made too little room.
    futile: Mutex<Option<Futile>>,
}

impl Evicting {
    pub fn new(budget: Option<u64>) -> Self {
        Evicting { budget: AtomicU64::new(budget.unwrap_or(u64::MAX)), futile: Mutex::new(None) }
    }
}

/// What was evicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evicted {
    pub blobs: u64,
    pub bytes: u64,
    /// Bytes that the store takes less on disk.
    pub freed: u64,
    /// Segments that were compacted.
    pub segments: u64,
}

/// What a store is made of; sizes in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shape {
    pub blobs: u64,
    pub blob_bytes: u64,
    pub files: u64,
    pub file_bytes: u64,
    pub segments: u64,
    pub segment_bytes: u64,
    /// What does not count any more in the segments.
    pub dead_bytes: u64,
    /// Blobs that may not be evicted now.
    pub leased_bytes: u64,
    /// Clients that hold a lease.
    pub holds: u64,
    /// Of the file system.
    pub free: u64,
    pub reserve: u64,
}

impl Disk {
    /// Bytes that the store may take on disk.
    pub fn budget(&self) -> u64 {
        match self.evicting.budget.load(Ordering::Relaxed) {
            u64::MAX => self.room_now().map_or(u64::MAX, |room| room.default_budget()),
            budget => budget,
        }
    }

    /// Another budget, from the next growth on.
    pub fn set_budget(&self, budget: Option<u64>) {
        self.evicting.budget.store(budget.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Bytes that the store takes on disk.
    pub fn disk_bytes(&self) -> u64 {
        self.common.disk_bytes()
    }

    /// Brings the store back within its budget.
    pub fn keep_budget(&self) -> Evicted {
        let budget = self.budget();
        if self.disk_bytes() <= budget { Evicted::default() } else { self.collect(budget / 100 * KEEP_PERCENT) }
    }

    /// Evicts and compacts until the store takes at most `target` bytes, or all that is left is leased.
    pub fn collect(&self, target: u64) -> Evicted {
        let _alone = self.alone();
        let before = self.disk_bytes();
        let sums = self.common.index.sums();
        let excess = (sums.file_bytes + sums.segment_bytes).saturating_sub(target);
        let mut evicted = self.evict(Wanted::All, |freed| freed.bytes >= excess);
        evicted.segments = self.compact_all(|| self.disk_bytes() > target);
        evicted.freed = before.saturating_sub(self.disk_bytes());
        evicted
    }

    /// When the blob of `digests` that was used longest ago was used; `None` where one is gone.
    pub fn oldest_use(&self, digests: &[Digest]) -> Option<u64> {
        self.common.index.oldest_use(digests)
    }

    /// What the store is made of.
    pub fn shape(&self) -> Shape {
        let (sums, room, segments) = (self.common.index.sums(), self.room_now(), self.dead_segments());
        Shape {
            blobs: sums.blobs,
            blob_bytes: sums.bytes,
            files: sums.files,
            file_bytes: sums.file_bytes,
            segments: segments.len() as u64,
            segment_bytes: segments.iter().map(|segment| segment.live + segment.dead).sum(),
            dead_bytes: segments.iter().map(|segment| segment.dead).sum(),
            leased_bytes: self.common.index.bytes_since(self.common.uses.floor()),
            holds: self.common.uses.holds(),
            free: room.map_or(0, |room| room.free()),
            reserve: room.map_or(0, |room| room.reserve()),
        }
    }

    /// Sees to room for blobs, those that are there already aside.
    pub(super) fn room_for<'a>(&self, blobs: impl Iterator<Item = &'a Digest> + Clone) -> Result<(), StoreError> {
        let needs = |blobs: &mut dyn Iterator<Item = &'a Digest>| {
            blobs.fold((0, 0), |(bytes, files), digest| (bytes + digest.size(), files + file_count(digest.size())))
        };
        let (bytes, count) = needs(&mut blobs.clone());
        if self.lack(bytes, count) == Lack::NOTHING {
            return Ok(());
        }
        let (bytes, count) = needs(&mut blobs.filter(|digest| self.common.index.peek(digest).is_none()));
        self.room(bytes, count)
    }

    /// Sees to room for so many bytes and files beside the reserve: evicts where it lacks.
    pub(super) fn room(&self, bytes: u64, files: u64) -> Result<(), StoreError> {
        if bytes == 0 || self.lack(bytes, files) == Lack::NOTHING {
            return Ok(());
        }
        let mut futile = self.alone();
        let now = self.lack(bytes, files);
        let again = futile.is_none_or(|(since, lacked)| since.elapsed() >= FUTILE || now.bytes < lacked);
        if again && self.can_free() >= now.bytes {
            let (mut blobs, mut freed) = (0, 0);
            // First in order of use. Small blobs make room only with their segment: where that did not do, files go.
            for wanted in [Wanted::All, Wanted::Files] {
                let lack = self.lack(bytes, files);
                if lack == Lack::NOTHING {
                    break;
                }
                let wanted = if lack.bytes == 0 { Wanted::Files } else { wanted };
                let gone = self.make_room(wanted, lack);
                (blobs, freed) = (blobs + gone.blobs, freed + gone.bytes);
                self.compact_all(|| self.lack(bytes, 0) != Lack::NOTHING);
            }
            if blobs > 0 {
                tracing::info!(blobs, bytes = freed, "the disk is full: evicted what was used longest ago");
                self.common.growth.grew();
            }
        }
        if self.lack(bytes, files) == Lack::NOTHING {
            *futile = None;
            return Ok(());
        }
        if again {
            *futile = Some((Instant::now(), now.bytes));
        }
        let room = self.room_now();
        let (free, reserve) = room.map_or((0, 0), |room| (room.free(), room.reserve()));
        Err(StoreError::Full(format!(
            "{free} bytes are free, {bytes} are to be stored and {reserve} kept in reserve, and all blobs are in use"
        )))
    }

    /// What is on disk and not leased: where that is too little, nothing is evicted in vain.
    fn can_free(&self) -> u64 {
        let leased = self.common.index.bytes_since(self.common.uses.floor());
        self.disk_bytes().saturating_sub(leased)
    }

    /// Evicts for what lacks, and a reserve more, so that not each write has to.
    fn make_room(&self, wanted: Wanted, lack: Lack) -> Evicted {
        let more = self.room_now().map_or(0, |room| room.reserve());
        let bytes = if lack.bytes == 0 { 0 } else { lack.bytes + more };
        self.evict(wanted, |freed| freed.bytes >= bytes && freed.files >= lack.inodes)
    }

    pub(super) fn room_now(&self) -> Option<Room> {
        Room::of(self.common.folder.path()).ok()
    }

    fn lack(&self, bytes: u64, files: u64) -> Lack {
        self.room_now().map_or(Lack::NOTHING, |room| room.lacks(bytes, files))
    }

    fn alone(&self) -> MutexGuard<'_, Option<Futile>> {
        self.evicting.futile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes blobs out, least recently used first, until it is enough or the rest is leased.
    fn evict(&self, wanted: Wanted, enough: impl Fn(&Freed) -> bool) -> Evicted {
        let (mut freed, mut evicted) = (Freed::default(), Evicted::default());
        if enough(&freed) {
            return evicted;
        }
        let floor = self.common.uses.floor();
        for entry in self.common.index.unused_since(floor).iter().filter(|entry| wanted.includes(entry)) {
            if enough(&freed) {
                break;
            }
            if self.common.take_out(&entry.digest, entry.place, floor) {
                evicted.blobs += 1;
                evicted.bytes += entry.digest.size();
                freed.files += u64::from(matches!(entry.place, Place::File(_)));
                freed.bytes += match entry.place {
                    Place::File(_) => file_bytes(&entry.digest),
                    Place::Segment { .. } => record_bytes(&entry.digest),
                };
            }
        }
        evicted
    }

    /// Compacts segments of which more than half does not count, and while `more` says so others
    /// that hold anything that does not count. How many.
    fn compact_all(&self, more: impl Fn() -> bool) -> u64 {
        let worth = |segment: &Dead| segment.current && segment.dead > segment.live.min(MOVE_BYTES);
        if more() && self.dead_segments().iter().any(worth) {
            let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = writer.close_segment() {
                tracing::warn!(%error, "no new segment can be begun; ignoring, what lies in this one stays");
            }
        }
        let mut compacted = 0;
        let mut segments = self.dead_segments();
        segments.sort_by_key(|segment| segment.live);
        for segment in segments.iter().filter(|segment| !segment.current && segment.dead > 0) {
            let mostly_dead = segment.dead > segment.live;
            // Without room for the copy the attempt would end half-way, for nothing.
            let room = self.room_now().is_none_or(|room| segment.live == 0 || room.free() > segment.live + MOVE_BYTES);
            if !room || !(mostly_dead || more()) {
                continue;
            }
            match self.compact(segment.number) {
                Ok(()) => compacted += 1,
                Err(error) => {
                    tracing::warn!(segment = segment.number, %error, "a segment cannot be compacted; ignoring, it stays");
                }
            }
        }
        if compacted > 0 {
            let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            self.common.checkpoint(writer.position());
        }
        compacted
    }

    pub(super) fn dead_segments(&self) -> Vec<Dead> {
        let live = self.common.index.live();
        let segments = self.common.read_segments();
        let current = segments.keys().next_back().copied();
        let dead = segments.iter().map(|(&number, segment)| {
            let live = live.get(&number).copied().unwrap_or(0);
            let dead = segment.length.saturating_sub(FILE_HEAD as u64 + live);
            // An empty one is dead weight too.
            let dead = if live == 0 { dead.max(1) } else { dead };
            Dead { number, live, dead, current: current == Some(number) }
        });
        dead.collect()
    }

    /// Appends what counts in a segment to the last one, and removes it when nothing in it counts.
    fn compact(&self, number: u64) -> Result<(), StoreError> {
        let Some(file) = self.common.reader(number) else { return Ok(()) };
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for entry in self.common.index.of_segment(number) {
            let Place::Segment { offset, .. } = entry.place else { continue };
            let mut payload = vec![0; usize::try_from(entry.digest.size()).unwrap_or(0)];
            let read = file.read_exact_at(&mut payload, offset);
            if read.is_err() || Digest::of(entry.digest.function(), &payload) != entry.digest {
                self.drop_damaged(&entry.digest, entry.place)?;
                continue;
            }
            bytes += entry.digest.size();
            batch.push(Append { digest: entry.digest, body: Body::Moved(payload, entry.place) });
            if bytes >= MOVE_BYTES {
                self.append_moved(std::mem::take(&mut batch))?;
                bytes = 0;
            }
        }
        self.append_moved(batch)?;
        // A move that was not entered would be a loss from here on.
        if self.common.index.live().get(&number).is_some_and(|live| *live > 0) {
            return Ok(());
        }
        self.common.write_segments().remove(&number);
        fs::remove_file(self.common.folder.segment(number)).map_err(StoreError::io("remove a segment"))?;
        sync_folder(&self.common.folder.segments()).map_err(StoreError::io("sync the segments"))
    }

    /// Returns when the copies are durable and the index names them.
    fn append_moved(&self, batch: Vec<Append>) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let ticket = Ticket::default();
        self.segments.submit(batch, ticket.clone());
        ticket.wait()
    }
}

/// How many files a blob of that size takes.
pub(super) fn file_count(size: u64) -> u64 {
    u64::from(size > SMALL_BLOB_BYTES)
}

/// Which blobs may go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    All,
    /// Those that are files of their own.
    Files,
}

impl Wanted {
    fn includes(self, entry: &Entry) -> bool {
        self == Wanted::All || matches!(entry.place, Place::File(_))
    }
}

#[derive(Default)]
struct Freed {
    bytes: u64,
    files: u64,
}

/// A segment, and how much of it does not count.
pub(super) struct Dead {
    pub number: u64,
    pub live: u64,
    pub dead: u64,
    /// It is the one that is appended to.
    pub current: bool,
}

#[cfg(test)]
mod tests;
