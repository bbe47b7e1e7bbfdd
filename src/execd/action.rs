//! One action's life, from its digest to its result: look-up, staging, run, collection. Every way
//! of ending is a variant of [`Ending`], and only a clean exit with code 0 is ever cached. What a
//! client sees of it is `serve`'s.

use std::{
    collections::HashMap,
    fs::File,
    os::fd::AsFd,
    sync::Arc,
    time::{Duration, SystemTime},
};

use shared::{
    client::cas::Opened,
    config::Rung,
    digest::Digest,
    limits,
    reapi::{self, Message, any, digest_to_proto, protobuf, record::RunRecord, v2},
};
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
    view::{self, Style, View},
};

/// Largest Action or Command that is read.
const MESSAGE_BYTES: u64 = 16 << 20;
/// The longest time an action may ask for, and what one gets that does not ask.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Most bytes of one output file.
const FILE_BYTES: u64 = 64 << 30;

/// An action that was read and makes sense.
#[derive(Debug)]
pub struct Request {
    /// Its digest.
    pub digest: Digest,
    command: v2::Command,
    root: Digest,
    style: Style,
    timeout: Duration,
    /// Whether its result may be stored, looked up and shared.
    pub cacheable: bool,
}

/// Every way an action can end.
#[derive(Debug)]
enum Ending {
    /// By itself.
    Exited(i32),
    /// By a signal that nobody here sent.
    Signalled(i32),
    /// Its time was over.
    TimedOut,
    /// A client asked for it.
    Cancelled,
    /// It wrote more than anybody reads.
    OutputTooLong,
    /// The kernel ended it at its memory limit.
    OutOfMemory,
    /// Its program is not there or cannot be run: what a shell says with 127 and 126.
    NoProgram { code: i32, why: String },
}

/// What one run brought.
struct Run {
    ending: Ending,
    usage: Usage,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    began: SystemTime,
    over: SystemTime,
}

/// Reads an action and its command, and checks all that can be checked before anything is done.
pub async fn read(executor: &Executor, digest: Digest) -> Result<Request, Refusal> {
    let action: v2::Action = fetch(executor, &[digest]).await?.remove(0).decode()?;
    let parse = |what: &str, given: Option<&v2::Digest>| {
        reapi::digest_from_proto(digest.function(), given)
            .map_err(|err| Refusal::new(Code::InvalidArgument, format!("the action's {what}: {err}")))
    };
    let (command, root) =
        (parse("command", action.command_digest.as_ref())?, parse("input root", action.input_root_digest.as_ref())?);
    // Both are asked for so that both are named if both are missing; the stage reads the root.
    let command: v2::Command = fetch(executor, &[command, root]).await?.remove(0).decode()?;
    if command.arguments.first().is_none_or(String::is_empty) {
        return Err(Refusal::new(Code::InvalidArgument, "the command has no arguments"));
    }
    let style = Style::of(&action, &command)?;
    view::paths::outputs(&command)?;
    let timeout = timeout(action.timeout.as_ref())?;
    Ok(Request { digest, command, root, style, timeout, cacheable: !action.do_not_cache })
}

struct Blob {
    digest: Digest,
    bytes: Vec<u8>,
}

impl Blob {
    fn decode<M: Message + Default>(self) -> Result<M, Refusal> {
        M::decode(self.bytes.as_slice())
            .map_err(|err| Refusal::new(Code::InvalidArgument, format!("{} does not decode: {err}", self.digest)))
    }
}

async fn fetch(executor: &Executor, digests: &[Digest]) -> Result<Vec<Blob>, Refusal> {
    if let Some(large) = digests.iter().find(|digest| digest.size() > MESSAGE_BYTES) {
        return Err(Refusal::new(Code::InvalidArgument, format!("{large} is larger than {MESSAGE_BYTES} bytes")));
    }
    let (opened, fds) = executor.cas.open(digests).await?;
    let (mut blobs, mut missing) = (Vec::with_capacity(digests.len()), Vec::new());
    for (&digest, opened) in digests.iter().zip(opened) {
        let bytes = match opened {
            None if digest.is_empty() => Vec::new(),
            None => {
                missing.push(digest);
                continue;
            }
            Some(Opened::Inline(bytes)) => bytes,
            Some(Opened::File { fd, offset, size }) => shared::client::cas::read_at(&fds[fd], offset, size)
                .map_err(|err| Refusal::new(Code::Internal, format!("{digest} cannot be read: {err}")))?,
        };
        blobs.push(Blob { digest, bytes });
    }
    if missing.is_empty() { Ok(blobs) } else { Err(Refusal::missing(missing)) }
}

