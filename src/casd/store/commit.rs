//! Group commit: one thread takes everything that waits, makes it durable at one go and
//! acknowledges all of it. What "durable" means is the owner's; this is only queue and tickets.

use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use super::api::StoreError;

/// Jobs that may wait for one thread; the next caller is held up in `submit`.
const QUEUE: usize = 1024;
/// Jobs made durable at one go.
const GROUP: usize = 512;

/// The acknowledgement of one job, for any number of waiters.
#[derive(Clone, Default)]
pub struct Ticket(Arc<Ending>);

#[derive(Default)]
struct Ending {
    result: Mutex<Option<Result<(), StoreError>>>,
    known: Condvar,
}

impl Ticket {
    /// Blocks until the job is durable or has failed.
    pub fn wait(&self) -> Result<(), StoreError> {
        let mut result = self.0.result.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(result) = &*result {
                return result.clone();
            }
            result = self.0.known.wait(result).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Says how it ended; the first word counts.
    pub fn complete(&self, result: Result<(), StoreError>) {
        self.0.result.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(result);
        self.0.known.notify_all();
    }
}

/// A job and its acknowledgement. Dropped without a word (the thread panicked), it says so.
pub struct Job<J> {
    pub work: J,
    pub ticket: Ticket,
}

impl<J> Drop for Job<J> {
    fn drop(&mut self) {
        self.ticket.complete(Err(StoreError::Closed));
    }
}

/// One thread that makes jobs durable in groups.
pub struct Committer<J> {
    queue: Mutex<Option<SyncSender<Job<J>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<J: Send + 'static> Committer<J> {
    /// Starts the thread; `group` gets all that waits, in order, and completes every ticket.
    pub fn start(name: &str, group: impl FnMut(Vec<Job<J>>) + Send + 'static) -> Result<Self, StoreError> {
        let (queue, jobs) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(move || run(&jobs, group))
            .map_err(StoreError::io("start a thread"))?;
        Ok(Committer { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)) })
    }

    /// Hands a job over, to be acknowledged on `ticket`.
    pub fn submit(&self, work: J, ticket: Ticket) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(queue) = queue {
            // A failed send drops the job, and a dropped job answers its ticket.
            let _ = queue.send(Job { work, ticket });
        } else {
            ticket.complete(Err(StoreError::Closed));
        }
    }

    /// Finishes what waits and ends the thread.
    pub fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("a store thread panicked; ignoring, its jobs were answered with an error");
        }
    }
}

impl<J> Drop for Committer<J> {
    fn drop(&mut self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

fn run<J>(jobs: &Receiver<Job<J>>, mut group: impl FnMut(Vec<Job<J>>)) {
    while let Ok(first) = jobs.recv() {
        let mut waiting = vec![first];
        while waiting.len() < GROUP
            && let Ok(next) = jobs.try_recv()
        {
            waiting.push(next);
        }
        group(waiting);
    }
}
