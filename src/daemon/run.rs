//! The dispatcher of one build: ready units become Actions, are looked up together, and what is
//! not there is run by execd as far as jobs allow; one loop puts all events in one order.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use shared::{
    client::exec::Identity,
    digest::Digest,
    fault::{Failure, Fault},
    reapi::v2,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    action::{self, Action, Input},
    cargo::{
        Said,
        call::Call,
        diagnostics::{self, End, Voice},
        directives,
        environment::Ambient,
        plan::{Kind, Plan, Unit, UnitId},
        rustc, script,
    },
    events::{Event, Listener},
    execute::{Executing, Work},
    graph::Build,
    inputs::Inputs,
    names::{self, Names, Subject},
    outcome::{Outcome, how_it_ended},
    services::{Services, persist},
    streams::{self, Streams},
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
    /// Who is told what happens.
    pub listeners: Vec<Arc<dyn Listener>>,
    /// The person's variables.
    pub ambient: Ambient,
    /// Variables that units have named.
    pub names: Arc<Names>,
    /// At most so many actions at once.
    pub jobs: usize,
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
    /// By unit.
    outcomes: Vec<Option<Outcome>>,
    /// Actions that were looked up and are not there, by unit.
    waiting: HashMap<usize, (Call, Action)>,
}

/// A finished action's result.
struct Finished {
    unit: usize,
    call: Call,
    outcome: Result<Option<v2::ActionResult>, Failure>,
}

/// Says what the person should read.
pub trait Say {
    /// Shows text as it is.
    fn say(&self, text: String) -> impl Future<Output = ()>;
}

