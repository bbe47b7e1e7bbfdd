//! The person's own programs (`program.run`): children of execd outside the action sandbox, on the
//! descriptors, in the environment and at the place of whoever asks. What is run and with which
//! variables is the caller's; nothing of it is kept.

use std::{
    collections::HashMap,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::{Mutex, PoisonError},
};

use shared::{
    client::exec::{Exit, ProgramEnded, ProgramRun, ProgramSignal},
    config::Rung,
    limits,
};
use tokio::sync::mpsc;
use tonic::Code;

use crate::{
    executor::Executor,
    launch::RunError,
    refusal::Refusal,
    sandbox::{Identity, Job, Network, Root, Status, Step},
};

/// Programs that run, by name, and the way for their signals.
#[derive(Debug, Default)]
pub struct Programs {
    running: Mutex<HashMap<String, mpsc::Sender<u8>>>,
}

impl Programs {
    /// Passes a signal on.
    pub fn signal(&self, signal: &ProgramSignal) -> Result<(), Refusal> {
        let unknown = || Refusal::new(Code::NotFound, format!("no program {:?}", signal.name));
        let number = u8::try_from(signal.sig).ok().filter(|number| (1..=MOST).contains(number));
        let number = number.ok_or_else(|| Refusal::new(Code::InvalidArgument, format!("no signal {}", signal.sig)))?;
        let sender = self.lock().get(&signal.name).cloned().ok_or_else(unknown)?;
        // Who sends more than are taken has sent this one already.
        let _full = sender.try_send(number);
        Ok(())
    }

    fn enter(&self, name: &str) -> Result<(Entry<'_>, mpsc::Receiver<u8>), Refusal> {
        let (sender, signals) = mpsc::channel(limits::SIGNALS);
        let mut running = self.lock();
        if running.contains_key(name) {
            return Err(Refusal::new(Code::AlreadyExists, format!("a program {name:?} runs already")));
        }
        running.insert(name.to_owned(), sender);
        Ok((Entry { programs: self, name: name.to_owned() }, signals))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, mpsc::Sender<u8>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The highest signal that has a name of its own.
const MOST: u8 = 31;

/// A program's name, as long as it runs.
struct Entry<'a> {
    programs: &'a Programs,
    name: String,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.programs.lock().remove(&self.name);
    }
}

/// Runs one program to its end. `fds` are its standard input, output and error.
pub async fn run(executor: &Executor, run: ProgramRun, fds: &[OwnedFd]) -> Result<ProgramEnded, Refusal> {
    let [stdin, stdout, stderr] = fds else {
        return Err(Refusal::new(
            Code::InvalidArgument,
            "program.run takes three descriptors: standard input, output and error",
        ));
    };
    if executor.parts.shutdown.is_requested() {
        return Err(Refusal::new(Code::Unavailable, "the executor is stopping; try again"));
    }
    if run.argv.is_empty() || !Path::new(run.cwd.as_os()).is_absolute() {
        return Err(Refusal::new(Code::InvalidArgument, "program.run needs a program and an absolute folder"));
    }
    let (_entry, mut signals) = executor.programs.enter(&run.name)?;
    let job = Job {
        rung: Rung::Process,
        outside: Identity::own(),
        root: Root::Open { umask: run.umask },
        mounts: Vec::new(),
        argv: run.argv,
        env: run.env,
        cwd: run.cwd,
        watched: None,
        heard: false,
        network: Network::Host,
        file_bytes: 0,
        processes: 0,
    };
    let mut running = executor.launch(&job, [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()], None, None)?;
    let ended = loop {
        tokio::select! {
            ended = running.wait() => break ended,
            // The sender stays in the table until this ends.
            Some(number) = signals.recv() => running.signal(number),
        }
    };
    match ended {
        Ok(ended) => Ok(ProgramEnded::Ran(match ended.status {
            Status::Exited(code) => Exit::Code(code),
            Status::Signalled(signal) => Exit::Signal(signal),
            Status::Killed => Exit::Signal(libc::SIGKILL),
        })),
        Err(RunError::Failed(fail)) if matches!(fail.step, Step::Program | Step::WorkingDirectory) => {
            Ok(ProgramEnded::Never(fail.errno))
        }
        Err(err) => Err(err.into()),
    }
}
