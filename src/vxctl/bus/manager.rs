//! The service manager on the bus: what it knows of the units, and jobs that it is given and waited
//! for. No program is run for any of it.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use shared::{
    limits::JOB_WAIT,
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
    /// `enabled`, `disabled`, … of the socket unit.
    pub socket_enabled: String,
    /// The file of the service unit.
    pub path: String,
    /// Whether a unit's file was changed since the manager read it.
    pub stale: bool,
    /// What the service unit starts.
    pub program: String,
    /// Whether the manager gives the service a part of the cgroup tree to rule.
    pub delegates: bool,
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

/// What a unit is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Be up.
    Start,
    /// Be down.
    Stop,
    /// Be up anew.
    Restart,
}

/// Why a job did not do what it was for.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The manager would not take it.
    #[error("{0}")]
    Refused(String),
    /// It ended otherwise: `failed`, `timeout`, `dependency`, `canceled`.
    #[error("the job of {unit} ended as {result}: journalctl --user -u {unit}")]
    Ended {
        /// The unit.
        unit: String,
        /// The manager's word.
        result: String,
    },
    /// It did not end.
    #[error("the job of {0} has not ended after {wait} s", wait = JOB_WAIT.as_secs())]
    Pending(String),
}

impl From<zbus::Error> for JobError {
    fn from(e: zbus::Error) -> Self {
        match e {
            zbus::Error::MethodError(name, text, _) => JobError::Refused(text.unwrap_or_else(|| name.to_string())),
            e => JobError::Refused(e.to_string()),
        }
    }
}

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Manager1 {
    /// Loads, never starts.
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    /// Without it the signals below are not sent.
    fn subscribe(&self) -> zbus::Result<()>;
    #[zbus(signal)]
    fn job_removed(&self, id: u32, job: OwnedObjectPath, unit: String, result: String) -> zbus::Result<()>;
}

/// The service manager.
pub struct Manager {
    proxy: Manager1Proxy<'static>,
}

impl Manager {
    /// The manager, if it is on this bus. A bus that was started by our own connect has it a moment
    /// later, so where one runs, it is waited for.
    pub async fn on(bus: &Connection) -> Option<Manager> {
        let names = zbus::fdo::DBusProxy::new(bus).await.ok()?;
        let runs = paths::runtime_dir()
            .and_then(|vx| Some(vx.parent()?.join("systemd/private")))
            .is_some_and(|socket| socket.exists());
        let asked = Instant::now();
        while !names.name_has_owner(MANAGER.try_into().ok()?).await.unwrap_or(false) {
            if !runs || asked.elapsed() > MANAGER_WAIT {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let proxy = Manager1Proxy::builder(bus).cache_properties(CacheProperties::No).build().await.ok()?;
        Some(Manager { proxy })
    }

    /// What it knows of a service's units.
    pub async fn units(&self, service: Service) -> zbus::Result<Units> {
        let name = service.unit();
        let (socket, service) = (format!("{name}.socket"), format!("{name}.service"));
        let (socket, service) = tokio::try_join!(self.proxy.load_unit(&socket), self.proxy.load_unit(&service))?;
        let (socket, unit, more) = tokio::try_join!(
            self.properties(&socket, "Unit"),
            self.properties(&service, "Unit"),
            self.properties(&service, "Service")
        )?;
        Ok(Units {
            socket_load: text(&socket, "LoadState"),
            socket_active: text(&socket, "ActiveState"),
            socket_enabled: text(&socket, "UnitFileState"),
            path: text(&unit, "FragmentPath"),
            stale: flag(&unit, "NeedDaemonReload") || flag(&socket, "NeedDaemonReload"),
            program: program(&more),
            delegates: flag(&more, "Delegate"),
            active: text(&unit, "ActiveState"),
            result: text(&more, "Result"),
            main_pid: u32::try_from(number(&more, "MainPID")).unwrap_or(0),
            restarts: u32::try_from(number(&more, "NRestarts")).unwrap_or(0),
            active_since_usec: number(&unit, "ActiveEnterTimestamp"),
            status_text: text(&more, "StatusText"),
        })
    }

    async fn properties(&self, unit: &OwnedObjectPath, interface: &str) -> zbus::Result<Properties> {
        let proxy =
            PropertiesProxy::builder(self.proxy.inner().connection()).destination(MANAGER).path(unit).build().await?;
        let interface = InterfaceName::try_from(format!("{MANAGER}.{interface}"))?;
        Ok(proxy.get_all(interface).await?)
    }

    /// Gives it a job and waits until that has ended.
    pub async fn job(&self, verb: Verb, unit: &str) -> Result<(), JobError> {
        self.proxy.subscribe().await.or_else(|e| match e {
            // Said already, over this connection.
            zbus::Error::MethodError(name, ..) if name.ends_with("AlreadySubscribed") => Ok(()),
            e => Err(e),
        })?;
        let mut removed = self.proxy.receive_job_removed().await?;
        let job = match verb {
            Verb::Start => self.proxy.start_unit(unit, "replace").await?,
            Verb::Stop => self.proxy.stop_unit(unit, "replace").await?,
            Verb::Restart => self.proxy.restart_unit(unit, "replace").await?,
        };
        let ended = async {
            while let Some(signal) = removed.next().await {
                let args = signal.args()?;
                if args.job == job {
                    return Ok::<_, zbus::Error>(args.result.clone());
                }
            }
            Err(zbus::Error::Failure("the service manager went away".to_owned()))
        };
        match tokio::time::timeout(JOB_WAIT, ended).await {
            Ok(Ok(result)) if result == "done" => Ok(()),
            Ok(Ok(result)) => Err(JobError::Ended { unit: unit.to_owned(), result }),
            Ok(Err(e)) => Err(e.into()),
            Err(_) => Err(JobError::Pending(unit.to_owned())),
        }
    }
}

type Properties = HashMap<String, OwnedVariant>;

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

fn flag(properties: &Properties, key: &str) -> bool {
    matches!(properties.get(key).map(|value| &**value), Some(Variant::Bool(true)))
}

/// The path in `ExecStart`, whose first field it is.
fn program(properties: &Properties) -> String {
    let Some(Variant::Array(starts)) = properties.get("ExecStart").map(|value| &**value) else { return String::new() };
    match starts.iter().next() {
        Some(Variant::Structure(start)) => match start.fields().first() {
            Some(Variant::Str(path)) => path.to_string(),
            _ => String::new(),
        },
        _ => String::new(),
    }
}
