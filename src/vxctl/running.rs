//! Words that are for running services only: `drain` and `log-level`. A service that does not run
//! has nothing to finish, and starts with the usual level.

use std::time::Duration;

use shared::{control::ControlError, control::Remote, fault::exit, limits, paths::Service};

use crate::{
    bus::{Answer, Facts, JobError, Verb, Ways},
    cli, complain, print,
    state::judge,
};

/// A running service; else, where that is no trouble, none, and where it is, the exit code.
async fn running(ways: &Ways, service: Service) -> Result<Option<Remote>, u8> {
    let (units, reached) = ways.reach(service).await;
    let answer = match reached {
        Ok(remote) => return Ok(Some(remote)),
        Err(answer) => answer,
    };
    let row = judge(Facts { service, units, answer });
    if row.state.is_trouble() { Err(complain(&row)) } else { Ok(None) }
}

/// `vxctl drain`: one after the other, for the daemon's builds need the other two.
pub async fn drain(services: &[Service]) -> u8 {
    let ways = Ways::open().await;
    let mut code = exit::OK;
    for service in Service::ALL.iter().filter(|service| services.contains(service)) {
        let program = service.program();
        match running(&ways, *service).await {
            Ok(None) => print(&format!("{program:9}  not running\n")),
            Ok(Some(remote)) => match leave(*service, &remote).await {
                Ok(()) => print(&format!("{program:9}  has left\n")),
                Err(e) => code = refused(*service, &e),
            },
            Err(failed) => code = failed,
        }
    }
    code
}

/// A drain that takes longer says so.
const SILENCE: Duration = Duration::from_secs(1);

async fn leave(service: Service, remote: &Remote) -> Result<(), ControlError> {
    remote.drain().await?;
    if tokio::time::timeout(SILENCE, remote.gone()).await.is_ok() {
        return Ok(());
    }
    print(&format!("{:9}  finishing what runs\n", service.program()));
    // It ends by itself within this time, whatever runs.
    let limit = limits::DRAIN_ASKED + Duration::from_secs(5);
    tokio::time::timeout(limit, remote.gone()).await.map_err(|_| ControlError::NoAnswer)
}

/// `vxctl log-level [SERVICE] [LEVEL]`.
pub async fn log_level(words: &[String]) -> u8 {
    let (service, level) = match words {
        [] => (None, None),
        [word] => match cli::named(word) {
            Some(service) => (Some(service), None),
            None => (None, Some(word)),
        },
        [service, level, ..] => match cli::named(service) {
            Some(service) => (Some(service), Some(level)),
            None => {
                eprintln!("vxctl: {service} is no service: vx-daemon, vx-casd or vx-execd");
                return exit::USAGE;
            }
        },
    };
    let ways = Ways::open().await;
    let mut code = exit::OK;
    for service in Service::ALL.into_iter().filter(|one| service.is_none_or(|named| named == *one)) {
        let program = service.program();
        match running(&ways, service).await {
            Ok(None) => print(&format!("{program:9}  not running\n")),
            Ok(Some(remote)) => match level_of(&remote, level.map(String::as_str)).await {
                Ok(now) => print(&format!("{program:9}  {now}\n")),
                Err(e) => code = refused(service, &e),
            },
            Err(failed) => code = failed,
        }
    }
    code
}

async fn level_of(remote: &Remote, new: Option<&str>) -> Result<String, ControlError> {
    if let Some(level) = new {
        remote.set_log_level(level).await?;
    }
    remote.log_level().await
}

/// A service that answers with a refusal runs; anything else is trouble with it.
fn refused(service: Service, e: &ControlError) -> u8 {
    eprintln!("vxctl: {}: {e}", service.program());
    match e {
        ControlError::Protocol(_) => exit::FAILED,
        _ => exit::UNREACHABLE,
    }
}

/// The same for words that want a service to be up: it is started if it is not.
pub async fn started(ways: &Ways, service: Service) -> Result<Remote, u8> {
    if let Err(e) = started_quietly(ways, service).await {
        eprintln!("vxctl: {}: {e}", service.program());
        return Err(exit::UNREACHABLE);
    }
    let (units, reached) = ways.reach(service).await;
    reached.map_err(|answer| complain(&judge(Facts { service, units, answer })))
}

/// Starts an idle service, by its manager where there is one; the connect of whoever asks next does
/// elsewhere.
pub async fn started_quietly(ways: &Ways, service: Service) -> Result<(), JobError> {
    match (ways.reach(service).await.1, ways.manager()) {
        (Err(Answer::NotAsked), Some(manager)) => {
            manager.job(Verb::Start, &format!("{}.service", service.unit())).await
        }
        _ => Ok(()),
    }
}
