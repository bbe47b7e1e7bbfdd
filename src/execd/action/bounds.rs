//! What of one action is watched while it runs, because nothing of the kernel's limits it here.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicU32},
};

use super::Ending;
use crate::{disk, executor::Executor, memory, observed::Over, sandbox::cgroup::Group, view::View};

/// Its bounds.
pub struct Bounds {
    /// Of memory; `None` where a control group has them.
    memory_bytes: Option<u64>,
    folders: Vec<PathBuf>,
    scratch_bytes: u64,
}

impl Bounds {
    /// Of an action in this view and group.
    pub fn of(executor: &Executor, view: &View, group: Option<&Group>) -> Bounds {
        let limits = executor.limits();
        let is_limited = group.is_some_and(Group::limits_memory);
        let memory_bytes = limits.memory_bytes.filter(|_| !is_limited);
        Bounds { memory_bytes, folders: view.scratch_folders(), scratch_bytes: limits.scratch_bytes }
    }

    /// Returns when the processes below `first` have more than that, with how they are to end.
    pub async fn exceeded(self, first: Arc<AtomicU32>) -> Ending {
        let memory = async {
            match self.memory_bytes {
                Some(bytes) => memory::exceeded(first, bytes).await,
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
