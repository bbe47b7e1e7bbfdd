//! Asks: each service over the session bus, else over its control socket, and the service manager
//! about the units. Never starts a service by asking. What the answers mean is judged in state.rs.

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use shared::{
    control::{self, ControlError, Remote, Report},
    paths::{self, Service},
};
use zbus::{
    Connection, OwnedObjectPath, OwnedVariant, Variant, fdo::PropertiesProxy, names::InterfaceName,
    proxy::CacheProperties,
};

const MANAGER: &str = "org.freedesktop.systemd1";

/// How long a manager that runs may take to appear on a bus that has just been started.
const MANAGER_WAIT: Duration = Duration::from_secs(1);

/// A pair of units, as the manager has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Units {
    /// `loaded`, `not-found`, … of the socket unit.
    pub socket_load: String,
    /// `active`, `inactive`, `failed` of the socket unit.
    pub socket_active: String,
    /// `active`, `inactive`, `activating`, `deactivating`, `failed` of the service unit.
    pub active: String,
    /// Why the service unit ended last: `success`, `exit-code`, `signal`, `watchdog` ….
    pub result: String,
    /// Its process, 0 for none.
    pub main_pid: u32,
    /// How often the manager restarted it after a failure.
    pub restarts: u32,
    /// When it became active, in microseconds since 1970.
    pub active_since_usec: u64,
    /// Its own last word by sd_notify.
    pub status_text: String,
}

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
    manager: Option<Connection>,
}

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Manager {
    /// Loads, never starts.
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
}

impl Ways {
    /// Looks for a session bus and a service manager. Neither is needed.
    pub async fn open() -> Ways {
        let bus = control::session_bus().await.ok().flatten();
        let manager = match &bus {
            Some(bus) if has_manager(bus).await => Some(bus.clone()),
            _ => None,
        };
        Ways { bus, manager }
    }

    /// Reaches a service that runs, and says in its own words why not.
    pub async fn reach(&self, service: Service) -> (Option<Units>, Result<Remote, Answer>) {
        let units = match &self.manager {
            Some(manager) => units(manager, service).await.ok(),
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

/// Whether the service manager can be asked over this bus. A bus that was started by our own
/// connect has the manager on it a moment later, so where one runs, it is waited for.
async fn has_manager(bus: &Connection) -> bool {
    let Ok(names) = zbus::fdo::DBusProxy::new(bus).await else { return false };
    let runs = paths::runtime_dir()
        .and_then(|vx| Some(vx.parent()?.join("systemd/private")))
        .is_some_and(|socket| socket.exists());
    let asked = Instant::now();
    loop {
        let Ok(name) = MANAGER.try_into() else { return false };
        if names.name_has_owner(name).await.unwrap_or(false) {
            return true;
        }
        if !runs || asked.elapsed() > MANAGER_WAIT {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn units(manager: &Connection, service: Service) -> zbus::Result<Units> {
    let proxy = ManagerProxy::builder(manager).cache_properties(CacheProperties::No).build().await?;
    let name = service.unit();
    let socket = proxy.load_unit(&format!("{name}.socket")).await?;
    let socket = properties(manager, &socket, "Unit").await?;
    let path = proxy.load_unit(&format!("{name}.service")).await?;
    let unit = properties(manager, &path, "Unit").await?;
    let more = properties(manager, &path, "Service").await?;
    Ok(Units {
        socket_load: text(&socket, "LoadState"),
        socket_active: text(&socket, "ActiveState"),
        active: text(&unit, "ActiveState"),
        result: text(&more, "Result"),
        main_pid: u32::try_from(number(&more, "MainPID")).unwrap_or(0),
        restarts: u32::try_from(number(&more, "NRestarts")).unwrap_or(0),
        active_since_usec: number(&unit, "ActiveEnterTimestamp"),
        status_text: text(&more, "StatusText"),
    })
}

type Properties = HashMap<String, OwnedVariant>;

async fn properties(manager: &Connection, unit: &OwnedObjectPath, interface: &str) -> zbus::Result<Properties> {
    let proxy = PropertiesProxy::builder(manager).destination(MANAGER).path(unit).build().await?;
    let interface = InterfaceName::try_from(format!("{MANAGER}.{interface}"))?;
    Ok(proxy.get_all(interface).await?)
}

fn text(properties: &Properties, key: &str) -> String {
    match properties.get(key).map(|value| &**value) {
        Some(Variant::Str(text)) => text.to_string(),
        _ => String::new(),
    }
}

fn number(properties: &Properties, key: &str) -> u64 {
    match properties.get(key).map(|value| &**value) {
        Some(Variant::U64(number)) => *number,
        Some(Variant::U32(number)) => u64::from(*number),
        _ => 0,
    }
}
