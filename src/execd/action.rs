//! One action's life, from its digest to its result: look-up, staging, run, collection. Every way
//! of ending is a variant of [`Ending`], and only a clean exit with code 0 is ever cached. What a
//! client sees of it is `serve`'s.

mod ending;
mod request;
mod times;

use std::{
    collections::HashMap,
    fs::File,
    os::fd::AsFd,
    sync::Arc,
    time::{Duration, SystemTime},
};

pub use ending::Ending;
pub use request::{Request, read};
use shared::{
    config::Rung,
    digest::Digest,
    limits,
    reapi::{self, digest_to_proto, record, v2},
};
use times::{Times, metadata};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use v2::execution_stage::Value as Phase;

use crate::{
    collect::Collector,
    executor::Executor,
    host,
    launch::{RunError, Running},
    operations::{Operation, Progress},
    output::{Capture, Overflow},
    refusal::Refusal,
    sandbox::{Ended, Identity, Job, Network, Status, Step, Usage, cgroup::PROCESSES},
    view::{self, View},
};

/// Most bytes of one output file.
const FILE_BYTES: u64 = 64 << 30;

/// What one run brought.
struct Run {
    ending: Ending,
    usage: Usage,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    began: SystemTime,
    over: SystemTime,
}

/// A result that is already there.
pub async fn cached(executor: &Executor, request: &Request) -> Result<Option<v2::ExecuteResponse>, Refusal> {
    let Some(mut result) = executor.cas.action_result(request.digest).await? else { return Ok(None) };
    // What ran without namespaces saw the whole machine: it never answers for what sees only its
    // inputs, nor the other way round. A result without a record came from a client.
    let isolated = executor.ladder.rung >= Rung::Namespaces;
    if record::of(&result).is_some_and(|record| (record.view == "fixed") != isolated) {
        return Ok(None);
    }
    for (raw, digest) in
        [(&mut result.stdout_raw, &result.stdout_digest), (&mut result.stderr_raw, &result.stderr_digest)]
    {
        let digest =
            digest.as_ref().filter(|digest| (1..=limits::INLINE_STREAM_BYTES as i64).contains(&digest.size_bytes));
        let parsed = digest.and_then(|digest| reapi::digest_from_proto(request.digest.function(), Some(digest)).ok());
        if let (true, Some(digest)) = (raw.is_empty(), parsed) {
            *raw = executor.cas.read(digest).await?;
        }
    }
    Ok(Some(v2::ExecuteResponse { result: Some(result), cached_result: true, ..Default::default() }))
}

/// Runs the action to its end.
pub async fn run(executor: &Executor, request: &Request, operation: &Operation) -> v2::ExecuteResponse {
    match attempt(executor, request, operation).await {
        Ok(response) => response,
        Err(refusal) => {
            tracing::debug!(action = %request.digest, code = %refusal.code, "an action was not run: {refusal}");
            v2::ExecuteResponse { status: Some(refusal.rpc()), ..Default::default() }
        }
    }
}

async fn attempt(
    executor: &Executor,
    request: &Request,
    operation: &Operation,
) -> Result<v2::ExecuteResponse, Refusal> {
    let mut times = Times { queued: Some(SystemTime::now()), ..Times::default() };
    let cancelled = || Refusal::new(Code::Cancelled, "the action was cancelled");
    let _slot = unless(&operation.cancel, executor.slots.take()).await.ok_or_else(cancelled)?;
    operation.say(Progress::In(Phase::Executing));
    let _counted = executor.counted();
    times.worker = Some(SystemTime::now());

    let rung = executor.ladder.rung;
    let staged = view::make(&executor.sources, &request.style, &request.command, request.root, rung);
    let view = unless(&operation.cancel, staged).await.ok_or_else(cancelled)??;
    times.fetched = Some(SystemTime::now());

    let run = execute(executor, request, &view, &operation.cancel).await?;
    if matches!(run.ending, Ending::Cancelled) {
        return Err(cancelled());
    }

    let mut result = v2::ActionResult { exit_code: run.ending.code(), ..Default::default() };
    collect(executor, request, &view, &run, &mut result).await?;
    times.uploaded = Some(SystemTime::now());
    result.execution_metadata = Some(metadata(&times, &run, rung, view.class));
    let status = run.ending.refusal().map(|refusal| refusal.rpc());
    if matches!(run.ending, Ending::Exited(0)) && request.cacheable {
        executor.cas.update_action_result(request.digest, without_streams(&result)).await?;
    }
    let message = run.ending.words();
    Ok(v2::ExecuteResponse { result: Some(result), cached_result: false, status, message, ..Default::default() })
}

/// The future's outcome, or `None` when the action is cancelled before.
async fn unless<T>(cancel: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = cancel.cancelled() => None,
    }
}

