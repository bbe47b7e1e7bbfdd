//! The dispatcher of one build: ready units become Actions, are looked up together, and what is
//! not there is run by execd as far as jobs allow; one loop puts all events in one order.

mod audited;
mod because;
mod documented;
mod early;
mod ending;
mod figures;
mod live;
mod lookup;
mod mentioned;
mod needs;
mod request;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use shared::{
    client::exec::Identity,
    digest::{Digest, Function},
    fault::{Failure, Fault},
    limits,
    reapi::v2,
};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use tracing::Instrument;

use crate::{
    action::Action,
    audit,
    cargo::{
        Said,
        call::Call,
        diagnostics::{Voice, Words},
        environment::Ambient,
        messages::Rendering,
        plan::{Plan, UnitId},
    },
    events::{Event, Listener},
    exceptions::Exceptions,
    execute::{Brings, Early, Executing, Flight, Flights, Work},
    graph::{AfterFailure, Build, Cost},
    history::History,
    inputs::Inputs,
    live::Scan,
    mentions::Mentions,
    names::{Names, Subject},
    outcome::Outcome,
    services::Services,
    sources::Hashes,
    streams::Streams,
    why,
};

/// How a build ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything is there.
    Built,
    /// Something did not compile; it has been said.
    Failed,
    /// The person interrupted it.
    Cancelled,
}

/// What one build needs of its surroundings.
pub struct Surroundings {
    /// casd and execd.
    pub services: Services,
    /// The toolchain's identity.
    pub identity: Identity,
    /// Actions that other builds wait for too.
    pub executing: Arc<Executing>,
    /// Units of workspaces that other builds run too.
    pub flights: Arc<Flights>,
    /// Who is told what happens.
    pub listeners: Vec<Arc<dyn Listener>>,
    /// The person's variables.
    pub ambient: Ambient,
    /// Digests of files.
    pub hashes: Arc<Hashes>,
    /// What vx.toml grants to units of this plan.
    pub exceptions: Exceptions,
    /// Variables that units have named.
    pub names: Arc<Names>,
    /// Variables that programs name.
    pub mentions: Arc<Mentions>,
    /// How long units took.
    pub history: Arc<History>,
    /// What units were made of.
    pub why: Arc<why::Memory>,
    /// What scripts and macros did.
    pub audit: Arc<audit::Memory>,
    /// At most so many actions at once.
    pub jobs: usize,
    /// What a failure means for the rest.
    pub after_failure: AfterFailure,
    /// How rustc draws the diagnostics of the person's own packages.
    pub rendering: Rendering,
    /// Ends the build.
    pub cancel: CancellationToken,
}

/// One running build.
pub struct Runner<'a> {
    around: &'a Surroundings,
    plan: &'a Plan,
    inputs: &'a Arc<Inputs>,
    /// By unit.
    subjects: Vec<Subject>,
    voice: Voice,
    build: Build,
    said: Said,
    /// By unit; of one that still runs what it has handed out.
    outcomes: Vec<Option<Outcome>>,
    /// Actions that were looked up and are not there, by unit.
    waiting: HashMap<usize, (Call, Action)>,
    /// Ends one running unit, by unit.
    cancels: HashMap<usize, CancellationToken>,
    /// What was run in this build cost, by unit.
    costs: Vec<Cost>,
    /// What the hits cost when they were run, by unit.
    saved: HashMap<usize, Duration>,
    /// Of the run that is looked at now.
    flight: Option<Flight>,
    /// Failures that are not believed yet, by unit.
    held: BTreeMap<usize, (v2::ActionResult, Streams)>,
    /// Waiting and running units that see the workspace.
    pending: HashMap<usize, live::Pending>,
    /// Units whose outputs hold the place of the checkout.
    placed: HashSet<usize>,
    /// How often a unit ran again because its sources changed.
    repeats: HashMap<usize, u32>,
    /// Units that failed and were run again to be heard.
    heard: HashSet<usize>,
    /// Why units run.
    because: because::Because,
    /// What scripts and macros did, by package and kind.
    audited: BTreeMap<String, audit::Entry>,
    /// Which variables the programs that run in it name.
    mentioned: mentioned::Mentioned,
    /// What is known of units that document.
    documented: documented::Documented,
    /// Results on their way into the store.
    keeping: JoinSet<()>,
}

/// Actions under way, and what is heard of them.
struct Tasks {
    running: JoinSet<Finished>,
    tell: mpsc::Sender<Early>,
    early: mpsc::Receiver<Early>,
}

/// A finished action's result.
struct Finished {
    unit: usize,
    call: Call,
    outcome: Result<Option<v2::ActionResult>, Failure>,
    /// The checkout before it ran, if it sees that.
    before: Option<Arc<Scan>>,
    /// Tells others that it is over, and stored.
    flight: Option<Flight>,
    /// Nothing ran: another build has run what is most likely the same.
    joined: bool,
}

/// Says what the person should read.
pub trait Say {
    /// Shows words as they are.
    fn say(&self, words: Words) -> impl Future<Output = ()>;
}

