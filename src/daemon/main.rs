//! vx-daemon: sessions, the build graph and scheduling, on a socket that the init system holds. It
//! never runs a compiler and never stores a blob; the pieces are opened here and handed to the
//! shell of a service.

mod action;
mod build;
mod cargo;
mod cli;
mod control;
mod daemon;
mod door;
mod events;
mod execute;
#[cfg(test)]
mod golden;
mod graph;
mod inputs;
mod names;
mod outcome;
mod output;
mod place;
mod run;
mod services;
mod session;
mod sources;
mod streams;
mod terminal;
mod workspace;

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::Parser;
use shared::{
    config::{Config, ConfigError},
    fault::exit,
    paths::Service,
    service::{self, Parts, Sockets},
    telemetry,
};

use crate::{control::Control, daemon::Daemon};

/// The build daemon of vx. The init system starts it on the first connect to its socket.
#[derive(Parser)]
#[command(name = "vx-daemon", version)]
struct Arguments {
    /// Bind this socket instead of taking the one that the init system passes.
    #[arg(long, value_name = "PATH")]
    listen: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    telemetry::start();
    let sockets = match service::take_sockets(Service::Daemon, arguments.listen.as_deref()) {
        Ok(sockets) => sockets,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::from(exit::FAILED);
        }
    };
    let config = daemon::read_config();
    if let Err(error) = &config {
        tracing::error!("{error}");
    }
    let timeout =
        config.as_ref().map_or_else(|_| Config::default().daemon, |config| config.daemon.clone()).idle_timeout();
    service::run(Service::Daemon, timeout, |parts| run(sockets, config, parts))
}

async fn run(sockets: Sockets, config: Result<Config, ConfigError>, parts: Parts) -> anyhow::Result<()> {
    let daemon = Arc::new(Daemon::new(config));
    let control = Arc::new(Control::new(Arc::clone(&daemon), parts.clone()));
    let _control = parts.control(control, sockets.control).await?;
    let callers = door::open(sockets.main, Arc::clone(&daemon), &parts)?;
    parts.ready("Serving");
    session::serve(callers, daemon).await;
    Ok(())
}
