//! `memory` for macOS.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;

use crate::{macos::processes as table, observed::Over};

/// Between two looks. Within it a fast program fills some gigabytes, for which the limit leaves room.
const PAUSE: Duration = Duration::from_millis(500);

/// Returns when the processes below `first` hold more than `limit_bytes` together, or are more than `processes`.
pub async fn exceeded(first: Arc<AtomicU32>, limit_bytes: u64, processes: u64) -> Over {
    loop {
        sleep(PAUSE).await;
        let Some(first) = i32::try_from(first.load(Ordering::Relaxed)).ok().filter(|first| *first > 0) else {
            continue;
        };
        let held = move || {
            let all = table::below(&[first]);
            (all.len() as u64, all.into_iter().map(table::held).sum::<u64>())
        };
        let Ok((count, bytes)) = tokio::task::spawn_blocking(held).await else { continue };
        if bytes > limit_bytes {
            return Over::Memory;
        }
        // Where the system lets a user have that many.
        if count > processes {
            return Over::Processes;
        }
    }
}