impl<'a> Runner<'a> {
    /// A build of a plan's units.
    pub fn new(around: &'a Surroundings, plan: &'a Plan, inputs: &'a Arc<Inputs>, voice: Voice) -> Self {
        let needs = needs::of_all(plan);
        let costs = around.history.costs(plan);
        Runner {
            around,
            plan,
            inputs,
            subjects: plan.units.iter().map(|unit| Subject::of(plan, unit, inputs)).collect(),
            voice,
            build: Build::new(needs, &costs, around.jobs, around.after_failure),
            said: BTreeMap::new(),
            outcomes: vec![None; plan.units.len()],
            waiting: HashMap::new(),
            cancels: HashMap::new(),
            costs: vec![Cost { whole: 0, metadata: 0 }; plan.units.len()],
            saved: HashMap::new(),
            flight: None,
            held: BTreeMap::new(),
            pending: HashMap::new(),
            placed: HashSet::new(),
            repeats: HashMap::new(),
            heard: HashSet::new(),
            because: because::Because::default(),
            audited: BTreeMap::new(),
            mentioned: mentioned::Mentioned::of(plan, &around.ambient),
            documented: documented::Documented::of(plan),
            keeping: JoinSet::new(),
        }
    }

    /// What the units left, after the build.
    pub fn outcomes(&self) -> &[Option<Outcome>] {
        &self.outcomes
    }

    /// What the scripts said, after the build.
    pub fn said(&self) -> &Said {
        &self.said
    }

    /// Runs until everything is there, something failed, or the build is cancelled.
    pub async fn run(&mut self, terminal: &impl Say) -> Result<Verdict, Failure> {
        self.remember();
        self.around.names.load(&self.around.services, &self.subjects).await?;
        let (tell, early) = mpsc::channel(limits::EARLY_OUTPUTS);
        let mut tasks = Tasks { running: JoinSet::new(), tell, early };
        let mut lease = None;
        loop {
            self.look_up_ready(terminal).await?;
            while let Some(unit) = self.build.start() {
                // However long it takes, what it found in the store is there when it is needed.
                lease.get_or_insert_with(|| self.around.services.cas.hold());
                self.start(unit, &mut tasks)?;
            }
            if self.build.is_over() {
                break;
            }
            tokio::select! {
                // What a unit hands out comes before its end.
                biased;
                Some(early) = tasks.early.recv() => self.early(early),
                Some(finished) = tasks.running.join_next() => {
                    let finished = finished.map_err(|err| Failure::new(Fault::Bug, format!("an action's task: {err}")))?;
                    self.finished(finished, terminal).await?;
                    self.flight = None;
                }
                () = self.around.cancel.cancelled() => {
                    tasks.early.close();
                    while tasks.running.join_next().await.is_some() {}
                    while self.keeping.join_next().await.is_some() {}
                    return Ok(Verdict::Cancelled);
                }
            }
        }
        self.give_up_held(terminal).await;
        while self.keeping.join_next().await.is_some() {}
        self.keep_history();
        self.keep_reasons();
        self.keep_audit().await;
        if self.build.has_failed() {
            return Ok(Verdict::Failed);
        }
        self.tell(&Event::Over(self.figures()));
        Ok(Verdict::Built)
    }

    fn tell(&self, event: &Event) {
        for listener in &self.around.listeners {
            listener.tell(event);
        }
    }

    fn start(&mut self, unit: usize, tasks: &mut Tasks) -> Result<(), Failure> {
        let (call, action) =
            self.waiting.remove(&unit).ok_or_else(|| Failure::new(Fault::Bug, "a queued unit has no action"))?;
        self.tell(&Event::Started(UnitId(unit)));
        let work = Work {
            services: self.around.services.clone(),
            executing: Arc::clone(&self.around.executing),
            brings: Brings::Packages(Arc::clone(self.inputs), call.needs.packages.clone()),
            toolchain: self.plan.mounts.real_path(crate::cargo::mounts::TOOLCHAIN),
            identity: self.around.identity.clone(),
            cancel: self.around.cancel.child_token(),
            early: (unit, tasks.tell.clone()),
        };
        self.cancels.insert(unit, work.cancel.clone());
        let checkout = self.is_live(&call).then(|| Arc::clone(self.inputs.checkout()));
        let pending = checkout.as_ref().and_then(|_| self.pending.get(&unit));
        let missed = pending.map(|pending| (pending.records_at(), pending.looked()));
        let flights = Arc::clone(&self.around.flights);
        let span = tracing::error_span!("action", vx_action = action.digest.hex());
        let outcome = async move {
            let before = match &checkout {
                Some(checkout) => checkout.scan().await.map(Some),
                None => Ok(None),
            };
            let (outcome, before) = match before {
                Ok(before) => (Ok(before.clone()), before),
                Err(failure) => (Err(failure), None),
            };
            let likely = before.as_ref().zip(missed).map(|(scan, (at, looked))| (likely(&at, scan), looked));
            let flight = match likely.map(|(key, looked)| flights.begin(key, looked)).transpose() {
                Ok(flight) => flight,
                Err(over) => {
                    tokio::select! {
                        () = over.cancelled() => {}
                        () = work.cancel.cancelled() => {}
                    }
                    return Finished { unit, call, outcome: Ok(None), before: None, flight: None, joined: true };
                }
            };
            let outcome = match outcome {
                Ok(_) => work.run(&action).await,
                Err(failure) => Err(failure),
            };
            Finished { unit, call, outcome, before, flight, joined: false }
        };
        tasks.running.spawn(outcome.instrument(span));
        Ok(())
    }
}

/// What a run of a unit of the workspace most likely is.
fn likely(records_at: &Digest, scan: &Scan) -> Digest {
    Digest::of(Function::Blake3, format!("{records_at} {}", scan.likeness()).as_bytes())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whence {
    Found,
    Run,
}
