//! Starts the person's own programs: through execd, on the session's three descriptors, and hands
//! them the signals that the client gets. Which program, and with what, is the word's.

use std::{
    convert::Infallible,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use shared::{
    client::exec::{Exit, ProgramEnded, ProgramRun, ProgramSignal},
    fault::Failure,
    limits,
    wire::text::Text,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    cargo::process::Process,
    services::{ServiceError, Services},
};

/// How often, and how long apart, a signal is sent to a program that is only just being started.
const TRIES: u32 = 20;
const TRY_AGAIN: Duration = Duration::from_millis(25);

/// What a program of a session is started with, whichever it is.
pub struct Ground {
    /// Standard input, output and error.
    pub streams: [OwnedFd; 3],
    /// The person's variables.
    pub environment: Vec<(Text, Text)>,
    /// The client's mask for the modes of new files.
    pub umask: Option<u32>,
    /// Where the client's signals go.
    pub signals: Arc<Signals>,
    /// Tells the client that from here on nothing may be done twice.
    pub once: mpsc::Sender<oneshot::Sender<()>>,
}

impl Ground {
    /// Standard error, for programs of vx's own that report there.
    pub fn stderr(&self) -> &OwnedFd {
        let [_, _, stderr] = &self.streams;
        stderr
    }
}

/// Where the signals that a client forwards go: to the program that runs, else they end the session.
pub struct Signals {
    program: Mutex<Option<mpsc::Sender<i32>>>,
    cancel: CancellationToken,
}

impl Signals {
    /// For a session that `cancel` ends.
    pub fn new(cancel: CancellationToken) -> Self {
        Signals { program: Mutex::default(), cancel }
    }

    /// Passes one on.
    pub fn deliver(&self, signal: i32) {
        match self.lock().as_ref() {
            // Who sends more than are taken has sent this one already.
            Some(program) => drop(program.try_send(signal)),
            None if ends(signal) => self.cancel.cancel(),
            None => {}
        }
    }

    fn open(&self) -> (Passing<'_>, mpsc::Receiver<i32>) {
        let (sender, signals) = mpsc::channel(limits::SIGNALS);
        *self.lock() = Some(sender);
        (Passing(self), signals)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<mpsc::Sender<i32>>> {
        self.program.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While it lives signals go to a program.
struct Passing<'a>(&'a Signals);

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

/// Whether a program that does not expect a signal ends by it. The others are about the terminal.
fn ends(signal: i32) -> bool {
    !matches!(signal, libc::SIGWINCH | libc::SIGTSTP | libc::SIGCONT)
}

/// What a signal that would end a program does besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    /// The program decides, as when it were the shell's own child.
    Alone,
    /// One of many: no other is started after it, and who sends a second does not want to wait.
    OneOfMany,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It ran.
    Ran(Exit),
    /// It never began: the system's number for why.
    Never(i32),
    /// The session was cancelled before its end.
    Cancelled,
}

/// Runs one program to its end.
pub async fn run(
    services: &Services,
    ground: &Ground,
    process: &Process,
    manners: Manners,
    cancel: &CancellationToken,
) -> Result<Ended, Failure> {
    let (_passing, mut signals) = ground.signals.open();
    let (told, wait) = oneshot::channel();
    // A client that is gone ends the session, and with it this.
    let _gone = ground.once.send(told).await;
    let _gone = wait.await;
    let run = ProgramRun {
        name: next_name(),
        argv: process.argv.clone(),
        env: process.environment(&ground.environment),
        cwd: Text::from(PathBuf::clone(&process.cwd).into_os_string()),
        umask: ground.umask,
    };
    let told_to_end = AtomicU32::new(0);
    let forward = async {
        while let Some(signal) = signals.recv().await {
            if manners == Manners::OneOfMany && ends(signal) && told_to_end.fetch_add(1, Ordering::Relaxed) > 0 {
                cancel.cancel();
            }
            pass(services, &run.name, signal).await;
        }
        // Its sender lives as long as this function.
        std::future::pending::<Infallible>().await
    };
    let ended = tokio::select! {
        ended = services.exec.program(&run, &ground.streams) => ended,
        never = forward => match never {},
        () = cancel.cancelled() => return Ok(Ended::Cancelled),
    };
    if told_to_end.into_inner() > 0 {
        cancel.cancel();
    }
    match ended.map_err(|err| Failure::from(ServiceError::from(err)))? {
        ProgramEnded::Ran(exit) => Ok(Ended::Ran(exit)),
        ProgramEnded::Never(errno) => Ok(Ended::Never(errno)),
    }
}

async fn pass(services: &Services, name: &str, sig: i32) {
    let signal = ProgramSignal { name: name.to_owned(), sig };
    for _ in 0..TRIES {
        match services.exec.signal(&signal).await {
            Ok(()) => return,
            Err(err) => tracing::debug!(%err, sig, "a signal did not reach its program"),
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

/// Of this process, and counted.
fn next_name() -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    format!("{}.{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed))
}

/// The mask for new files of a client in the same process namespace; where it cannot be seen,
/// programs get the executor's.
pub fn umask(client: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{client}/status")).ok()?;
    let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    (value("Name:") == Some("vx")).then(|| u32::from_str_radix(value("Umask:")?, 8).ok()).flatten()
}

/// That a program could not be started, as cargo says it.
pub fn never(shown: &str, errno: i32) -> String {
    let why = std::io::Error::from_raw_os_error(errno);
    format!("could not execute process {shown} (never executed)\n\nCaused by:\n  {why}")
}

/// The exit code of a client whose program ended so; death by a signal as shells report it.
pub fn exit_code(exit: Exit) -> u8 {
    match exit {
        Exit::Code(code) => u8::try_from(code & 0xff).unwrap_or(u8::MAX),
        Exit::Signal(signal) => u8::try_from(128 + (signal & 0x7f)).unwrap_or(u8::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_go_to_the_program_that_runs() {
        let cancel = CancellationToken::new();
        let signals = Signals::new(cancel.clone());
        signals.deliver(libc::SIGWINCH);
        assert!(!cancel.is_cancelled(), "a terminal that changes its size is no wish to end");
        let (passing, mut program) = signals.open();
        signals.deliver(libc::SIGINT);
        assert_eq!(program.try_recv(), Ok(libc::SIGINT));
        assert!(!cancel.is_cancelled());
        drop(passing);
        signals.deliver(libc::SIGINT);
        assert!(cancel.is_cancelled());
    }

    #[test]
    fn codes_are_those_of_shells() {
        assert_eq!(exit_code(Exit::Code(7)), 7);
        assert_eq!(exit_code(Exit::Code(255)), 255);
        assert_eq!(exit_code(Exit::Signal(libc::SIGSEGV)), 139);
    }
}
