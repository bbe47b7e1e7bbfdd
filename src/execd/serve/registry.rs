//! Operations by name: what runs and what lately ran, so that a dropped stream can be found again
//! and the same action is never run twice at once. Nothing here outlives the process: clients
//! execute again when a name is unknown.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use shared::{digest::Digest, reapi::v2, service::Peer};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::execution::Inline;
use crate::collect::OutputFile;

/// Ended operations that can still be asked for.
const KEPT: usize = 1000;

/// How far an operation is.
#[derive(Clone, Debug)]
pub enum Progress {
    /// In this stage of the API.
    In(v2::execution_stage::Value),
    /// Ended.
    Ended(Arc<v2::ExecuteResponse>),
}

/// One operation.
#[derive(Debug)]
pub struct Operation {
    /// Its name.
    pub name: String,
    /// The action it runs.
    pub action: Digest,
    /// Who began it; the others do not see it.
    pub peer: Peer,
    /// What that one wants inlined.
    pub inline: Inline,
    /// Asks it to end.
    pub cancel: CancellationToken,
    progress: watch::Sender<Progress>,
    early: OnceLock<OutputFile>,
}

impl Operation {
    /// Follows it from now on.
    pub fn follow(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// As it is now.
    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Tells of an output that is there while it runs; who joins later is told too.
    pub fn announce(&self, output: OutputFile) {
        if self.early.set(output).is_ok() {
            self.progress.send_modify(|_| ());
        }
    }

    /// The output that was announced.
    pub fn early(&self) -> Option<&OutputFile> {
        self.early.get()
    }

    /// Says how far it is.
    pub fn say(&self, progress: Progress) {
        self.progress.send_replace(progress);
    }
}

#[derive(Debug, Default)]
struct Table {
    by_name: HashMap<String, Arc<Operation>>,
    /// Those that others may join.
    in_flight: HashMap<(Peer, Digest), Arc<Operation>>,
    ended: VecDeque<String>,
}

/// All of them.
#[derive(Debug)]
pub struct Operations {
    table: Mutex<Table>,
    prefix: String,
    next: AtomicU64,
}

/// Whether others may join an operation for the same action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// They may.
    Allowed,
    /// Each runs by itself (`do_not_cache`).
    Refused,
}

impl Operations {
    /// None yet. Names are of this start only, so that an old one is unknown after a restart.
    pub fn new() -> Operations {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let prefix = format!("operations/{started:x}-{}", std::process::id());
        Operations { table: Mutex::default(), prefix, next: AtomicU64::new(0) }
    }

    /// The operation in flight for this action, or a new one, which the caller then has to run.
    pub fn join_or_begin(
        &self,
        peer: Peer,
        action: Digest,
        joining: Joining,
        inline: Inline,
    ) -> (Arc<Operation>, bool) {
        let mut table = self.table();
        if joining == Joining::Allowed
            && let Some(operation) = table.in_flight.get(&(peer, action))
        {
            return (Arc::clone(operation), false);
        }
        let name = format!("{}-{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed));
        let progress = watch::Sender::new(Progress::In(v2::execution_stage::Value::Queued));
        let cancel = CancellationToken::new();
        let early = OnceLock::new();
        let operation = Arc::new(Operation { name: name.clone(), action, peer, inline, cancel, progress, early });
        table.by_name.insert(name, Arc::clone(&operation));
        if joining == Joining::Allowed {
            table.in_flight.insert((peer, action), Arc::clone(&operation));
        }
        (operation, true)
    }

    /// Ends an operation with its response.
    pub fn end(&self, operation: &Arc<Operation>, response: v2::ExecuteResponse) {
        let mut table = self.table();
        let key = (operation.peer, operation.action);
        if table.in_flight.get(&key).is_some_and(|joined| Arc::ptr_eq(joined, operation)) {
            table.in_flight.remove(&key);
        }
        table.ended.push_back(operation.name.clone());
        while table.ended.len() > KEPT {
            if let Some(oldest) = table.ended.pop_front() {
                table.by_name.remove(&oldest);
            }
        }
        operation.say(Progress::Ended(Arc::new(response)));
    }

    /// How many have not ended.
    pub fn running(&self) -> usize {
        let table = self.table();
        table.by_name.len().saturating_sub(table.ended.len())
    }

    /// By name.
    pub fn get(&self, peer: Peer, name: &str) -> Option<Arc<Operation>> {
        self.table().by_name.get(name).filter(|operation| operation.peer == peer).cloned()
    }

    /// Those that run, and those that lately ended, oldest name first.
    pub fn all(&self, peer: Peer) -> Vec<Arc<Operation>> {
        let mut all: Vec<_> = self.table().by_name.values().filter(|one| one.peer == peer).cloned().collect();
        all.sort_by(|one, other| (one.name.len(), &one.name).cmp(&(other.name.len(), &other.name)));
        all
    }

    /// Forgets an ended one.
    pub fn forget(&self, name: &str) {
        let mut table = self.table();
        if table.by_name.get(name).is_some_and(|operation| matches!(operation.progress(), Progress::Ended(_))) {
            table.by_name.remove(name);
            table.ended.retain(|ended| ended != name);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use shared::digest::Function;

    use super::*;

    #[test]
    fn the_same_action_is_joined_while_it_runs_and_not_after() {
        let operations = Operations::new();
        let action = Digest::of(Function::Blake3, b"action");
        let (first, new) = operations.join_or_begin(Peer::Local, action, Joining::Allowed, Inline::ALL);
        let (second, again) = operations.join_or_begin(Peer::Local, action, Joining::Allowed, Inline::ALL);
        let (alone, by_itself) = operations.join_or_begin(Peer::Local, action, Joining::Refused, Inline::ALL);
        assert!(new && !again && by_itself && Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&first, &alone));
        assert_eq!(operations.running(), 2);
        operations.end(&first, v2::ExecuteResponse::default());
        assert!(operations.join_or_begin(Peer::Local, action, Joining::Allowed, Inline::ALL).1);
        assert!(matches!(operations.get(Peer::Local, &first.name).expect("kept").progress(), Progress::Ended(_)));
        assert!(operations.get(Peer::Tcp, &first.name).is_none() && operations.all(Peer::Tcp).is_empty());
        operations.forget(&first.name);
        assert_eq!(operations.running(), 2, "the other two");
        assert!(operations.get(Peer::Local, &first.name).is_none());
    }
}
