//! Where clients come in: one thread that accepts, reads what they say first, and answers a ping
//! itself, since handing it on would cost more than the answer. Everyone else becomes a session.

use std::{
    io::{self, PipeReader, PipeWriter},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pipe::PIPE_BUF,
};
use serde::Deserialize;
use shared::{
    fault::exit,
    limits,
    service::{Guard, Parts, check_peer},
    wire::{
        call::{self, Error, Request},
        fds::{Line, Receiver, send},
        session::{Accepted, Ended, PROTOCOL, Start},
        text::Text,
    },
};
use tokio::sync::mpsc;

use crate::{cli, daemon::Daemon};

/// How long the thread waits for a client's first line before it becomes a session without one.
const FIRST_LINE_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
/// How long it looks again and again before it sleeps.
const EAGER: Duration = Duration::from_micros(100);
/// How long it takes in what comes in pieces; a session goes on from there.
const FIRST_LINE_PATIENCE: Duration = Duration::from_millis(20);
/// How a ping's argv stands in its line.
const PING: &[u8] = br#""argv":["ping"]"#;
/// Clients on their way from here to their session.
const QUEUE: usize = 64;

const START: &str = "session.start";
const FDS: [&str; 3] = ["stdin", "stdout", "stderr"];

/// Of [`Start`] what a ping's answer depends on.
#[derive(Deserialize)]
struct Ping {
    protocol: u32,
    run: String,
    argv: Vec<Text>,
    fds: Vec<String>,
}

/// A client that is no ping: what was read of it so far.
pub struct Caller {
    /// Its connection, not blocking.
    pub stream: UnixStream,
    /// What has arrived and was not read.
    pub receiver: Receiver,
    /// Its first line, if it came at once.
    pub first: Option<Line>,
    /// Keeps the service from leaving.
    pub guard: Guard,
}

/// Opens the door until the service stops.
pub fn open(listener: UnixListener, daemon: Arc<Daemon>, parts: &Parts) -> io::Result<mpsc::Receiver<Caller>> {
    listener.set_nonblocking(true)?;
    let (callers, queue) = mpsc::channel(QUEUE);
    let (closing, close) = io::pipe()?;
    thread::Builder::new().name("door".to_owned()).spawn({
        let parts = parts.clone();
        move || stand(&listener, &closing, &callers, &daemon, &parts)
    })?;
    let shutdown = parts.shutdown.clone();
    tokio::spawn(async move {
        shutdown.requested().await;
        drop::<PipeWriter>(close);
    });
    Ok(queue)
}

