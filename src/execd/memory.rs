//! A watch over memory and number of the processes of an action that no control group limits: what
//! they hold is added up now and then. The kernel's own end to that, at the last page, may take anybody.

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::MetadataExt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;

use crate::observed::Over;

/// Between two looks. Within it a fast program fills some gigabytes, for which the limit leaves room.
const PAUSE: Duration = Duration::from_millis(500);
/// Files in memory that one process holds open are looked at up to here.
const FILES: usize = 4096;

/// What the processes of an action hold together.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    bytes: u64,
    processes: u64,
}

/// Returns when the processes below `first` hold more than `limit_bytes` together, or are more than `processes`.
pub async fn exceeded(first: Arc<AtomicU32>, limit_bytes: u64, processes: u64) -> Over {
    loop {
        sleep(PAUSE).await;
        let first = first.load(Ordering::Relaxed);
        if first == 0 {
            continue;
        }
        let Ok(held) = tokio::task::spawn_blocking(move || held(first, processes)).await else { continue };
        if held.bytes > limit_bytes {
            return Over::Memory;
        }
        // One more than the limits of the kernel's own, which do not hold for root everywhere.
        if held.processes > processes + 1 {
            return Over::Processes;
        }
    }
}

/// Anonymous and shared memory of all processes below one, bytes. Pages that several of them share
/// after a fork count for each: an estimate, and on the safe side.
fn held(first: u32, processes: u64) -> Held {
    let (mut open, mut held, mut files) = (vec![first], Held::default(), HashSet::new());
    while let Some(pid) = open.pop() {
        held.processes += 1;
        if held.processes > processes + 1 {
            break;
        }
        held.bytes += own(pid) + in_files(pid, &mut files);
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            open.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
    }
    held
}

/// Files that have no name (memfd) and are in no process's memory: each once.
fn in_files(pid: u32, known: &mut HashSet<(u64, u64)>) -> u64 {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten().take(FILES);
    let unnamed = open.filter(|entry| {
        fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str().as_encoded_bytes().starts_with(b"/memfd:"))
    });
    let sizes = unnamed.filter_map(|entry| {
        let meta = fs::metadata(entry.path()).ok()?;
        known.insert((meta.dev(), meta.ino())).then_some(meta.blocks() * 512)
    });
    sizes.sum()
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

    /// What is held with nothing, with a block, and with a file in memory too. Other tests are in this process and below it.
    fn held_step_by_step() -> [u64; 3] {
        let now = || held(std::process::id(), 64).bytes;
        let before = now();
        let block = vec![1_u8; 64 << 20];
        let with_block = now();
        let file = rustix::fs::memfd_create(c"unnamed", rustix::fs::MemfdFlags::CLOEXEC).expect("a file in memory");
        rustix::io::write(&file, &block).expect("room for it");
        [before, with_block, now()]
    }

    #[test]
    fn what_a_process_holds_is_counted() {
        let mut seen = Vec::new();
        for _ in 0..50 {
            let steps = held_step_by_step();
            seen.push(steps);
            if steps.windows(2).all(|two| two[1] >= two[0] + (60 << 20)) {
                return;
            }
        }
        panic!("{seen:?}");
    }
}
