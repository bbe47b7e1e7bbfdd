//! The plan of a workspace: kept in the store by the content of what decides it, else asked of
//! the person's own cargo in the sandbox, with `cargo fetch` before it when something is missing.

mod asking;

use std::{
    collections::{BTreeMap, HashMap},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

pub use asking::{Heard, fetch, hear, run_of, speak, succeeded};
use shared::{
    client::exec::CargoKind,
    digest::{Digest, Function},
    fault::{Failure, Fault, exit},
    reapi::{digest_from_proto, digest_to_proto, v2},
};

use crate::{
    cargo::{
        LOCK_FILE,
        collisions::{self, Collision},
        config::Config,
        decides::{Answers, ProbeAnswer, Question},
        files::{self, Disk},
        metadata::{Lock, Metadata},
        plan::{Plan, Sources},
        platform::Asked,
        probe::{Probe, Rustc},
        select::{Intent, is_about_words},
        toolchain::Toolchain,
        unit_graph::UnitGraph,
    },
    probing,
    services::Services,
};

/// Plans kept in memory; a person works in few workspaces at once.
const KEPT_PLANS: usize = 64;

/// Why a build ends before it began.
#[derive(Debug)]
pub enum NoPlan {
    /// Something to say, and the exit code.
    Failure(Failure, u8),
    /// cargo itself has said it; the exit code.
    Said(String, u8),
}

impl From<Failure> for NoPlan {
    fn from(failure: Failure) -> Self {
        NoPlan::Failure(failure, exit::CARGO_FAILED)
    }
}

/// Plans by the key of everything that decides them, and the way to that key.
#[derive(Debug, Default)]
pub struct Plans {
    folders: Mutex<HashMap<Digest, Vec<String>>>,
    ready: Mutex<HashMap<Ready, Made>>,
}

/// A plan, and what is said of it whenever it is used.
#[derive(Clone, Debug)]
struct Made {
    plan: Arc<Plan>,
    said: String,
    collisions: Arc<[String]>,
}

/// What a plan with real paths in it is good for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Ready {
    key: Digest,
    root: PathBuf,
    target_dir: PathBuf,
    toolchain: Toolchain,
    /// `[env]` as it is with the person's own variables.
    set: BTreeMap<String, String>,
}

/// A plan, and what was noticed on the way.
#[derive(Debug)]
pub struct Planned {
    /// The plan.
    pub plan: Arc<Plan>,
    /// What the person should know about their configuration.
    pub notes: Vec<String>,
    /// cargo's own warnings, with colours, where it has not shown them itself.
    pub said: String,
    /// Files of one name that two units leave, in cargo's words.
    pub collisions: Arc<[String]>,
    /// `build.jobs`, as it is written.
    pub jobs: Option<String>,
}

impl Plans {
    /// The plan for a question. `stderr` is where `cargo fetch` reports.
    pub async fn plan(&self, services: &Services, question: &Question, stderr: &OwnedFd) -> Result<Planned, NoPlan> {
        let disk = Disk::default();
        let config = question
            .config(&disk)
            .map_err(|err| Failure::new(Fault::User, err.to_string()))?
            .with_target_dir(question.selection.target_dir.clone());
        parsed(config.check())?;
        let (notes, jobs) = (config.notes.clone(), config.jobs());
        let key = match question.may_be_kept() {
            true => self.second_key(services, question, question.first_key(&disk)).await,
            false => None,
        };
        let ready = key.map(|key| Ready::new(key, question, &config));
        if let Some(made) = ready.as_ref().and_then(|ready| lock(&self.ready).get(ready).cloned()) {
            let Made { plan, said, collisions } = made;
            return Ok(Planned { plan, notes, said, collisions, jobs });
        }
        let kept = match key {
            Some(key) => read_entry(services, key).await.and_then(|text| serde_json::from_slice(&text).ok()),
            None => None,
        };
        let (answers, key, fetched): (Answers, _, _) = match kept {
            Some(answers) => (answers, key, Fetched::No),
            None => self.ask_and_keep(services, question, &config, stderr).await?,
        };
        let names = question.names();
        let answers = answers.map(|text| names.to_real(text));
        let plan = Arc::new(build_plan(question, &config, &disk, &answers)?);
        let collisions: Arc<[String]> = collisions::of_files(&plan).iter().map(Collision::text).collect();
        let said = answers.said;
        if let Some(key) = key {
            let mut known = lock(&self.ready);
            if known.len() >= KEPT_PLANS {
                known.clear();
            }
            let made = Made { plan: Arc::clone(&plan), said: said.clone(), collisions: Arc::clone(&collisions) };
            known.insert(Ready::new(key, question, &config), made);
        }
        // A fetch has said it already.
        let said = if fetched == Fetched::No { said } else { String::new() };
        Ok(Planned { plan, notes, said, collisions, jobs })
    }