/// Accepts until the other end of `closing` is gone.
fn stand(
    listener: &UnixListener,
    closing: &PipeReader,
    callers: &mpsc::Sender<Caller>,
    daemon: &Daemon,
    parts: &Parts,
) {
    loop {
        let mut ready = [PollFd::new(listener, PollFlags::IN), PollFd::new(closing, PollFlags::IN)];
        if poll(&mut ready, None).is_err() {
            continue;
        }
        if !ready[1].revents().is_empty() {
            return;
        }
        match listener.accept() {
            Ok((stream, _)) => greet(stream, callers, daemon, parts),
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
            Err(err) => {
                // Out of descriptors or memory: it passes, the backlog waits.
                tracing::warn!(%err, "a connection cannot be accepted, trying again");
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

fn greet(stream: UnixStream, callers: &mpsc::Sender<Caller>, daemon: &Daemon, parts: &Parts) {
    let refuse = |error: &Error| {
        // Words for a person at the other end; who does not read them is refused all the same.
        let _ = send(&stream, &call::error(None, error), &[]);
    };
    if let Err(reason) = check_peer(&stream) {
        tracing::warn!(reason, "a connection was refused");
        return refuse(&Error::new(call::VERSION, reason));
    }
    if parts.idle.busy() >= limits::CONNECTIONS {
        return refuse(&Error::new(call::BUSY, "too many connections, try again later"));
    }
    let mut receiver = Receiver::default();
    let first = first_line(&stream, &mut receiver);
    let Ok(first) = first else { return };
    let first = match first {
        Some(line) => match answer_ping(&stream, line, daemon) {
            Some(line) => Some(line),
            None => return,
        },
        other => other,
    };
    // Not before: a guard wakes the runtime, which would cost a ping more than its answer.
    let guard = parts.idle.guard();
    if let Err(mpsc::error::TrySendError::Full(caller)) = callers.try_send(Caller { stream, receiver, first, guard }) {
        tracing::warn!("more clients at once than can be taken; one was sent away");
        let busy = Error::new(call::BUSY, "too many clients at once, try again");
        let _ = send(&caller.stream, &call::error(None, &busy), &[]);
    }
}

/// The first line, if it is there or comes at once.
fn first_line(stream: &UnixStream, receiver: &mut Receiver) -> io::Result<Option<Line>> {
    stream.set_nonblocking(true)?;
    let begun = Instant::now();
    // A client that says a byte at a time keeps the others out no longer than one that is silent.
    while begun.elapsed() < FIRST_LINE_PATIENCE {
        match receiver.fill(stream.as_fd()) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {
                if let Some(line) = receiver.line() {
                    return Ok(Some(line));
                }
            }
            // It connects first and then gathers what it says; to be woken twice takes longer.
            Err(err) if err.kind() == io::ErrorKind::WouldBlock && begun.elapsed() < EAGER => {
                std::hint::spin_loop();
            }
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                let mut ready = [PollFd::new(stream, PollFlags::IN)];
                if poll(&mut ready, Some(&FIRST_LINE_WAIT))? == 0 {
                    return Ok(None);
                }
            }
            Err(err) => return Err(err),
        }
    }
    Ok(None)
}

/// Answers a ping whose reader is ready; anything else comes back.
fn answer_ping(stream: &UnixStream, line: Line, daemon: &Daemon) -> Option<Line> {
    // Reading the long line of a build is its session's work.
    if !line.bytes.windows(PING.len()).any(|part| part == PING) {
        return Some(line);
    }
    // The environment, most of the line, is not looked at.
    let Ok(request) = serde_json::from_slice::<Request<'_>>(&line.bytes) else { return Some(line) };
    let Ok(ping) = call::params::<Ping>(&request) else { return Some(line) };
    let is_ping =
        request.method == START && ping.protocol == PROTOCOL && ping.fds == FDS && line.fds.len() == FDS.len();
    let text = ping_answer();
    let mut ready = [PollFd::new(&line.fds[1], PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    // POSIX promises that a write this short to a ready pipe goes through at once.
    let fits = is_ping && cli::is_ping(&ping.argv) && text.len() <= PIPE_BUF && daemon.config().is_ok();
    if !fits || poll(&mut ready, Some(&now)) != Ok(1) || !ready[0].revents().contains(PollFlags::OUT) {
        return Some(line);
    }
    // A reader or client that went away is the person's wish.
    let _ = rustix::io::write(&line.fds[1], text.as_bytes());
    let accepted = call::notification("session.accepted", &Accepted { repeat: true });
    let ended = call::result(request.id, &Ended { exit: exit::OK, run: ping.run });
    let _ = send(stream, &[accepted, ended].concat(), &[]);
    None
}

/// What `vx ping` prints.
pub fn ping_answer() -> String {
    format!("vx-daemon {} is there\n", env!("CARGO_PKG_VERSION"))
}

/// Reads `session.start`; the error goes to the client, under the id where there is one.
pub fn read_start(line: &[u8], fds: &[OwnedFd]) -> Result<(Option<u64>, Start), (Option<u64>, Error)> {
    let request: Request<'_> =
        serde_json::from_slice(line).map_err(|err| (None, Error::new(call::NO_JSON, err.to_string())))?;
    let id = request.id;
    let refuse = |error| (id, error);
    if request.method != START {
        let what = format!("unknown method {}", request.method);
        return Err(refuse(Error::new(call::UNKNOWN_METHOD, what)));
    }
    let start: Start = call::params(&request).map_err(refuse)?;
    if start.protocol != PROTOCOL {
        let what =
            format!("vx speaks protocol {}, this daemon {PROTOCOL}: install both of one version", start.protocol);
        return Err(refuse(Error::new(call::VERSION, what)));
    }
    if start.fds != FDS || fds.len() != FDS.len() {
        return Err(refuse(Error::new(call::INVALID_PARAMS, "session.start needs stdin, stdout and stderr")));
    }
    Ok((id, start))
}
