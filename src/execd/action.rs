//! One action's life: a slot, staging, the run, collection. Every way of ending is a variant of
//! [`Ending`], and only a clean exit with code 0 may be cached. How an action is asked for and what
//! a client sees of it is `serve`'s.

mod bounds;
mod ending;

use std::{
    collections::HashMap,
    fs::File,
    os::fd::AsFd,
    time::{Duration, SystemTime},
};

use bounds::Bounds;
pub use ending::Ending;
use shared::{
    config::Rung,
    digest::Digest,
    failpoint::{self, Point},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::{
    collect::{CollectError, Collector, Format, OutputFile, Outputs, Said},
    early::{self, Notice},
    executor::Executor,
    heard::Ears,
    host, incremental, jobserver,
    launch::{RunError, Running},
    observed::{Heard, Seen},
    output::{Capture, Overflow},
    refusal::Refusal,
    sandbox::{self, Ended, Identity, Job, Status, Step, Usage},
    seen::Watch,
    view::{self, Command, Style, View, live, make_out_dir, paths::Output},
};

/// The longest time an action may ask for, and what one gets that does not ask.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Most bytes of one file that an action writes; no linker or debugger file comes near it.
const FILE_BYTES: u64 = 8 << 30;

/// An action that was read and makes sense.
#[derive(Debug)]
pub struct Request {
    /// Its digest.
    pub digest: Digest,
    /// What it runs.
    pub command: Command,
    /// Its input root.
    pub root: Digest,
    /// How it sees that.
    pub style: Style,
    /// How long it may run.
    pub timeout: Duration,
    /// How its output directories are stored.
    pub format: Format,
    /// What is said of its output files.
    pub said: Said,
    /// The output that is handed out while it runs.
    pub early: Option<Output>,
    /// Whether its result may be stored, looked up and shared.
    pub cacheable: bool,
}

/// An action that was run.
#[derive(Debug)]
pub struct Done {
    /// How it ended.
    pub ending: Ending,
    /// What it wrote.
    pub stdout: Stream,
    /// What it wrote.
    pub stderr: Stream,
    /// What it made.
    pub outputs: Outputs,
    /// When.
    pub times: Times,
    /// What it used.
    pub usage: Usage,
    /// How it was isolated.
    pub rung: Rung,
    /// The view class.
    pub view: &'static str,
    /// What it opened of a live checkout.
    pub seen: Option<Seen>,
    /// What it tried and did not get.
    pub heard: Heard,
    /// What exceptions gave it.
    pub granted: Vec<String>,
}

/// A standard stream, as it was stored.
#[derive(Debug)]
pub struct Stream {
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// When an action went through its stages.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Asked for.
    pub queued: SystemTime,
    /// A slot was there.
    pub worker: SystemTime,
    /// Inputs were staged.
    pub fetched: SystemTime,
    /// The command was started.
    pub began: SystemTime,
    /// Its early output was handed out.
    pub early: Option<SystemTime>,
    /// It had ended.
    pub over: SystemTime,
    /// Outputs were stored.
    pub uploaded: SystemTime,
}

impl Times {
    /// How long it took to stage its inputs, to make ready, to run, and to store what it left.
    pub fn stages(&self) -> [Duration; 4] {
        let between = |from: SystemTime, to: SystemTime| to.duration_since(from).unwrap_or_default();
        let steps = [self.worker, self.fetched, self.began, self.over, self.uploaded];
        std::array::from_fn(|step| between(steps[step], steps[step + 1]))
    }
}

/// What one run brought.
struct Run {
    ending: Ending,
    usage: Usage,
    seen: Option<Seen>,
    heard: Heard,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    began: SystemTime,
    early: Option<SystemTime>,
    over: SystemTime,
}

impl Done {
    /// Whether this is what the same action would bring again.
    pub fn is_cacheable(&self) -> bool {
        matches!(self.ending, Ending::Exited(0))
    }
}

/// Who is told how far an action is.
pub trait Observer {
    /// It has a slot.
    fn started(&self);
    /// An output is there although it still runs.
    fn early(&self, output: OutputFile);
}

/// Runs an action to its end.
pub async fn run(
    executor: &Executor,
    request: &Request,
    cancel: &CancellationToken,
    observer: &impl Observer,
) -> Result<Done, Refusal> {
    let cancelled = || Refusal::new(Code::Cancelled, "the action was cancelled");
    let queued = SystemTime::now();
    let _slot = unless(cancel, executor.slots.take()).await.ok_or_else(cancelled)?;
    observer.started();
    let _counted = executor.counted();
    let worker = SystemTime::now();

    let rung = executor.ladder.rung;
    let staged = view::make(&executor.sources, &request.style, &request.command, request.root, rung);
    let view = unless(cancel, staged).await.ok_or_else(cancelled)??;
    let fetched = SystemTime::now();

    let state = incremental::lay(executor, request, &view).await;
    let run = execute_observed(executor, request, &view, cancel, observer).await?;
    if matches!(run.ending, Ending::Cancelled) {
        return Err(cancelled());
    }
    let (stdout, stderr) = keep_streams(executor, request, run.stdout, run.stderr).await?;
    let outputs = match run.ending {
        Ending::Exited(code) => {
            // A script may have removed its own, which is as good as an empty one.
            let _another_thing_is_there = make_out_dir(&request.command, &view.places);
            collect(executor, request, &view, code).await?
        }
        _ => Outputs::default(),
    };
    if let (Some(state), Ending::Exited(0)) = (state, &run.ending) {
        state.keep().await;
    }
    let Run { ending, usage, seen, heard, began, early, over, .. } = run;
    let times = Times { queued, worker, fetched, began, early, over, uploaded: SystemTime::now() };
    failpoint::reach(Point::Captured);
    let granted = view.granted.words();
    Ok(Done { ending, stdout, stderr, outputs, times, usage, rung, view: view.class, seen, heard, granted })
}

/// The future's outcome, or `None` when the action is cancelled before.
async fn unless<T>(cancel: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = cancel.cancelled() => None,
    }
}

