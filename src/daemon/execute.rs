//! One action from "not there" to its result: inputs brought, executed (or joined), what the
//! executor misses brought again, a lost service waited for, cancelled when the last build that
//! wants it is.

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use shared::{
    client::exec::{ExecError, Heard, Identity},
    digest::Digest,
    fault::{Failure, Fault},
    limits,
    reapi::v2,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    action::Action,
    inputs::{Again, Inputs},
    services::{ServiceError, Services, persist},
    wrapped,
};

/// How often inputs are brought again before the executor is believed.
const ATTEMPTS: u32 = 3;

/// Actions that builds of this daemon wait for.
#[derive(Debug, Default)]
pub struct Executing(Mutex<HashMap<Digest, usize>>);

/// One build's interest in an action.
struct Interest<'a> {
    executing: &'a Executing,
    action: Digest,
}

impl Executing {
    fn join(&self, action: Digest) -> Interest<'_> {
        *self.lock().entry(action).or_default() += 1;
        Interest { executing: self, action }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Interest<'_> {
    fn is_the_last(&self) -> bool {
        self.executing.lock().get(&self.action).is_none_or(|count| *count <= 1)
    }
}

impl Drop for Interest<'_> {
    fn drop(&mut self) {
        let mut executing = self.executing.lock();
        if let Some(count) = executing.get_mut(&self.action) {
            *count -= 1;
            if *count == 0 {
                executing.remove(&self.action);
            }
        }
    }
}

/// Units of workspaces that are run, by what their runs most likely are. What such a run is for sure
/// is known at its end, so that another build that seems to want the same waits and looks again.
#[derive(Debug, Default)]
pub struct Flights(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    running: HashMap<Digest, CancellationToken>,
    /// The latest that ended, with their numbers.
    ended: VecDeque<(u64, Digest)>,
    count: u64,
}

/// What had ended when somebody began to look for results.
#[derive(Clone, Copy, Debug)]
pub struct Looked(u64);

/// One such run; whoever waits for it is told when this is dropped.
#[derive(Debug)]
pub struct Flight {
    flights: Arc<Flights>,
    key: Digest,
}

impl Flights {
    /// Before results are looked for.
    pub fn looked(&self) -> Looked {
        Looked(self.lock().count)
    }

    /// Begins a run whose result was not found, or says what tells of the end of the one that there is. One that has ended since
    /// the look-up may have left the result.
    pub fn begin(self: &Arc<Self>, key: Digest, looked: Looked) -> Result<Flight, CancellationToken> {
        let mut table = self.lock();
        if let Some(over) = table.running.get(&key) {
            return Err(over.clone());
        }
        if table.ended.iter().rev().take_while(|(number, _)| *number > looked.0).any(|(_, one)| *one == key) {
            let over = CancellationToken::new();
            over.cancel();
            return Err(over);
        }
        table.running.insert(key, CancellationToken::new());
        Ok(Flight { flights: Arc::clone(self), key })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut table = self.flights.lock();
        table.count += 1;
        let number = table.count;
        table.ended.push_back((number, self.key));
        if table.ended.len() > limits::ENDED_RUNS {
            table.ended.pop_front();
        }
        if let Some(over) = table.running.remove(&self.key) {
            over.cancel();
        }
    }
}

/// What is brought into the store for an action.
pub enum Brings {
    /// The trees of these packages of a plan.
    Packages(Arc<Inputs>, Vec<usize>),
    /// All that a wrapped call sees.
    Wrapped(Arc<wrapped::Inputs>),
}

/// What running an action takes.
pub struct Work {
    /// casd and execd.
    pub services: Services,
    /// Who else waits.
    pub executing: Arc<Executing>,
    /// What this action sees of the person's files.
    pub brings: Brings,
    /// Where the toolchain lies.
    pub toolchain: PathBuf,
    /// Its identity when the build began.
    pub identity: Identity,
    /// Ends it.
    pub cancel: CancellationToken,
    /// Its unit, and who is told what it leaves while it runs.
    pub early: (usize, mpsc::Sender<Early>),
}

/// An output that is there while its unit's action still runs.
#[derive(Debug)]
pub struct Early {
    /// The unit.
    pub unit: usize,
    /// The output.
    pub file: v2::OutputFile,
}

impl Work {
    /// The action's result; `None` when it was cancelled.
    pub async fn run(&self, action: &Action) -> Result<Option<v2::ActionResult>, Failure> {
        let interest = self.executing.join(action.digest);
        let mut again = Again::No;
        for attempt in 1.. {
            self.bring(action, again).await?;
            match self.execute(action.digest, &interest).await {
                Ok(result) => return Ok(result),
                Err(ServiceError::Exec(err)) if err.is_precondition() && attempt < ATTEMPTS => {
                    tracing::info!(%err, "the executor lacks something, bringing it again");
                    self.identify_again(&err).await?;
                    again = Again::Yes;
                }
                Err(err) => return Err(err.into()),
            }
        }
        Ok(None)
    }

    async fn bring(&self, action: &Action, again: Again) -> Result<(), Failure> {
        match &self.brings {
            Brings::Packages(inputs, packages) => inputs.upload(&self.services, packages, again).await?,
            Brings::Wrapped(inputs) => inputs.upload(&self.services).await?,
        }
        persist(async || self.services.cas.put_missing(&action.blobs).await).await?;
        Ok(())
    }

    /// A restarted executor has to be told where the toolchain lies; a changed toolchain would
    /// make results under the wrong key.
    async fn identify_again(&self, err: &ExecError) -> Result<(), Failure> {
        let ExecError::Status(status) = err else { return Ok(()) };
        if !status.message().starts_with("toolchain") {
            return Ok(());
        }
        let now = persist(async || self.services.exec.identify(&self.toolchain).await).await?;
        if now == self.identity {
            return Ok(());
        }
        Err(Failure::new(Fault::User, "the toolchain or the C tools changed during the build").hint("build again"))
    }

    async fn execute(&self, action: Digest, interest: &Interest<'_>) -> Result<Option<v2::ActionResult>, ServiceError> {
        persist(async || {
            let mut running = self.services.exec.execute(action).await?;
            loop {
                let heard = tokio::select! {
                    heard = running.next() => heard?,
                    () = self.cancel.cancelled() => {
                        if let Some(name) = running.name.as_ref().filter(|_| interest.is_the_last()) {
                            // An executor that is gone has ended its actions too.
                            let _ = self.services.exec.cancel(name).await;
                        }
                        return Ok(None);
                    }
                };
                match heard {
                    Heard::Early(file) => {
                        let (unit, told) = &self.early;
                        // The dispatcher outlives its actions; were it gone, so is all interest.
                        let _ = told.send(Early { unit: *unit, file }).await;
                    }
                    Heard::Ended(response) => return Ok::<_, ExecError>(response.result),
                }
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use shared::digest::Function;

    use super::*;

    #[test]
    fn a_run_that_ended_since_the_look_up_is_not_begun_again() {
        let flights = Arc::<Flights>::default();
        let [key, other] = [b"one", b"two"].map(|text| Digest::of(Function::Blake3, text));
        let looked = flights.looked();
        let first = flights.begin(key, looked).expect("nobody runs it");
        let over = flights.begin(key, looked).expect_err("it runs");
        assert!(!over.is_cancelled());
        drop(first);
        assert!(over.is_cancelled());
        assert!(flights.begin(key, looked).expect_err("it may be found now").is_cancelled());
        drop(flights.begin(other, looked).expect("another one"));
        assert!(flights.begin(key, looked).is_err());
        let _again = flights.begin(key, flights.looked()).expect("it was looked for, and not found");
    }
}
