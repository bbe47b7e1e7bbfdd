//! One run of the person's cargo or rustc, in the sandbox: what it is given, and what it prints, heard
//! or straight onto the person's terminal. What is asked, and in which order, is `workspace`'s.

use std::{
    fs::File,
    io::{Read, Seek},
    os::fd::OwnedFd,
};

use rustix::fs::SeekFrom;
use shared::{
    client::exec::{CargoEnded, CargoKind, CargoRun, Exit},
    fault::{Failure, Fault, exit},
};

use super::NoPlan;
use crate::{
    cargo::{LOCK_FILE, decides::Question},
    memory,
    services::{Services, persist},
};

/// How one of cargo's or rustc's runs ended, and what it printed.
pub struct Heard {
    pub exit: Exit,
    pub stdout: String,
    pub stderr: String,
}

impl Heard {
    /// Whether it is to be believed.
    pub fn is_ok(&self) -> bool {
        self.exit == Exit::Code(0)
    }
}

/// `cargo fetch`, straight onto the person's terminal. What is wrong with the workspace it says
/// itself.
pub async fn fetch(services: &Services, question: &Question, stderr: &OwnedFd) -> Result<(), NoPlan> {
    let mut run = run_of(question, CargoKind::Fetch, question.selection.fetch_args());
    run.env = question.fetch_environment();
    speak(services, &run, stderr).await
}

/// Lets cargo do something and say itself how that went.
pub async fn speak(services: &Services, run: &CargoRun, stderr: &OwnedFd) -> Result<(), NoPlan> {
    let streams = [memory()?, duplicate(stderr)?];
    let ended = persist(async || services.exec.cargo(run, &streams).await).await.map_err(Failure::from)?;
    match ended.exit {
        Exit::Code(0) => Ok(()),
        Exit::Code(_) => Err(NoPlan::Said(String::new(), exit::CARGO_FAILED)),
        exit => Err(Failure::new(Fault::Environment, format!("cargo ended by {exit:?}")).into()),
    }
}

/// Only an answer that ended well; else in the words of who was asked.
pub fn succeeded(heard: Heard) -> Result<Heard, NoPlan> {
    match heard.exit {
        Exit::Code(0) => Ok(heard),
        Exit::Code(_) => Err(NoPlan::Said(heard.stderr, exit::CARGO_FAILED)),
        Exit::Signal(signal) => {
            let what = format!("cargo ended by signal {signal} while it was asked for the plan");
            Err(Failure::new(Fault::Environment, what).into())
        }
    }
}

/// Asks cargo or rustc something.
pub async fn hear(
    services: &Services,
    question: &Question,
    kind: CargoKind,
    args: Vec<String>,
) -> Result<Heard, NoPlan> {
    let mut run = run_of(question, kind, args);
    if !matches!(kind, CargoKind::Probe) {
        run.env = question.coloured_environment();
    }
    let streams = [memory()?, memory()?];
    let ended: CargoEnded = persist(async || {
        // A first attempt may have left half of its words.
        for stream in &streams {
            let _ = rustix::fs::ftruncate(stream, 0).and_then(|()| rustix::fs::seek(stream, SeekFrom::Start(0)));
        }
        services.exec.cargo(&run, &streams).await
    })
    .await
    .map_err(Failure::from)?;
    let [stdout, stderr] = streams;
    Ok(Heard { exit: ended.exit, stdout: text_of(stdout)?, stderr: text_of(stderr)? })
}

fn memory() -> Result<OwnedFd, Failure> {
    memory::file().map_err(|err| Failure::new(Fault::Environment, format!("no memory for cargo's answer: {err}")))
}

fn duplicate(fd: &OwnedFd) -> Result<OwnedFd, Failure> {
    fd.try_clone().map_err(|err| Failure::new(Fault::Environment, format!("standard error: {err}")))
}

fn text_of(fd: OwnedFd) -> Result<String, Failure> {
    let mut file = File::from(fd);
    let mut bytes = Vec::new();
    file.rewind()
        .and_then(|()| file.read_to_end(&mut bytes))
        .map_err(|err| Failure::new(Fault::Environment, format!("cargo's answer: {err}")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A run of cargo for a question.
pub fn run_of(question: &Question, kind: CargoKind, args: Vec<String>) -> CargoRun {
    CargoRun {
        kind,
        toolchain: question.toolchain.path.clone(),
        cargo_home: question.toolchain.cargo_home.clone(),
        root: question.located.root.clone(),
        cwd: question.cwd.clone(),
        args,
        env: question.cargo_environment(),
        show: question.beyond(),
        lock: Some(question.located.root.join(LOCK_FILE)),
        target: None,
    }
}