impl<'a> Runner<'a> {
    /// A build of a plan's units.
    pub fn new(around: &'a Surroundings, plan: &'a Plan, inputs: &'a Arc<Inputs>, voice: Voice) -> Self {
        let dependencies: Vec<Vec<usize>> = plan
            .units
            .iter()
            .map(|unit| {
                let mut needs: Vec<usize> = unit.dependencies.iter().map(|one| one.unit.0).collect();
                needs.sort_unstable();
                needs.dedup();
                needs
            })
            .collect();
        Runner {
            around,
            plan,
            inputs,
            subjects: plan.units.iter().map(|unit| Subject::of(plan, unit, inputs)).collect(),
            voice,
            build: Build::new(&dependencies, around.jobs),
            said: BTreeMap::new(),
            outcomes: vec![None; plan.units.len()],
            waiting: HashMap::new(),
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
        self.around.names.load(&self.around.services, &self.subjects).await?;
        let mut running: JoinSet<Finished> = JoinSet::new();
        loop {
            self.look_up_ready(terminal).await?;
            while let Some(unit) = self.build.start() {
                self.start(unit, &mut running)?;
            }
            if self.build.is_over() {
                break;
            }
            tokio::select! {
                Some(finished) = running.join_next() => {
                    let finished = finished.map_err(|err| Failure::new(Fault::Bug, format!("an action's task: {err}")))?;
                    self.finished(finished, terminal).await?;
                }
                () = self.around.cancel.cancelled() => {
                    while running.join_next().await.is_some() {}
                    return Ok(Verdict::Cancelled);
                }
            }
        }
        Ok(if self.build.has_failed() { Verdict::Failed } else { Verdict::Built })
    }

    fn tell(&self, event: &Event) {
        for listener in &self.around.listeners {
            listener.tell(event);
        }
    }

    /// Looks up units that became ready, again and again, since a hit makes others ready.
    async fn look_up_ready(&mut self, terminal: &impl Say) -> Result<(), Failure> {
        loop {
            let ready = self.build.take_ready();
            if ready.is_empty() {
                return Ok(());
            }
            let mut asked = Vec::with_capacity(ready.len());
            for unit in ready {
                if self.plan.units[unit].stands_in.is_some() {
                    // Configuration says what this script would say.
                    self.outcomes[unit] = Some(Outcome::default());
                    self.build.finish(unit);
                    continue;
                }
                let call = self.render(unit)?;
                let action = self.action(&call)?;
                asked.push((unit, call, action));
            }
            let digests: Vec<Digest> = asked.iter().map(|(_, _, action)| action.digest).collect();
            let results = persist(async || self.around.services.cas.action_results(&digests).await).await?;
            let streams = self.streams_of_hits(&asked, &results).await?;
            for (((unit, call, action), result), streams) in asked.into_iter().zip(results).zip(streams) {
                let found = result.filter(|result| result.exit_code == 0).zip(streams);
                match found {
                    Some((result, streams)) => {
                        self.take(unit, &call, &result, &streams, Whence::Found, terminal).await?
                    }
                    None => {
                        self.waiting.insert(unit, (call, action));
                        self.build.queue(unit);
                    }
                }
            }
        }
    }

    fn render(&self, unit: usize) -> Result<Call, Failure> {
        let named = self.around.names.of(&self.subjects[unit]);
        let unit = &self.plan.units[unit];
        let rendered = match unit.kind {
            Kind::BuildScriptRun => script::render(self.plan, unit, &self.said, &self.around.ambient, &named),
            _ => rustc::render(self.plan, unit, &self.said, &self.around.ambient, &named),
        };
        rendered.map_err(|err| Failure::new(Fault::Bug, err.to_string()))
    }

    fn action(&self, call: &Call) -> Result<Action, Failure> {
        let mut inputs: Vec<(String, Input)> = Vec::new();
        for &package in &call.needs.packages {
            let (mount, root) = self.inputs.of(package);
            if !inputs.iter().any(|(known, _)| known == mount) {
                inputs.push((mount.to_owned(), Input::Tree(root)));
            }
        }
        for placed in &call.needs.files {
            let file = self.outcomes[placed.unit.0].as_ref().and_then(|outcome| outcome.files.get(&placed.name));
            let (digest, mode) = *file.ok_or_else(|| {
                let label = &self.plan.unit(placed.unit).label;
                Failure::new(Fault::Bug, format!("{label} left no {}", placed.name))
            })?;
            inputs.push((placed.at.clone(), Input::File(digest, mode)));
        }
        for run in &call.needs.out_dirs {
            if let Some(root) = self.outcomes[run.0].as_ref().and_then(|outcome| outcome.out_dir) {
                inputs.push((self.plan.unit(*run).out_dir(self.plan), Input::Tree(root)));
            }
        }
        action::build(call, &inputs, &self.around.identity).map_err(|err| Failure::new(Fault::Bug, err.to_string()))
    }

    fn start(&mut self, unit: usize, running: &mut JoinSet<Finished>) -> Result<(), Failure> {
        let (call, action) =
            self.waiting.remove(&unit).ok_or_else(|| Failure::new(Fault::Bug, "a queued unit has no action"))?;
        self.tell(&Event::Started(UnitId(unit)));
        let work = Work {
            services: self.around.services.clone(),
            executing: Arc::clone(&self.around.executing),
            inputs: Arc::clone(self.inputs),
            packages: call.needs.packages.clone(),
            toolchain: self.plan.mounts.real_path(crate::cargo::mounts::TOOLCHAIN),
            identity: self.around.identity.clone(),
            cancel: self.around.cancel.clone(),
        };
        running.spawn(async move {
            let outcome = work.run(&action).await;
            Finished { unit, call, outcome }
        });
        Ok(())
    }

    async fn finished(&mut self, finished: Finished, terminal: &impl Say) -> Result<(), Failure> {
        let Finished { unit, call, outcome } = finished;
        let Some(result) = outcome? else {
            self.build.fail(unit);
            return Ok(());
        };
        let streams = streams::of(&self.around.services, &[&result]).await?.remove(0).unwrap_or_default();
        let services = &self.around.services;
        let run = names::Run {
            plan: self.plan,
            unit: &self.plan.units[unit],
            call: &call,
            result: &result,
            streams: &streams,
            ambient: &self.around.ambient,
            given: &self.around.names.of(&self.subjects[unit]),
        };
        let named = run.named(services).await?;
        if self.around.names.learn(services, &self.subjects[unit], named).await && self.render(unit)? != call {
            self.tell(&Event::Repeated(UnitId(unit)));
            self.build.again(unit);
            return Ok(());
        }
        if result.exit_code == 0 {
            return self.take(unit, &call, &result, &streams, Whence::Run, terminal).await;
        }
        self.failed(unit, &result, &streams, terminal).await;
        Ok(())
    }

    async fn failed(&mut self, unit: usize, result: &v2::ActionResult, streams: &Streams, terminal: &impl Say) {
        self.tell(&Event::Failed(UnitId(unit)));
        self.build.fail(unit);
        let one = &self.plan.units[unit];
        let how = how_it_ended(result.exit_code);
        let stderr = String::from_utf8_lossy(&streams.stderr);
        let text = if one.kind == Kind::BuildScriptRun {
            let failure = diagnostics::Failure::Ended {
                how: &how,
                stdout: &self.plan.mounts.to_real(&String::from_utf8_lossy(&streams.stdout)),
                stderr: &self.plan.mounts.to_real(&stderr),
            };
            let messages = directives::messages(&streams.stdout);
            self.voice.scripted(self.plan.package(one), &messages, Some(&failure))
        } else {
            self.voice.compiled(self.plan, one, &stderr, &End::Failed(how))
        };
        terminal.say(text).await;
    }

    /// A unit's result is there: what it left, what it says.
    async fn take(
        &mut self,
        unit: usize,
        call: &Call,
        result: &v2::ActionResult,
        streams: &Streams,
        whence: Whence,
        terminal: &impl Say,
    ) -> Result<(), Failure> {
        let one = &self.plan.units[unit];
        let outcome = Outcome::of(one, call, result)?;
        let text = if one.kind == Kind::BuildScriptRun {
            match self.hear_script(one, &streams.stdout) {
                Ok(text) => text,
                Err(text) => {
                    self.tell(&Event::Failed(UnitId(unit)));
                    self.build.fail(unit);
                    terminal.say(text).await;
                    return Ok(());
                }
            }
        } else {
            self.voice.compiled(self.plan, one, &String::from_utf8_lossy(&streams.stderr), &End::Succeeded)
        };
        terminal.say(text).await;
        self.tell(&match whence {
            Whence::Found => Event::Hit(UnitId(unit)),
            Whence::Run => Event::Built(UnitId(unit)),
        });
        self.outcomes[unit] = Some(outcome);
        self.build.finish(unit);
        Ok(())
    }

    /// Takes in what a script printed; what the person reads, also when it is refused.
    fn hear_script(&mut self, unit: &Unit, stdout: &[u8]) -> Result<String, String> {
        let package = self.plan.package(unit);
        match script::heard(self.plan, unit, &self.around.ambient, stdout) {
            Ok(directives) if directives.has_errors() => {
                let failure = diagnostics::Failure::Ended { how: "exit status: 0", stdout: "", stderr: "" };
                Err(self.voice.scripted(package, &directives.messages, Some(&failure)))
            }
            Ok(directives) => {
                let text = self.voice.scripted(package, &directives.messages, None);
                self.said.insert(unit.id, directives);
                Ok(text)
            }
            Err(err) => {
                let why = err.to_string();
                Err(self.voice.scripted(package, &[], Some(&diagnostics::Failure::Said(&why))))
            }
        }
    }

    /// The streams of hits that anybody will look at; `None` stands for a result that turned out
    /// to lack them, or for none.
    async fn streams_of_hits(
        &self,
        asked: &[(usize, Call, Action)],
        results: &[Option<v2::ActionResult>],
    ) -> Result<Vec<Option<Streams>>, Failure> {
        let nothing = v2::ActionResult::default();
        let wanted = |(unit, result): (usize, &'_ Option<v2::ActionResult>)| {
            let unit = &self.plan.units[unit];
            let is_heard = unit.kind == Kind::BuildScriptRun || self.plan.package(unit).source.is_path();
            result.as_ref().filter(|_| is_heard).cloned().unwrap_or_else(|| nothing.clone())
        };
        let wanted: Vec<_> = asked.iter().map(|(unit, ..)| *unit).zip(results).map(wanted).collect();
        streams::of(&self.around.services, &wanted.iter().collect::<Vec<_>>()).await
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whence {
    Found,
    Run,
}
