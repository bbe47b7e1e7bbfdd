//! `vxctl reload`: has the running services read vx.toml again, and shows one error once.

use futures_util::future::join_all;
use shared::{
    config::{Config, ConfigError},
    control::ControlError,
    fault::exit,
    paths::{self, Service},
};

use crate::{
    bus::{Answer, Facts, Ways},
    complain, print,
    state::{Row, State, judge},
};

/// What became of one service at a reload.
enum Reloaded {
    Done,
    /// It reads the file when it starts.
    NotRunning,
    Invalid(ConfigError),
    Trouble(Row),
}

/// Runs the word; the exit code.
pub async fn run() -> u8 {
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
                code = complain(row);
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
    let row = judge(Facts { service, units, answer });
    let outcome = if row.state.is_trouble() && row.state != State::Failed && row.state != State::Refused {
        Reloaded::Trouble(row)
    } else {
        Reloaded::NotRunning
    };
    (service, outcome)
}
