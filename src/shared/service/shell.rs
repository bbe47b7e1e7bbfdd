//! What every service has around it: the command line, the limit of open files, and what it lends
//! to its control plane.

use std::{any::Any, path::PathBuf, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, Parser};
use rustix::process::{Resource, getrlimit, setrlimit};

use super::{Idle, Shutdown};
use crate::{
    control::{self, LogLine},
    fault::exit,
    paths::Service,
    telemetry::{Log, Target},
};

/// What a service can be told on its command line.
#[derive(Parser)]
struct Arguments {
    /// Bind this socket instead of taking the one that the init system passes
    #[arg(long, value_name = "PATH")]
    listen: Option<PathBuf>,
}

/// Reads the command line: where to listen, if not on passed sockets. What has been printed, and
/// the exit code, where that is all.
pub(super) fn arguments(service: Service) -> Result<Option<PathBuf>, ExitCode> {
    let about = match service {
        Service::Daemon => "The build daemon of vx. The init system starts it on the first connect to its socket.",
        Service::Cas => "The store of vx. The init system starts it on the first connect to its socket.",
        Service::Exec => "The executor of vx. The init system starts it on the first connect to its socket.",
    };
    let command = Arguments::command().name(service.program()).version(env!("CARGO_PKG_VERSION")).about(about);
    match command.try_get_matches().and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => Ok(arguments.listen),
        Err(err) => {
            let code = if err.use_stderr() { exit::USAGE } else { exit::OK };
            // Help that nobody reads is no failure.
            let _ = err.print();
            Err(ExitCode::from(code))
        }
    }
}

/// Segments, blobs and clients each hold a descriptor; the usual 1,024 are few.
pub(super) fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files cannot be raised, ignoring");
    }
}

/// What a service lends to its control plane.
pub(super) struct Lent {
    pub idle: Idle,
    pub shutdown: Shutdown,
    pub log: &'static Log,
}

impl control::Shell for Lent {
    fn attend(&self) -> Box<dyn Any + Send> {
        Box::new(self.idle.attention())
    }

    fn drain(&self) {
        self.shutdown.request();
    }

    fn log(&self) -> &dyn control::Log {
        self
    }
}

impl control::Log for Lent {
    fn level(&self) -> String {
        self.log.level()
    }

    fn set_level(&self, level: &str) -> Result<(), String> {
        if self.log.set_level(level) {
            return Ok(());
        }
        Err(format!("{level} is no level: emerg, alert, crit, err, warning, notice, info or debug"))
    }

    fn target(&self) -> String {
        match self.log.target() {
            Target::Journal => "journal",
            Target::Console => "console",
        }
        .to_owned()
    }

    fn set_target(&self, target: &str) -> Result<(), String> {
        self.log.set_target(match target {
            "journal" => Target::Journal,
            "console" => Target::Console,
            other => return Err(format!("{other} is no target here: journal or console")),
        });
        Ok(())
    }

    fn identifier(&self) -> String {
        self.log.identifier().to_owned()
    }

    fn lines(&self, after: u64, most: usize) -> Vec<LogLine> {
        let line = |line: crate::telemetry::Line| LogLine {
            number: line.number,
            usec: line.usec,
            priority: line.priority,
            text: line.text,
        };
        self.log.lines(after, most).into_iter().map(line).collect()
    }

    fn dropped(&self) -> u64 {
        self.log.dropped()
    }
}
