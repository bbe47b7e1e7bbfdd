//! vxctl, the control program: asks the services over D-Bus and shows what they say. It runs no
//! program, and listens to nobody.

mod agents;
mod bus;
mod cli;
mod doctor;
mod journal;
mod logs;
mod reload;
mod render;
mod running;
mod state;
mod store;
mod sys;
mod units;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Parser;
use futures_util::future::join_all;
use shared::{fault::exit, paths::Service};

use crate::{
    bus::{Verb, Ways},
    cli::{AgentsWord, Cli, Word},
    logs::Follow,
    render::Form,
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
    ExitCode::from(runtime.block_on(run(cli.word)))
}

async fn run(word: Word) -> u8 {
    match word {
        Word::Status { json } => status(Form::new(json)).await,
        Word::Reload => reload::run().await,
        Word::Drain { services } => running::drain(&named(services)).await,
        Word::Start { services } => units::run(Verb::Start, &named(services)).await,
        Word::Stop { services } => units::run(Verb::Stop, &named(services)).await,
        Word::Restart { services } => units::run(Verb::Restart, &named(services)).await,
        Word::LogLevel { words } => running::log_level(&words).await,
        Word::Logs { services, follow, lines } => {
            let follow = if follow { Follow::On } else { Follow::No };
            logs::run(&named(services), lines, follow).await
        }
        Word::Cas { word } => store::run(word).await,
        Word::Doctor => doctor::run().await,
        Word::Agents { word } => match word {
            AgentsWord::Print { services } => agents::show(&named(services)),
            AgentsWord::Install { services } => agents::install(&named(services)),
        },
    }
}

/// Who names none means all.
fn named(services: Vec<Service>) -> Vec<Service> {
    if services.is_empty() { Service::ALL.to_vec() } else { services }
}

async fn status(form: Form) -> u8 {
    let ways = Ways::open().await;
    let facts = join_all(Service::ALL.map(|service| ways.facts(service))).await;
    let rows: Vec<_> = facts.into_iter().map(state::judge).collect();
    print(&match form {
        Form::Json => render::json(&rows, now_usec()),
        Form::People => render::people(&rows, now_usec()),
    });
    if rows.iter().any(|row| row.state == state::State::Skewed) {
        exit::PROTOCOL
    } else if rows.iter().any(|row| row.state.is_trouble()) {
        exit::UNREACHABLE
    } else {
        exit::OK
    }
}

/// Says why a service cannot do what was asked; the exit code.
fn complain(row: &state::Row) -> u8 {
    eprintln!("vxctl: {}: {}: {}", row.service.program(), row.state.word(), row.cause.as_deref().unwrap_or(""));
    if row.state == state::State::Skewed { exit::PROTOCOL } else { exit::UNREACHABLE }
}

/// A reader that has gone (`vxctl status | head -1`) is no failure.
fn print(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

fn now_usec() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}