fn timeout(given: Option<&protobuf::Duration>) -> Result<Duration, Refusal> {
    let invalid = |what: String| Err(Refusal::new(Code::InvalidArgument, what));
    let Some(given) = given else { return Ok(LONGEST) };
    match (u64::try_from(given.seconds), u32::try_from(given.nanos)) {
        (Ok(0), Ok(0)) => Ok(LONGEST),
        (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => match Duration::new(seconds, nanos) {
            asked if asked <= LONGEST => Ok(asked),
            asked => invalid(format!("a timeout of {} s is over the most of {} s", asked.as_secs(), LONGEST.as_secs())),
        },
        _ => invalid("the timeout is no time".to_owned()),
    }
}

/// A result that is already there.
pub async fn cached(executor: &Executor, request: &Request) -> Result<Option<v2::ExecuteResponse>, Refusal> {
    let Some(mut result) = executor.cas.action_result(request.digest).await? else { return Ok(None) };
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
    let started = executor.launcher.launch(&job, streams, procs.as_ref().map(File::as_fd));
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
            stage: &executor.sources.stage,
            places: &view.places,
            function,
            format: format.unwrap_or(v2::command::OutputDirectoryFormat::TreeOnly),
        };
        collector.collect(&view.outputs, result).await?;
    }
    Ok(())
}

impl Ending {
    /// As `exit_code` says it: shells give 128 and the signal's number.
    fn code(&self) -> i32 {
        match self {
            Ending::Exited(code) | Ending::NoProgram { code, .. } => *code,
            Ending::Signalled(signal) => 128 + signal,
            _ => -1,
        }
    }

    /// What the API does not count as the command's own end.
    fn refusal(&self) -> Option<Refusal> {
        let (code, words) = match self {
            Ending::Exited(_) | Ending::Signalled(_) | Ending::NoProgram { .. } => return None,
            Ending::TimedOut => (Code::DeadlineExceeded, "the action ran longer than its timeout"),
            Ending::Cancelled => (Code::Cancelled, "the action was cancelled"),
            Ending::OutputTooLong => (Code::ResourceExhausted, "the action wrote more output than is kept (64 MiB)"),
            Ending::OutOfMemory => (Code::ResourceExhausted, "the action used more memory than it may"),
        };
        Some(Refusal::new(code, words))
    }

    fn words(&self) -> String {
        match self {
            Ending::Signalled(signal) => format!("the command was ended by signal {signal}"),
            Ending::NoProgram { why, .. } => why.trim_end().to_owned(),
            _ => String::new(),
        }
    }
}

/// What is stored names streams by digest only.
fn without_streams(result: &v2::ActionResult) -> v2::ActionResult {
    v2::ActionResult { stdout_raw: Vec::new(), stderr_raw: Vec::new(), ..result.clone() }
}

#[derive(Default)]
struct Times {
    queued: Option<SystemTime>,
    worker: Option<SystemTime>,
    fetched: Option<SystemTime>,
    uploaded: Option<SystemTime>,
}

fn metadata(times: &Times, run: &Run, rung: Rung, view: &str) -> v2::ExecutedActionMetadata {
    let wall = run.over.duration_since(run.began).unwrap_or_default();
    let record = RunRecord {
        rung: rung.name().to_owned(),
        view: view.to_owned(),
        cpu_us: micros(run.usage.cpu),
        max_rss_bytes: run.usage.max_rss_bytes,
        wall_us: micros(wall),
    };
    let (began, over) = (stamp(Some(run.began)), stamp(Some(run.over)));
    v2::ExecutedActionMetadata {
        worker: "vx-execd".to_owned(),
        queued_timestamp: stamp(times.queued),
        worker_start_timestamp: stamp(times.worker),
        input_fetch_start_timestamp: stamp(times.worker),
        input_fetch_completed_timestamp: stamp(times.fetched),
        execution_start_timestamp: began,
        execution_completed_timestamp: over,
        output_upload_start_timestamp: over,
        output_upload_completed_timestamp: stamp(times.uploaded),
        worker_completed_timestamp: stamp(times.uploaded),
        virtual_execution_duration: Some(protobuf::Duration {
            seconds: i64::try_from(wall.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(wall.subsec_nanos()).unwrap_or(0),
        }),
        auxiliary_metadata: vec![any::pack(&record)],
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn stamp(time: Option<SystemTime>) -> Option<protobuf::Timestamp> {
    let since = time?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(protobuf::Timestamp {
        seconds: i64::try_from(since.as_secs()).ok()?,
        nanos: i32::try_from(since.subsec_nanos()).ok()?,
    })
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
