//! One connected client: its request, its signals, its end. The word it typed is run as a task
//! that a closed connection or a signal cancels.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use shared::{
    fault::{Failure, exit},
    limits,
    service::send_line,
    wire::{
        call::{self, Error, Request},
        fds::{Line, Receiver},
        session::{Accepted, Ended, Signal, Start},
        text::Text,
    },
};
use tokio::{
    io::Interest,
    net::UnixStream,
    sync::{mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    audit, build,
    cargo::{select::Intent, wrapped::compiler},
    cli::{self, Word},
    daemon::Daemon,
    door::{Caller, ping_answer, read_start},
    errand,
    look::{self, Surface},
    output::{Client, Colour, Output},
    start::{self, Ground, Signals},
    why, wrapped,
};

/// How long a client may take to say what it wants.
const START_WAIT: Duration = Duration::from_secs(30);

/// What a word gets of its session.
pub struct Session {
    /// The id of its run, which survives a restart of the daemon.
    pub run: String,
    /// The words after the program's name, without `+toolchain`.
    pub plus: Option<String>,
    /// Where the person stands.
    pub cwd: PathBuf,
    /// The person's variables, as far as they are text.
    pub environment: BTreeMap<String, String>,
    /// The way to the terminal.
    pub output: Output,
    /// What the person's own programs are started with.
    pub ground: Ground,
    /// Ends what the session runs.
    pub cancel: CancellationToken,
}

/// Serves the clients that come in at the door, until it closes.
pub async fn serve(mut callers: mpsc::Receiver<Caller>, daemon: Arc<Daemon>) {
    while let Some(caller) = callers.recv().await {
        let daemon = Arc::clone(&daemon);
        tokio::spawn(async move {
            if let Err(err) = converse(caller, &daemon).await {
                tracing::debug!(%err, "a client went away");
            }
        });
    }
}

async fn converse(caller: Caller, daemon: &Arc<Daemon>) -> io::Result<()> {
    let Caller { stream, mut receiver, first, guard: _guard } = caller;
    let stream = UnixStream::from_std(stream)?;
    let first = match first {
        Some(line) => Some(line),
        None => match tokio::time::timeout(START_WAIT, next_line(&stream, &mut receiver)).await {
            Ok(line) => line?,
            Err(_) => return Ok(()),
        },
    };
    let Some(Line { bytes, fds }) = first else { return Ok(()) };
    let (id, start) = match read_start(&bytes, &fds) {
        Ok(read) => read,
        Err((id, error)) => return send_line(&stream, &call::error(id, &error), Vec::new()).await,
    };
    if daemon.counters.sessions() >= limits::SESSIONS {
        let error = Error::new(call::BUSY, format!("{} sessions are running, try again later", limits::SESSIONS));
        return send_line(&stream, &call::error(id, &error), Vec::new()).await;
    }
    let config = match daemon.config() {
        Ok(config) => config,
        Err(err) => {
            let error = Error::new(call::CONFIG_INVALID, err.to_string());
            return send_line(&stream, &call::error(id, &error), Vec::new()).await;
        }
    };
    send_line(&stream, &call::notification("session.accepted", &Accepted { repeat: true }), Vec::new()).await?;
    let _counted = daemon.counters.session();
    let cancel = CancellationToken::new();
    // However this ends, what runs for it ends too.
    let _end = cancel.clone().drop_guard();
    let run = start.run.clone();
    // Errors alone are always enabled, so that every message has the fields.
    let span = tracing::error_span!("session", vx_session = next_session(), vx_build = run);
    let signals = Arc::new(Signals::new(cancel.clone()));
    let (once, mut from_here) = mpsc::channel(1);
    let conduct = Conduct { cancel: cancel.clone(), signals: Arc::clone(&signals), once };
    let word = tokio::spawn(run_word(Arc::clone(daemon), config, start, fds, conduct).instrument(span));
    tokio::pin!(word);
    loop {
        tokio::select! {
            exit = &mut word => {
                let exit = exit.unwrap_or_else(|err| {
                    tracing::error!(%err, "a session's task ended early");
                    exit::FAILED
                });
                return send_line(&stream, &call::result(id, &Ended { exit, run }), Vec::new()).await;
            }
            Some(told) = from_here.recv() => {
                let never_again = call::notification("session.accepted", &Accepted { repeat: false });
                send_line(&stream, &never_again, Vec::new()).await?;
                // Who asked may have been cancelled meanwhile.
                let _ = told.send(());
            }
            line = next_line(&stream, &mut receiver) => match line? {
                // The only thing a client says is a signal.
                Some(line) => if let Some(signal) = signal(&line.bytes) { signals.deliver(signal) },
                None => {
                    cancel.cancel();
                    // A terminal that is stopped may hold up the last words for ever.
                    if tokio::time::timeout(limits::DRAIN, &mut word).await.is_err() {
                        word.abort();
                    }
                    return Ok(());
                }
            },
        }
    }
}

/// The id of a session: of this process, and counted.
fn next_session() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    format!("{}.{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed) + 1)
}

fn signal(line: &[u8]) -> Option<i32> {
    let request = serde_json::from_slice::<Request<'_>>(line).ok()?;
    let is_signal = request.method == "session.signal";
    is_signal.then(|| call::params::<Signal>(&request).map_or(libc::SIGTERM, |signal| signal.sig))
}

async fn next_line(stream: &UnixStream, receiver: &mut Receiver) -> io::Result<Option<Line>> {
    loop {
        if let Some(line) = receiver.line() {
            return Ok(Some(line));
        }
        // Most clients have sent their line by now; only who has not is waited for.
        match receiver.fill(stream.as_fd()) {
            Ok(0) => return Ok(None),
            Ok(_) => continue,
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
            Err(err) => return Err(err),
        }
        if stream.async_io(Interest::READABLE, || receiver.fill(stream.as_fd())).await? == 0 {
            return Ok(None);
        }
    }
}

/// How a word hears of its client, and says what it does.
struct Conduct {
    cancel: CancellationToken,
    signals: Arc<Signals>,
    once: mpsc::Sender<oneshot::Sender<()>>,
}

/// A word that needs the whole session.
enum Work {
    Build(Box<cli::Request>),
    Fetch(cli::FetchArgs),
    Clean(Box<cli::CleanArgs>),
    /// The compiler's words, of a cargo that calls vx as its wrapper.
    Compile(Vec<Text>),
}

async fn run_word(
    daemon: Arc<Daemon>,
    config: Arc<shared::config::Config>,
    mut start: Start,
    fds: Vec<OwnedFd>,
    conduct: Conduct,
) -> u8 {
    let argv: Vec<OsString> =
        std::mem::take(&mut start.argv).into_iter().map(|Text(bytes)| OsString::from_vec(bytes)).collect();
    let Ok([stdin, stdout, stderr]) = <[OwnedFd; 3]>::try_from(fds) else { return exit::PROTOCOL };
    if let Some(words) = compiler(&argv) {
        let words = words.iter().cloned().map(Text::from).collect();
        return work_on(daemon, config, start, [stdin, stdout, stderr], conduct, (None, Work::Compile(words))).await;
    }
    let (plus, word) = match cli::parse(&argv) {
        Ok(command) => command,
        Err(answer) => {
            return print(if answer.on_stdout { stdout } else { stderr }, answer.text, answer.exit).await;
        }
    };
    let work = match word {
        Word::Ping => return print(stdout, ping_answer(), exit::OK).await,
        Word::Audit(args) => {
            let cwd = PathBuf::from(OsString::from_vec(start.cwd.0));
            return answered(audit::answer(&daemon.audit, &cwd, args).await, stdout, stderr).await;
        }
        Word::Why(args) => {
            let cwd = PathBuf::from(OsString::from_vec(start.cwd.0));
            return answered(why::answer(&daemon.why, &cwd, args).await, stdout, stderr).await;
        }
        Word::Build(args) => Work::Build(Box::new(args.request(Intent::Build))),
        Word::Check(args) => Work::Build(Box::new(args.request(Intent::Check))),
        Word::Clippy(args) => Work::Build(Box::new(args.request())),
        Word::Doc(args) => Work::Build(Box::new(args.request())),
        Word::Bench(args) => Work::Build(Box::new(args.request())),
        Word::Run(args) => match args.request() {
            Ok(request) => Work::Build(Box::new(request)),
            Err(why) => return refused(stderr, &why).await,
        },
        Word::Test(args) => match args.request() {
            Ok(request) => Work::Build(Box::new(request)),
            Err(why) => return refused(stderr, &why).await,
        },
        Word::Fetch(args) => Work::Fetch(args),
        Word::Clean(args) => Work::Clean(args),
    };
    work_on(daemon, config, start, [stdin, stdout, stderr], conduct, (plus, work)).await
}

/// Does what needs the whole session.
async fn work_on(
    daemon: Arc<Daemon>,
    config: Arc<shared::config::Config>,
    start: Start,
    streams: [OwnedFd; 3],
    conduct: Conduct,
    (plus, work): (Option<String>, Work),
) -> u8 {
    let [_, stdout, stderr] = &streams;
    let environment: BTreeMap<String, String> = start
        .env
        .iter()
        .filter_map(|(name, value)| Some((name.as_str()?.to_owned(), value.as_str()?.to_owned())))
        .collect();
    // What cannot be understood is said again, in cargo's words, by the word itself.
    let chosen = environment.get("CARGO_TERM_COLOR").map(String::as_str);
    let colour = look::colour(chosen, &environment, Surface::of(start.tty)).unwrap_or(Colour::Never);
    let client = start.tty.map(|_| Client(start.client.pid));
    let Ok(own_stdout) = stdout.try_clone() else { return exit::FAILED };
    let Ok(output) = Output::new(own_stdout, stderr, client, colour) else { return exit::FAILED };
    let Conduct { cancel, signals, once } = conduct;
    let ground = Ground { streams, environment: start.env, umask: start::umask(start.client.pid), signals, once };
    let cwd = PathBuf::from(OsString::from_vec(start.cwd.0));
    let session = Session { run: start.run, plus, cwd, environment, output: output.clone(), ground, cancel };
    let code = match work {
        Work::Build(request) => build::run(&daemon, &config, session, &request).await,
        Work::Fetch(args) => errand::fetch(session, &args).await,
        Work::Clean(args) => errand::clean(session, &args).await,
        Work::Compile(words) => wrapped::run(&daemon, &config, session, words).await,
    };
    output.flush().await;
    code
}

/// Prints what a word of vx's own has to say.
async fn answered(answer: Result<String, Failure>, stdout: OwnedFd, stderr: OwnedFd) -> u8 {
    match answer {
        Ok(text) => print(stdout, text, exit::OK).await,
        Err(failure) => print(stderr, format!("error: {failure}\n"), exit::FAILED).await,
    }
}

/// Says in cargo's way why a word makes no sense.
async fn refused(stderr: OwnedFd, why: &str) -> u8 {
    print(stderr, format!("error: {why}\n"), exit::CARGO_FAILED).await
}

/// Prints and says the exit code. A reader that never reads holds up only its own session.
async fn print(to: OwnedFd, text: String, code: u8) -> u8 {
    let write = move || {
        // A reader that went away is the person's wish.
        let _ = io::Write::write_all(&mut std::fs::File::from(to), text.as_bytes());
    };
    let _ = tokio::task::spawn_blocking(write).await;
    code
}
