//! Hashes everything that the store holds, while it serves. What is damaged is named and taken
//! out of service; results that need it are `actions`' to forget.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use shared::{digest::Digest, limits::CORRUPT_NAMED};

use super::disk::{Disk, Found, Look};

/// How far a verification is, and whether it shall end.
#[derive(Debug, Default)]
pub struct Progress {
    done_bytes: AtomicU64,
    all_bytes: AtomicU64,
    stop: AtomicBool,
}

impl Progress {
    /// From nothing again.
    pub fn begin(&self) {
        self.done_bytes.store(0, Ordering::Relaxed);
        self.all_bytes.store(0, Ordering::Relaxed);
    }

    /// Ends what runs, and whatever begins later.
    pub fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Bytes done, and bytes in all.
    pub fn so_far(&self) -> (u64, u64) {
        (self.done_bytes.load(Ordering::Relaxed), self.all_bytes.load(Ordering::Relaxed))
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub blobs: u64,
    pub bytes: u64,
    /// Blobs whose bytes were others than their digest says.
    pub corrupt: u64,
    /// The first of them.
    pub named: Vec<Digest>,
    /// Blobs that could not be read; they stay as they are.
    pub unreadable: u64,
    /// It was stopped before the end.
    pub stopped: bool,
}

impl Disk {
    /// Looks at every blob that is there when it begins.
    pub fn verify(&self, progress: &Progress) -> Verified {
        let mut report = Verified::default();
        let entries = self.common.index.entries();
        progress.all_bytes.store(entries.iter().map(|entry| entry.digest.size()).sum(), Ordering::Relaxed);
        for entry in entries {
            if progress.stop.load(Ordering::Relaxed) {
                report.stopped = true;
                break;
            }
            let mut seen = Some(entry.place);
            while let Some(place) = seen {
                match self.look(&entry.digest, place, Look::Whole) {
                    Ok(Found::Whole(_)) => {
                        report.blobs += 1;
                        report.bytes += entry.digest.size();
                    }
                    Ok(Found::Damaged) => {
                        report.corrupt += 1;
                        if report.named.len() < CORRUPT_NAMED {
                            report.named.push(entry.digest);
                        }
                    }
                    Ok(Found::Elsewhere) => {
                        seen = self.common.index.peek(&entry.digest);
                        continue;
                    }
                    Err(error) => {
                        tracing::warn!(digest = %entry.digest, %error, "a blob cannot be read; ignoring");
                        report.unreadable += 1;
                    }
                }
                break;
            }
            progress.done_bytes.fetch_add(entry.digest.size(), Ordering::Relaxed);
        }
        report
    }
}
