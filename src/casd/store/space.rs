//! How much room there is: the file system's, the reserve that is kept of it, and the budget.

use std::{io, path::Path, time::Duration};

/// Never less than this by default: a large workspace's dependencies fit.
const LEAST_BUDGET: u64 = 5 << 30;
/// By default the store takes at most this part of its file system.
const BUDGET_PART: u64 = 10;
/// Kept free of the file system for the store's own records.
const RESERVE_PART: u64 = 64;
const RESERVE_BYTES: u64 = 256 << 20;
const RESERVE_INODES: u64 = 1024;

/// What bounds a store.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes on disk; `None`: a tenth of the file system, at least 5 GiB.
    pub budget: Option<u64>,
    /// How long what was used is leased.
    pub lease: Duration,
    /// A segment this long is closed and the next one begun.
    pub segment_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { budget: None, lease: shared::limits::CAS_LEASE, segment_bytes: 256 << 20 }
    }
}

/// A file system at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    total: u64,
    free: u64,
    /// Total and free; `None` where inodes are made as needed.
    inodes: Option<(u64, u64)>,
}

impl Room {
    pub fn of(path: &Path) -> io::Result<Self> {
        let stat = rustix::fs::statvfs(path)?;
        let inodes = (stat.f_files > 0).then_some((stat.f_files, stat.f_favail));
        Ok(Room { total: stat.f_blocks * stat.f_frsize, free: stat.f_bavail * stat.f_frsize, inodes })
    }

    /// Bytes that anybody may still use.
    pub fn free(&self) -> u64 {
        self.free
    }

    /// Bytes of the file system that the store leaves free.
    pub fn reserve(&self) -> u64 {
        (self.total / RESERVE_PART).min(RESERVE_BYTES)
    }

    /// The budget where none is named.
    pub fn default_budget(&self) -> u64 {
        (self.total / BUDGET_PART).max(LEAST_BUDGET)
    }

    /// What is missing for so much more beside the reserve.
    pub fn lacks(&self, bytes: u64, files: u64) -> Lack {
        let inodes = self
            .inodes
            .map_or(0, |(total, free)| (files + (total / RESERVE_PART).min(RESERVE_INODES)).saturating_sub(free));
        Lack { bytes: (bytes + self.reserve()).saturating_sub(self.free), inodes: if files > 0 { inodes } else { 0 } }
    }
}

/// What a file system lacks for a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lack {
    pub bytes: u64,
    pub inodes: u64,
}

impl Lack {
    pub const NOTHING: Lack = Lack { bytes: 0, inodes: 0 };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_kept_of_bytes_and_inodes() {
        let room = Room { total: 64 << 20, free: 3 << 20, inodes: Some((6400, 150)) };
        assert_eq!(room.reserve(), 1 << 20);
        assert_eq!(room.lacks(2 << 20, 50), Lack::NOTHING);
        assert_eq!(room.lacks(3 << 20, 51), Lack { bytes: 1 << 20, inodes: 1 });
        assert_eq!(room.lacks(0, 0), Lack::NOTHING);
        assert_eq!(room.default_budget(), 5 << 30);
        let large = Room { total: 1 << 40, free: 0, inodes: None };
        assert_eq!(large.lacks(0, 1), Lack { bytes: 256 << 20, inodes: 0 });
        assert_eq!(large.default_budget(), (1 << 40) / 10);
    }
}
