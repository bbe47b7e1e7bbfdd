//! A watch over the memory of an action that no control group limits: what its processes hold is
//! added up now and then. The kernel's own end to that, at the last page, may take anybody.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;

/// Between two looks. Within it a fast program fills some gigabytes, for which the limit leaves room.
const PAUSE: Duration = Duration::from_millis(500);
/// Processes looked at; who has more is ended by their number.
const PROCESSES: usize = 16_384;

/// Returns when the processes below `first` hold more than `limit_bytes` together.
pub async fn exceeded(first: Arc<AtomicU32>, limit_bytes: u64) {
    loop {
        sleep(PAUSE).await;
        let first = first.load(Ordering::Relaxed);
        if first == 0 {
            continue;
        }
        let held = tokio::task::spawn_blocking(move || held(first)).await;
        if held.is_ok_and(|held| held > limit_bytes) {
            return;
        }
    }
}

/// Anonymous and shared memory of all processes below one, bytes. Pages that several of them share
/// after a fork count for each: an estimate, and on the safe side.
fn held(first: u32) -> u64 {
    let (mut open, mut seen, mut sum) = (vec![first], 0, 0);
    while let Some(pid) = open.pop() {
        seen += 1;
        if seen > PROCESSES {
            break;
        }
        sum += own(pid);
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            open.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
    }
    sum
}

fn own(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = |line: &str| line.trim().trim_end_matches(" kB").parse::<u64>().ok();
    let held = status
        .lines()
        .filter_map(|line| line.strip_prefix("RssAnon:").or_else(|| line.strip_prefix("RssShmem:")).and_then(kib));
    held.sum::<u64>() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_holds_is_counted() {
        let before = held(std::process::id());
        let block = vec![1_u8; 64 << 20];
        let after = held(std::process::id());
        assert!(after >= before + (60 << 20), "{before} {after} {}", block.len());
    }
}
