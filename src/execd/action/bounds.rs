//! What of one action is watched while it runs, because nothing of the kernel's limits it here.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicU32},
};

use super::Ending;
use crate::{
    disk,
    executor::Executor,
    memory,
    observed::Over,
    sandbox::cgroup::{self, Group},
    view::View,
};

/// Its bounds.
pub struct Bounds {
    /// Of memory; `None` where a control group has them.
    memory_bytes: Option<u64>,
    /// The kernel's own limit, which holds before this one for everybody but root.
    processes: u64,
    folders: Vec<PathBuf>,
    scratch_bytes: u64,
}

impl Bounds {
    /// Of an action in this view and group, which may have so many processes (0 for no limit of the kernel's).
    pub fn of(executor: &Executor, view: &View, group: Option<&Group>, processes: u64) -> Bounds {
        let limits = executor.limits();
        let is_limited = group.is_some_and(Group::limits_memory);
        let memory_bytes = limits.memory_bytes.filter(|_| !is_limited);
        let processes = processes.max(cgroup::PROCESSES);
        Bounds { memory_bytes, processes, folders: view.scratch_folders(), scratch_bytes: limits.scratch_bytes }
    }

    /// Returns when the processes below `first` have more than that, with how they are to end.
    pub async fn exceeded(self, first: Arc<AtomicU32>) -> Ending {
        let memory = async {
            match self.memory_bytes {
                Some(bytes) => memory::exceeded(first, bytes, self.processes).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            over = memory => match over {
                Over::Memory => Ending::OutOfMemory,
                Over::Processes => Ending::TooManyProcesses,
            },
            () = disk::exceeded(self.folders, self.scratch_bytes) => Ending::OutOfDisk,
        }
    }
}
