//! Asks: each service over the session bus, else over its control socket, and the service manager
//! about the units. Never starts a service by asking. What the answers mean is judged in state.rs.

use std::{io, path::PathBuf};

use shared::{
    control::{self, ControlError, Remote, Report},
    paths::Service,
};
use zbus::Connection;

mod manager;

pub use manager::{JobError, Manager, Units, Verb};

/// What came of asking the service itself.
#[derive(Debug)]
pub enum Answer {
    /// It said this.
    Report(Report),
    /// It was not asked, because asking would start it or it is on its way up or down.
    NotAsked,
    /// No control socket lies there.
    NoSocket,
    /// A socket file lies there and nobody listens on it.
    Refused(PathBuf),
    /// Anything else.
    Failed(ControlError),
}

/// All that can be known of one service without starting it.
#[derive(Debug)]
pub struct Facts {
    /// Which.
    pub service: Service,
    /// Its units, where a manager knows them.
    pub units: Option<Units>,
    /// Its own words.
    pub answer: Answer,
}

/// The ways to the services that this place has.
pub struct Ways {
    bus: Option<Connection>,
    manager: Option<Manager>,
}

impl Ways {
    /// Looks for a session bus and a service manager. Neither is needed.
    pub async fn open() -> Ways {
        let bus = control::session_bus().await.ok().flatten();
        let manager = match &bus {
            Some(bus) => Manager::on(bus).await,
            None => None,
        };
        Ways { bus, manager }
    }

    /// The service manager, where one can be asked.
    pub fn manager(&self) -> Option<&Manager> {
        self.manager.as_ref()
    }

    /// Whether there is a session bus.
    pub fn has_bus(&self) -> bool {
        self.bus.is_some()
    }

    /// Reaches a service that runs, and says in its own words why not.
    pub async fn reach(&self, service: Service) -> (Option<Units>, Result<Remote, Answer>) {
        let units = match &self.manager {
            Some(manager) => manager.units(service).await.ok(),
            None => None,
        };
        if let Some(bus) = &self.bus {
            match Remote::on_bus(bus, service).await {
                Ok(remote) => return (units, Ok(remote)),
                Err(ControlError::NotOnBus) => {}
                Err(e) => return (units, Err(Answer::Failed(e))),
            }
        }
        if units.as_ref().is_some_and(|units| !may_connect(units)) {
            return (units, Err(Answer::NotAsked));
        }
        let Some(path) = service.control_socket() else {
            return (units, Err(Answer::NoSocket));
        };
        let remote = Remote::on_socket(&path, service).await.map_err(|e| match e {
            ControlError::Connect(e) if e.kind() == io::ErrorKind::NotFound => Answer::NoSocket,
            ControlError::Connect(e) if e.kind() == io::ErrorKind::ConnectionRefused => Answer::Refused(path),
            e => Answer::Failed(e),
        });
        (units, remote)
    }

    /// Everything about one service.
    pub async fn facts(&self, service: Service) -> Facts {
        let (units, reached) = self.reach(service).await;
        let answer = match reached {
            Ok(remote) => match remote.report().await {
                Ok(report) => Answer::Report(report),
                Err(e) => Answer::Failed(e),
            },
            Err(answer) => answer,
        };
        Facts { service, units, answer }
    }
}

/// A connect to a socket that the manager listens on starts the service, so it is left alone
/// unless the service is up already. A socket that the manager does not hold is somebody else's
/// (`--listen`), and connecting starts nothing.
fn may_connect(units: &Units) -> bool {
    match units.active.as_str() {
        "active" | "reloading" => true,
        "activating" | "deactivating" => false,
        _ => units.socket_active != "active",
    }
}
