//! vxctl, the control program: asks the services over D-Bus and shows what they say. It starts
//! nothing, and listens to nobody.

mod bus;
mod cli;
mod render;
mod state;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Parser;
use futures_util::future::join_all;
use shared::{
    config::{Config, ConfigError},
    control::ControlError,
    fault::exit,
    paths::{self, Service},
};

use crate::{
    bus::{Answer, Facts, Ways},
    cli::{Cli, Word},
};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let code = if e.use_stderr() { exit::USAGE } else { exit::OK };
            // Help that nobody reads is no failure.
            let _ = e.print();
            return ExitCode::from(code);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("vxctl: cannot start: {e}");
            return ExitCode::from(exit::FAILED);
        }
    };
    let code = runtime.block_on(async {
        match cli.word {
            Word::Status { json } => status(if json { render::json } else { render::people }).await,
            Word::Reload => reload().await,
        }
    });
    ExitCode::from(code)
}

async fn status(render: fn(&[state::Row], u64) -> String) -> u8 {
    let ways = Ways::open().await;
    let facts = join_all(Service::ALL.map(|service| ways.facts(service))).await;
    let rows: Vec<_> = facts.into_iter().map(state::judge).collect();
    print(&render(&rows, now_usec()));
    if rows.iter().any(|row| row.state == state::State::Skewed) {
        exit::PROTOCOL
    } else if rows.iter().any(|row| row.state.is_trouble()) {
        exit::UNREACHABLE
    } else {
        exit::OK
    }
}

/// What became of one service at a reload.
enum Reloaded {
    Done,
    /// It reads the file when it starts.
    NotRunning,
    Invalid(ConfigError),
    Trouble(state::Row),
}

async fn reload() -> u8 {
    let ways = Ways::open().await;
    let mut outcomes = join_all(Service::ALL.map(|service| reload_one(&ways, service))).await;
    if outcomes.iter().all(|(_, outcome)| matches!(outcome, Reloaded::NotRunning))
        && let Some(file) = paths::config_file()
        && let Err(e) = Config::load(&file)
    {
        // No service is there to say it, and the next start would meet it.
        outcomes[0].1 = Reloaded::Invalid(e);
    }
    let mut invalid: Vec<&ConfigError> = Vec::new();
    let mut text = String::new();
    let mut code = exit::OK;
    for (service, outcome) in &outcomes {
        let program = service.program();
        match outcome {
            Reloaded::Done => text += &format!("{program:9}  reloaded\n"),
            Reloaded::NotRunning => text += &format!("{program:9}  not running; reads vx.toml when it starts\n"),
            Reloaded::Invalid(e) => {
                if !invalid.contains(&e) {
                    invalid.push(e);
                }
            }
            Reloaded::Trouble(row) => {
                let cause = row.cause.as_deref().unwrap_or("");
                eprintln!("vxctl: {program}: {}: {cause}", row.state.word());
                code = if row.state == state::State::Skewed { exit::PROTOCOL } else { exit::UNREACHABLE };
            }
        }
    }
    if invalid.is_empty() {
        print(&text);
        return code;
    }
    for e in invalid {
        eprintln!("vxctl: {e}");
    }
    eprintln!("The services keep the configuration they have.");
    exit::CONFIG
}

async fn reload_one(ways: &Ways, service: Service) -> (Service, Reloaded) {
    let (units, reached) = ways.reach(service).await;
    let answer = match reached {
        Ok(remote) => match remote.reload().await {
            Ok(()) => return (service, Reloaded::Done),
            Err(ControlError::ConfigInvalid(e)) => return (service, Reloaded::Invalid(e)),
            Err(e) => Answer::Failed(e),
        },
        Err(answer) => answer,
    };
    let row = state::judge(Facts { service, units, answer });
    let outcome = if row.state.is_trouble() && row.state != state::State::Failed && row.state != state::State::Refused {
        Reloaded::Trouble(row)
    } else {
        Reloaded::NotRunning
    };
    (service, outcome)
}

/// A reader that has gone (`vxctl status | head -1`) is no failure.
fn print(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

fn now_usec() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}