    /// The key of everything that decides the answer, if cargo was ever asked something like it.
    async fn second_key(&self, services: &Services, question: &Question, first: Digest) -> Option<Digest> {
        let known = lock(&self.folders).get(&first).cloned();
        let folders = match known {
            Some(folders) => folders,
            None => serde_json::from_slice(&read_entry(services, first).await?).ok()?,
        };
        let second = question.second_key(first, &folders);
        lock(&self.folders).insert(first, folders);
        Some(second)
    }

    /// Asks cargo; the answers with places replaced, and their key where they may be kept.
    async fn ask_and_keep(
        &self,
        services: &Services,
        question: &Question,
        config: &Config,
        stderr: &OwnedFd,
    ) -> Result<(Answers, Option<Digest>, Fetched), NoPlan> {
        let names = question.names();
        let (real, fetched) = ask(services, question, config, stderr).await?;
        let metadata = parsed(Metadata::parse(real.metadata.as_bytes()))?;
        let folders = question.folders(&metadata);
        let answers = real.map(|text| names.to_fixed(text));
        // The lock file may have been written by the fetch, so the keys are made now.
        let disk = Disk::default();
        if question.may_be_kept() && question.config(&disk).is_ok() {
            let first = question.first_key(&disk);
            let second = question.second_key(first, &folders);
            let texts = serde_json::to_vec(&folders).ok().zip(serde_json::to_vec(&answers).ok());
            if let Some((folders_text, answers_text)) = texts {
                keep_entry(services, first, folders_text).await;
                keep_entry(services, second, answers_text).await;
            }
            lock(&self.folders).insert(first, folders);
            return Ok((answers, Some(second), fetched));
        }
        Ok((answers, None, fetched))
    }
}