async fn execute(
    executor: &Executor,
    request: &Request,
    view: &View,
    cancel: &CancellationToken,
) -> Result<Run, Refusal> {
    let internal = |what: &str, err: std::io::Error| Refusal::new(Code::Internal, format!("{what}: {err}"));
    let job = job(executor, request, view);
    let group = match (&executor.delegation, job.rung) {
        (Ok(delegation), Rung::Full) => Some(delegation.group().map_err(|err| internal("make a control group", err))?),
        _ => None,
    };
    let procs = group.as_ref().map(|group| group.procs()).transpose();
    let procs = procs.map_err(|err| internal("join a control group", err))?;
    let null = File::open("/dev/null").map_err(|err| internal("/dev/null", err))?;
    let overflow = Overflow::new();
    let (stdout, out) = Capture::start(&overflow).map_err(|err| internal("make a pipe", err))?;
    let (stderr, err) = Capture::start(&overflow).map_err(|err| internal("make a pipe", err))?;
    let began = SystemTime::now();
    let streams = [null.as_fd(), out.as_fd(), err.as_fd()];
    let started = executor.launch(&job, streams, procs.as_ref().map(File::as_fd));
    drop((out, err));
    let ended = match started {
        Ok(mut running) => watch(&mut running, request.timeout, cancel, &overflow).await,
        Err(err) => Err(err),
    };
    let (mut ending, usage) = match ended {
        Ok(ended) => ended,
        Err(RunError::Failed(fail)) if fail.step == Step::Program => {
            let code = if fail.errno == libc::ENOENT { 127 } else { 126 };
            (Ending::NoProgram { code, why: format!("vx-execd: failed to {fail}\n") }, Usage::default())
        }
        Err(err) => return Err(err.into()),
    };
    let killed_for_memory = group.as_ref().is_some_and(|group| group.out_of_memory());
    if killed_for_memory && !matches!(ending, Ending::Exited(0)) {
        ending = Ending::OutOfMemory;
    }
    let over = SystemTime::now();
    let (stdout, mut stderr) = (stdout.end().await, stderr.end().await);
    if let Ending::NoProgram { why, .. } = &ending {
        stderr.extend_from_slice(why.as_bytes());
    }
    Ok(Run { ending, usage, stdout, stderr, began, over })
}

/// Waits for the first thing that ends the action.
async fn watch(
    running: &mut Running,
    timeout: Duration,
    cancel: &CancellationToken,
    overflow: &Overflow,
) -> Result<(Ending, Usage), RunError> {
    let ending = tokio::select! {
        ended = running.wait() => {
            let Ended { status, usage } = ended?;
            return match status {
                Status::Exited(code) => Ok((Ending::Exited(code), usage)),
                Status::Signalled(signal) => Ok((Ending::Signalled(signal), usage)),
                // Nobody here asked for it.
                Status::Killed => Err(RunError::Lost),
            };
        }
        () = sleep(timeout) => Ending::TimedOut,
        () = cancel.cancelled() => Ending::Cancelled,
        () = overflow.happened() => Ending::OutputTooLong,
    };
    // A first process that had to be killed has no usage to tell; the ending is what counts.
    let usage = running.end().await.map_or_else(|_| Usage::default(), |ended| ended.usage);
    Ok((ending, usage))
}

fn job(executor: &Executor, request: &Request, view: &View) -> Job {
    let variable =
        |variable: &v2::command::EnvironmentVariable| (variable.name.as_str().into(), variable.value.as_str().into());
    let rung = executor.ladder.rung;
    Job {
        rung,
        outside: Identity::own(),
        root: view.root.clone(),
        mounts: view.mounts.clone(),
        argv: request.command.arguments.iter().map(|word| word.as_str().into()).collect(),
        env: request.command.environment_variables.iter().map(variable).collect(),
        cwd: host::text(&view.cwd),
        network: Network::None,
        file_bytes: FILE_BYTES,
        // Without control groups; and never without namespaces, where it would count the person's
        // own processes too.
        processes: if rung == Rung::Namespaces { PROCESSES } else { 0 },
    }
}

async fn collect(
    executor: &Executor,
    request: &Request,
    view: &View,
    run: &Run,
    result: &mut v2::ActionResult,
) -> Result<(), Refusal> {
    let function = request.digest.function();
    let mut blobs = HashMap::new();
    let mut keep = |bytes: &Vec<u8>| {
        let digest = Digest::of(function, bytes);
        if !digest.is_empty() {
            blobs.insert(digest, bytes.clone());
        }
        let raw = if bytes.len() <= limits::INLINE_STREAM_BYTES { bytes.clone() } else { Vec::new() };
        (Some(digest_to_proto(&digest)), raw)
    };
    (result.stdout_digest, result.stdout_raw) = keep(&run.stdout);
    (result.stderr_digest, result.stderr_raw) = keep(&run.stderr);
    if !blobs.is_empty() {
        executor.cas.put_missing(&blobs).await?;
    }
    if matches!(run.ending, Ending::Exited(_)) {
        let format = v2::command::OutputDirectoryFormat::try_from(request.command.output_directory_format);
        let collector = Collector {
            cas: &executor.cas,
            stage: (executor.ladder.rung >= Rung::Namespaces).then_some(&executor.sources.stage),
            places: &view.places,
            function,
            format: format.unwrap_or(v2::command::OutputDirectoryFormat::TreeOnly),
        };
        collector.collect(&view.outputs, result).await?;
    }
    Ok(())
}

/// What is stored names streams by digest only.
fn without_streams(result: &v2::ActionResult) -> v2::ActionResult {
    v2::ActionResult { stdout_raw: Vec::new(), stderr_raw: Vec::new(), ..result.clone() }
}

/// Runs an operation in the background and ends it, whoever listens.
pub fn begin(executor: &Arc<Executor>, request: Request, operation: Arc<Operation>) {
    let executor = Arc::clone(executor);
    let guard = executor.parts.idle.guard();
    tokio::spawn(async move {
        let response = run(&executor, &request, &operation).await;
        executor.operations.end(&operation, response);
        drop(guard);
    });
}
