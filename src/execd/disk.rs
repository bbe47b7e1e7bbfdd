//! A watch over what an action holds on disk: its scratch folders have no quota, and a full disk
//! would stop everybody. The file system is asked how much is left; only when that has fallen the
//! folders are looked through.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use shared::limits;
use tokio::time::sleep;

/// Between two questions. Within it a fast program writes some hundred MiB, for which room is kept.
const PAUSE: Duration = Duration::from_millis(200);
/// What has to be gone since the last look before it is looked again, of the limit.
const STEPS: u64 = 8;
/// What stays free, and no more than this part of the file system.
const RESERVE_BYTES: u64 = 2 << 30;
const RESERVE_PART: u64 = 20;

/// What a file system has left.
#[derive(Clone, Copy, Debug)]
struct Room {
    free: u64,
    reserve: u64,
    /// Inodes; `None` where they are made as needed.
    inodes: Option<u64>,
}

/// What is held below folders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    bytes: u64,
    files: u64,
}

/// Returns when what lies in the folders, all of one file system, is more than the limit; or more
/// than what has to stay free of it, when less is.
pub async fn exceeded(folders: Vec<PathBuf>, limit_bytes: u64) {
    let Some(mut before) = folders.first().and_then(|folder| room(folder)) else {
        return std::future::pending().await;
    };
    loop {
        sleep(PAUSE).await;
        let Some(now) = room(&folders[0]) else { continue };
        let taken = before.free.saturating_sub(now.free);
        let files = before.inodes.zip(now.inodes).map_or(0, |(before, now)| before.saturating_sub(now));
        let is_scarce = now.free < now.reserve;
        if taken < limit_bytes / STEPS && files < limits::SCRATCH_FILES / STEPS && !is_scarce {
            // What others free meanwhile makes no room for this one.
            before.free = before.free.max(now.free);
            continue;
        }
        let folders = folders.clone();
        let Ok(held) = tokio::task::spawn_blocking(move || held(&folders)).await else { continue };
        let most = if is_scarce { limit_bytes.min(now.reserve) } else { limit_bytes };
        if held.bytes > most || held.files > limits::SCRATCH_FILES {
            return;
        }
        before = now;
    }
}

fn room(folder: &Path) -> Option<Room> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    let (free, total) = (stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize);
    let inodes = (stat.f_files > 0).then_some(stat.f_favail);
    Some(Room { free, reserve: (total / RESERVE_PART).min(RESERVE_BYTES), inodes })
}

/// No link is followed, and what cannot be listed (the action took its own rights away) is not
/// counted; whoever does that to many files is ended by what is left.
fn held(folders: &[PathBuf]) -> Held {
    use std::os::unix::fs::MetadataExt;
    let (mut open, mut held) = (folders.to_vec(), Held::default());
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            held.files += 1;
            // Under each of its names a part, so that no name makes it more or less.
            held.bytes += meta.blocks() * 512 / if meta.is_dir() { 1 } else { meta.nlink().max(1) };
            if meta.is_dir() {
                open.push(entry.path());
            }
            if held.files > limits::SCRATCH_FILES {
                return held;
            }
        }
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_is_held_and_ends_the_action() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let folders = vec![dir.path().to_owned()];
        assert_eq!(held(&folders), Held::default());
        fs::create_dir(dir.path().join("deep")).expect("a folder");
        let write = |number: u32| {
            fs::write(dir.path().join(format!("deep/{number}")), vec![1_u8; 1 << 20]).expect("a file");
        };
        let over = exceeded(folders.clone(), 8 << 20);
        tokio::pin!(over);
        for number in 0..64 {
            write(number);
            if tokio::time::timeout(PAUSE, &mut over).await.is_ok() {
                assert!(held(&folders).bytes > 8 << 20, "{number}");
                return;
            }
        }
        panic!("{:?} are held, and nobody minds", held(&folders));
    }
}