impl Ready {
    fn new(key: Digest, question: &Question, config: &Config) -> Self {
        let root = question.located.root.clone();
        // What cannot be followed has no plan.
        let set = config.env().unwrap_or_default();
        Ready { key, target_dir: config.target_dir(&root), root, toolchain: question.toolchain.clone(), set }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An entry's text: the one output file of the action result under its key.
async fn read_entry(services: &Services, key: Digest) -> Option<Vec<u8>> {
    let result = services.cas.action_result(key).await.ok()??;
    let file = result.output_files.first()?;
    let digest = digest_from_proto(Function::Blake3, file.digest.as_ref()).ok()?;
    services.cas.read(digest).await.ok()
}

/// Keeps a text under its key. That it could not be kept costs time at the next build, no more.
async fn keep_entry(services: &Services, key: Digest, text: Vec<u8>) {
    let digest = Digest::of(Function::Blake3, &text);
    let file = v2::OutputFile { path: "plan".to_owned(), digest: Some(digest_to_proto(&digest)), ..Default::default() };
    let result = v2::ActionResult { output_files: vec![file], ..Default::default() };
    let kept = async {
        services.cas.put([(digest, text.as_slice())].into_iter()).await?;
        services.cas.update_action_result(key, result).await
    };
    if let Err(err) = kept.await {
        tracing::warn!(%err, "a plan could not be kept, ignoring");
    }
}

fn build_plan(question: &Question, config: &Config, disk: &Disk, answers: &Answers) -> Result<Plan, NoPlan> {
    let rustc = parsed(Rustc::parse(&answers.rustc))?;
    let read = |answer: &ProbeAnswer| {
        let probe = parsed(Probe::parse(&answer.rustflags, &answer.stdout, &answer.stderr))?;
        Ok((answer.asked.clone(), probe))
    };
    let probes: Vec<(Asked, Probe)> = answers.probes.iter().map(read).collect::<Result<_, NoPlan>>()?;
    let lock = files::text(&question.located.root.join(LOCK_FILE)).unwrap_or_default();
    let sources = Sources {
        graph: parsed(UnitGraph::parse(answers.graph.as_bytes()))?,
        selection: &question.selection,
        metadata: &parsed(Metadata::parse(answers.metadata.as_bytes()))?,
        lock: &parsed(Lock::parse(&lock))?,
        config,
        rustc: &rustc,
        probes: &probes,
        files: disk,
        cargo_home: &question.toolchain.cargo_home,
        toolchain: &question.toolchain.path,
        environment: &question.environment,
    };
    parsed(Plan::new(sources))
}

/// A parser's outcome; what it could not read is the person's to mend.
pub fn parsed<T, E: std::fmt::Display>(outcome: Result<T, E>) -> Result<T, NoPlan> {
    outcome.map_err(|err| Failure::new(Fault::User, err.to_string()).into())
}

/// Whether `cargo fetch` had to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fetched {
    No,
    Yes,
}

async fn ask(
    services: &Services,
    question: &Question,
    config: &Config,
    stderr: &OwnedFd,
) -> Result<(Answers, Fetched), NoPlan> {
    let mut fetched = Fetched::No;
    let rustc_answer =
        succeeded(hear(services, question, CargoKind::Probe, Rustc::ARGS.map(str::to_owned).into()).await?)?;
    let rustc = parsed(Rustc::parse(&rustc_answer.stdout))?;
    let selection = &question.selection;
    let targets = parsed(selection.platforms(config))?;
    let mut probes = Vec::new();
    for asked in Asked::all(&targets, &rustc) {
        probes.extend(probing::probe(services, question, config, &rustc, &asked).await?);
    }
    let metadata_args = selection.metadata_args(&rustc.host, &targets);
    let mut graph = hear(services, question, graph_of(selection.intent), selection.graph_args()).await?;
    if !graph.is_ok() && !is_about_words(&graph.stderr) {
        fetch(services, question, stderr).await?;
        fetched = Fetched::Yes;
        graph = hear(services, question, graph_of(selection.intent), selection.graph_args()).await?;
    }
    let graph = succeeded(graph)?;
    let mut metadata = hear(services, question, CargoKind::Metadata, metadata_args.clone()).await?;
    if !metadata.is_ok() {
        // Packages that the build does not need may be missing for it all the same.
        fetch(services, question, stderr).await?;
        fetched = Fetched::Yes;
        metadata = hear(services, question, CargoKind::Metadata, metadata_args.clone()).await?;
    }
    let metadata = succeeded(metadata)?;
    let answers = Answers {
        rustc: rustc_answer.stdout,
        probes,
        graph: graph.stdout,
        metadata: metadata.stdout,
        said: graph.stderr,
    };
    Ok((answers, fetched))
}

fn graph_of(intent: Intent) -> CargoKind {
    match intent {
        Intent::Build => CargoKind::UnitGraph,
        Intent::Check => CargoKind::CheckGraph,
        Intent::Test => CargoKind::TestGraph,
        Intent::Bench => CargoKind::BenchGraph,
        Intent::Doc(_) => CargoKind::DocGraph,
    }
}