/// Runs the command, and hands its early output out meanwhile.
async fn execute_observed(
    executor: &Executor,
    request: &Request,
    view: &View,
    cancel: &CancellationToken,
    observer: &impl Observer,
) -> Result<Run, Refusal> {
    let (notice, noticed) = request.early.as_ref().map(|output| Notice::of(output, &view.words)).unzip();
    let run = execute(executor, request, view, cancel, notice);
    tokio::pin!(run);
    let early = tokio::select! {
        // What would be handed out now is in the result in a moment.
        run = &mut run => return run,
        early = early::capture(executor, request, view, noticed) => early,
    };
    let handed_out = early.map(|file| {
        observer.early(file);
        SystemTime::now()
    });
    Ok(Run { early: handed_out, ..run.await? })
}

async fn execute(
    executor: &Executor,
    request: &Request,
    view: &View,
    cancel: &CancellationToken,
    notice: Option<Notice>,
) -> Result<Run, Refusal> {
    let internal = |what: &str, err: std::io::Error| Refusal::new(Code::Internal, format!("{what}: {err}"));
    let mut job = job(executor, request, view);
    let ears = executor.is_heard(request).then(|| Ears::open(view, job.rung)).flatten();
    job.heard = ears.is_some();
    let lent = jobserver::lend(executor, request, &mut job);
    let group = executor.group().map_err(|err| internal("make a control group", err))?;
    let bounds = Bounds::of(executor, view, group.as_ref(), job.processes);
    let procs = group.as_ref().map(|group| group.procs()).transpose();
    let procs = procs.map_err(|err| internal("join a control group", err))?;
    let null = File::open("/dev/null").map_err(|err| internal("/dev/null", err))?;
    let overflow = Overflow::new();
    let (stdout, out) = Capture::start(&overflow, None).map_err(|err| internal("make a pipe", err))?;
    let (stderr, err) = Capture::start(&overflow, notice).map_err(|err| internal("make a pipe", err))?;
    let began = SystemTime::now();
    let streams = [null.as_fd(), out.as_fd(), err.as_fd()];
    let pipes = lent.as_ref().map(|(_, pipes)| pipes);
    let started = executor.launch(&job, streams, procs.as_ref().map(File::as_fd), pipes);
    drop((out, err));
    let mut seen = None;
    let ended = match started {
        Ok(mut running) => {
            if let Some(ears) = &ears {
                running.hear(ears.listener());
            }
            let watched = watched(executor, view, &mut running).await?;
            let ended = watch(&mut running, request.timeout, cancel, &overflow, bounds).await;
            seen = watched.map(Watch::end);
            ended
        }
        Err(err) => Err(err),
    };
    if let (Some(seen), Some(live)) = (&mut seen, &view.live) {
        live.complete(seen).await;
    }
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
    let (stdout, stderr) = (stdout.end().await, stderr.end().await);
    let (stdout, mut stderr) = (view.words.fixed(stdout), view.words.fixed(stderr));
    view.words.settle(&request.command.outputs, &view.places);
    if let Ending::NoProgram { why, .. } = &ending {
        stderr.extend_from_slice(why.as_bytes());
    }
    let heard = ears.map(Ears::end).unwrap_or_default();
    if !matches!(ending, Ending::Exited(0) | Ending::Cancelled) {
        executor.remember_failed(request.digest);
    }
    Ok(Run { ending, usage, seen, heard, stdout, stderr, began, early: None, over })
}

