//! vx-daemon: sessions, the build graph and scheduling, on a socket that the init system holds. It
//! never runs a compiler and never stores a blob; the pieces are opened here and handed to the
//! shell of a service.

mod action;
mod after;
mod audit;
mod beside;
mod build;
mod cargo;
mod cli;
mod closing;
mod control;
mod crates;
mod daemon;
mod documentation;
mod documented;
mod door;
mod embedded;
mod errand;
mod events;
mod exceptions;
mod execute;
#[cfg(test)]
mod golden;
mod graph;
mod history;
mod inputs;
mod live;
mod look;
mod memory;
mod mentions;
mod names;
mod out_dirs;
mod outcome;
mod output;
mod place;
mod probing;
mod programs;
mod progress;
mod quoted;
mod records;
mod removal;
mod run;
mod services;
mod session;
mod sources;
mod start;
mod streams;
mod terminal;
mod test;
mod vendored;
mod why;
mod workspace;
mod wrapped;

use std::{process::ExitCode, sync::Arc};

use shared::{
    paths::Service,
    service::{self, Parts, Start},
};

use crate::{control::Control, daemon::Daemon};

fn main() -> ExitCode {
    service::main(
        Service::Daemon,
        || Ok(()),
        |config| config.daemon.idle_timeout(),
        |(), start, parts| run(start, parts),
    )
}

async fn run(start: Start, parts: Parts) -> anyhow::Result<()> {
    let daemon = Arc::new(Daemon::new(start.config));
    let control = Arc::new(Control::new(Arc::clone(&daemon), parts.clone()));
    parts.control(control, start.sockets.control).await?;
    let callers = door::open(start.sockets.main, Arc::clone(&daemon), &parts)?;
    parts.ready("Serving");
    session::serve(callers, daemon).await;
    Ok(())
}