/// Sets the watches on a live checkout, then lets the payload start.
async fn watched(executor: &Executor, view: &View, running: &mut Running) -> Result<Option<Watch>, RunError> {
    let Some(live) = &view.live else { return Ok(None) };
    let place = running.laid().await?;
    let watch = executor.watcher.begin(place, &live.folders, &live.beside);
    running.go();
    Ok(Some(watch))
}

/// Waits for the first thing that ends the action.
async fn watch(
    running: &mut Running,
    timeout: Duration,
    cancel: &CancellationToken,
    overflow: &Overflow,
    bounds: Bounds,
) -> Result<(Ending, Usage), RunError> {
    let pid = running.pid();
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
        ending = bounds.exceeded(pid) => ending,
    };
    // A first process that had to be killed has no usage to tell; the ending is what counts.
    let usage = running.end().await.map_or_else(|_| Usage::default(), |ended| ended.usage);
    Ok((ending, usage))
}

fn job(executor: &Executor, request: &Request, view: &View) -> Job {
    let rung = executor.ladder.rung;
    Job {
        rung,
        outside: Identity::own(),
        root: view.root.clone(),
        mounts: view.mounts.clone(),
        heard: false,
        watched: view.live.as_ref().map(|_| view::live::AT.into()),
        argv: view.arguments(&request.command).map(|word| word.as_str().into()).collect(),
        env: view
            .environment(&request.command)
            .iter()
            .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
            .collect(),
        cwd: host::text(&view.cwd),
        network: view.granted.network,
        file_bytes: FILE_BYTES,
        // Beside control groups too, since theirs may come without the controller.
        processes: sandbox::processes(rung),
    }
}

async fn keep_streams(
    executor: &Executor,
    request: &Request,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
) -> Result<(Stream, Stream), Refusal> {
    let stream = |bytes: Vec<u8>| Stream { digest: Digest::of(request.digest.function(), &bytes), bytes };
    let streams = (stream(stdout), stream(stderr));
    let written = [&streams.0, &streams.1].into_iter().filter(|stream| !stream.bytes.is_empty());
    let blobs: HashMap<_, _> = written.map(|stream| (stream.digest, stream.bytes.clone())).collect();
    if !blobs.is_empty() {
        executor.cas.put_missing(&blobs).await?;
    }
    Ok(streams)
}

async fn collect(executor: &Executor, request: &Request, view: &View, code: i32) -> Result<Outputs, Refusal> {
    let collector = Collector {
        cas: &executor.cas,
        stage: (executor.ladder.rung >= Rung::Namespaces).then_some(&executor.sources.stage),
        places: &view.places,
        function: request.digest.function(),
        format: request.format,
        said: request.said,
        names: view.live.as_ref().map(|_| &live::PLACES[..]),
    };
    match collector.collect(&request.command.outputs).await {
        // What a failed command left behind says less than its own words.
        Err(CollectError::Kind { .. }) if code != 0 => Ok(Outputs::default()),
        collected => Ok(collected?),
    }
}
