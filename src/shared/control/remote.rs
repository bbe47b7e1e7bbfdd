//! The other end of the control plane: connecting to a running service over the session bus or
//! its control socket, and what it answers. The interface's service side lies in control.rs.

use std::{collections::BTreeMap, io, path::Path, time::Duration};

use tokio::{net::UnixStream, time::timeout};
use zbus::{Connection, Message, OwnedVariant, connection::Builder, proxy::CacheProperties};

use super::{
    LogLine, Value,
    interface::{CONFIG_INVALID, ConfigErrorWire, LogLineWire},
    log_control,
};
use crate::{
    config::ConfigError,
    limits::CONTROL_WAIT,
    paths::{self, Service},
};

/// The same interface from the other end.
#[zbus::proxy(interface = "build.vx.Control1", assume_defaults = false)]
trait Control1 {
    fn get_status(&self) -> zbus::Result<BTreeMap<String, OwnedVariant>>;
    fn reload(&self) -> zbus::Result<()>;
    fn drain(&self) -> zbus::Result<()>;
    fn get_log(&self, after: u64, most: u32) -> zbus::Result<Vec<LogLineWire>>;
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "const"))]
    fn pid(&self) -> zbus::Result<u32>;
    #[zbus(property(emits_changed_signal = "const"))]
    fn started_usec(&self) -> zbus::Result<u64>;
}

#[zbus::proxy(interface = "build.vx.Store1", assume_defaults = false)]
trait Store1 {
    fn verify(&self) -> zbus::Result<BTreeMap<String, OwnedVariant>>;
    fn gc(&self) -> zbus::Result<BTreeMap<String, OwnedVariant>>;
    fn stats(&self) -> zbus::Result<BTreeMap<String, OwnedVariant>>;
}

#[zbus::proxy(interface = "org.freedesktop.LogControl1", assume_defaults = false)]
trait LogControl1 {
    #[zbus(property(emits_changed_signal = "false"))]
    fn log_level(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn set_log_level(&self, level: &str) -> zbus::Result<()>;
}

/// Why the other end of the control plane gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// vx.toml is invalid; the one before stays in use.
    #[error("{0}")]
    ConfigInvalid(ConfigError),
    /// Nobody has taken the name on the bus.
    #[error("the service is not on the session bus")]
    NotOnBus,
    /// There is no socket, or nobody listens on it: the kind says which.
    #[error("{0}")]
    Connect(#[from] io::Error),
    /// It is there and silent.
    #[error("no answer within {} s", CONTROL_WAIT.as_secs())]
    NoAnswer,
    /// The other side runs as someone else.
    #[error("the other side runs as uid {theirs}, not as uid {own}")]
    Foreign {
        /// Its uid.
        theirs: u32,
        /// Ours.
        own: u32,
    },
    /// It answers something else than this version of the interface.
    #[error("{0}")]
    Protocol(String),
}

impl From<zbus::Error> for ControlError {
    fn from(e: zbus::Error) -> Self {
        match e {
            zbus::Error::MethodError(name, _, ref reply) if name.as_str() == CONFIG_INVALID => {
                match config_error_from_wire(reply) {
                    Ok(e) => ControlError::ConfigInvalid(e),
                    Err(e) => ControlError::Protocol(e.to_string()),
                }
            }
            zbus::Error::MethodError(name, text, _) => ControlError::Protocol(text.unwrap_or_else(|| name.to_string())),
            // What a property's setter refuses arrives as this.
            zbus::Error::FDO(e) => {
                let text = zbus::DBusError::description(&*e).map(str::to_owned);
                ControlError::Protocol(text.unwrap_or_else(|| e.to_string()))
            }
            zbus::Error::InputOutput(e) if e.kind() == io::ErrorKind::TimedOut => ControlError::NoAnswer,
            zbus::Error::InputOutput(e) => ControlError::Connect(io::Error::new(e.kind(), e)),
            zbus::Error::Connection(e, _) => ControlError::Connect(io::Error::new(e.kind(), e)),
            e => ControlError::Protocol(e.to_string()),
        }
    }
}

/// What a service says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// When it started, in microseconds since 1970.
    pub started_usec: u64,
    /// The status keys above.
    pub status: BTreeMap<String, Value>,
}

/// A running service, seen from outside.
pub struct Remote {
    connection: Connection,
    proxy: Control1Proxy<'static>,
    destination: String,
    service: Service,
}

impl Remote {
    /// The service that has its name on `bus`. It is never started by this.
    pub async fn on_bus(bus: &Connection, service: Service) -> Result<Remote, ControlError> {
        match owner(bus, service).await? {
            Some(owner) => Remote::new(bus, service, owner).await,
            None => Err(ControlError::NotOnBus),
        }
    }

    /// The service behind a control socket. Where a manager listens on it, this starts the service.
    pub async fn on_socket(path: &Path, service: Service) -> Result<Remote, ControlError> {
        let connection = connect_socket(path, Some(CONTROL_WAIT)).await?;
        // A peer-to-peer connection ignores the destination, but the builder wants one.
        Remote::new(&connection, service, service.bus_name().to_owned()).await
    }

    async fn new(connection: &Connection, service: Service, destination: String) -> Result<Remote, ControlError> {
        let builder = Control1Proxy::builder(connection)
            .destination(destination.clone())
            .path(service.object_path())
            .cache_properties(CacheProperties::No);
        Ok(Remote { connection: connection.clone(), proxy: builder.build().await?, destination, service })
    }

    /// Asks for everything that `vxctl status` shows.
    pub async fn report(&self) -> Result<Report, ControlError> {
        let proxy = &self.proxy;
        let (wire, version, pid, started_usec) =
            tokio::try_join!(proxy.get_status(), proxy.version(), proxy.pid(), proxy.started_usec())?;
        Ok(Report { version, pid, started_usec, status: values(wire) })
    }

    /// Has it read vx.toml again.
    pub async fn reload(&self) -> Result<(), ControlError> {
        Ok(self.proxy.reload().await?)
    }

    /// Has it finish what runs and leave.
    pub async fn drain(&self) -> Result<(), ControlError> {
        Ok(self.proxy.drain().await?)
    }

    /// Returns when this very instance is gone.
    pub async fn gone(&self) {
        if !self.connection.is_bus() {
            return self.connection.closed().await;
        }
        // Its name may have a new owner by then; its unique name never has.
        while owner(&self.connection, self.service).await.is_ok_and(|owner| owner.as_ref() == Some(&self.destination)) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The newest remembered lines of its log after the numbered one.
    pub async fn log(&self, after: u64, most: u32) -> Result<Vec<LogLine>, ControlError> {
        let lines = self.proxy.get_log(after, most).await?;
        let line = |(number, usec, priority, text)| LogLine { number, usec, priority, text };
        Ok(lines.into_iter().map(line).collect())
    }

    /// The least important messages that it logs.
    pub async fn log_level(&self) -> Result<String, ControlError> {
        Ok(self.log_control().await?.log_level().await?)
    }

    /// Changes that.
    pub async fn set_log_level(&self, level: &str) -> Result<(), ControlError> {
        Ok(self.log_control().await?.set_log_level(level).await?)
    }

    async fn log_control(&self) -> Result<LogControl1Proxy<'static>, ControlError> {
        let builder = LogControl1Proxy::builder(&self.connection)
            .destination(self.destination.clone())
            .path(log_control::PATH)
            .cache_properties(CacheProperties::No);
        Ok(builder.build().await?)
    }
}

/// casd for the upkeep of its store, whose calls may take as long as reading all of it.
pub struct LongRemote {
    proxy: Store1Proxy<'static>,
}

impl LongRemote {
    /// Over the same way as `remote`, on a connection that waits without a limit.
    pub async fn beside(remote: &Remote) -> Result<LongRemote, ControlError> {
        let connection = if remote.connection.is_bus() {
            connect_bus(None, |builder| builder).await?.ok_or(ControlError::NotOnBus)?
        } else {
            let path = remote.service.control_socket().ok_or(ControlError::NotOnBus)?;
            connect_socket(&path, None).await?
        };
        let builder = Store1Proxy::builder(&connection)
            .destination(remote.destination.clone())
            .path(remote.service.object_path())
            .cache_properties(CacheProperties::No);
        Ok(LongRemote { proxy: builder.build().await? })
    }

    /// Reads everything and says what is damaged.
    pub async fn verify(&self) -> Result<BTreeMap<String, Value>, ControlError> {
        Ok(values(self.proxy.verify().await?))
    }

    /// Brings the store down to its budget.
    pub async fn gc(&self) -> Result<BTreeMap<String, Value>, ControlError> {
        Ok(values(self.proxy.gc().await?))
    }

    /// What is in the store.
    pub async fn stats(&self) -> Result<BTreeMap<String, Value>, ControlError> {
        Ok(values(self.proxy.stats().await?))
    }
}

fn values(wire: BTreeMap<String, OwnedVariant>) -> BTreeMap<String, Value> {
    wire.into_iter().map(|(key, value)| (key, Value::from_wire(&value))).collect()
}

/// The unique name of the service on the bus. A call to it cannot activate anything; one to the
/// well-known name would.
async fn owner(bus: &Connection, service: Service) -> Result<Option<String>, ControlError> {
    let names = zbus::fdo::DBusProxy::new(bus).await?;
    let name = zbus::names::BusName::from_static_str(service.bus_name())?;
    match names.get_name_owner(name).await {
        Ok(owner) => Ok(Some(owner.to_string())),
        Err(zbus::fdo::Error::NameHasNoOwner(_)) => Ok(None),
        Err(e) => Err(zbus::Error::from(e).into()),
    }
}

async fn connect_socket(path: &Path, patience: Option<Duration>) -> Result<Connection, ControlError> {
    let connect = async {
        let stream = UnixStream::connect(path).await?;
        own_uid(stream.peer_cred()?.uid())?;
        let builder = Builder::unix_stream(stream.into_std()?).p2p();
        let builder = match patience {
            Some(patience) => builder.method_timeout(patience),
            None => builder,
        };
        Ok::<_, ControlError>(builder.build().await?)
    };
    timeout(CONTROL_WAIT, connect).await.map_err(|_| ControlError::NoAnswer)?
}

/// Connects to the person's session bus; `None` where there is none.
pub async fn session_bus() -> Result<Option<Connection>, ControlError> {
    connect_bus(Some(CONTROL_WAIT), |builder| builder).await
}

/// Calls on it wait for their answer as long as `patience` says; `None` is for ever.
pub(super) async fn connect_bus(
    patience: Option<Duration>,
    more: impl FnOnce(Builder<'static>) -> Builder<'static>,
) -> Result<Option<Connection>, ControlError> {
    // On macOS asking for the bus's address runs a helper program; the socket serves there.
    let Some(address) = paths::session_bus().filter(|_| !cfg!(target_os = "macos")) else {
        return Ok(None);
    };
    let address = address
        .into_string()
        .map_err(|_| ControlError::Protocol("DBUS_SESSION_BUS_ADDRESS is not UTF-8".to_owned()))?;
    let builder = Builder::address(address.as_str());
    let builder = match patience {
        Some(patience) => builder.method_timeout(patience),
        None => builder,
    };
    match timeout(CONTROL_WAIT, more(builder).build()).await {
        Ok(Ok(connection)) => Ok(Some(connection)),
        Ok(Err(e)) => Err(e.into()),
        Err(_) => Err(ControlError::NoAnswer),
    }
}

pub(super) fn own_uid(theirs: u32) -> Result<(), ControlError> {
    let own = rustix::process::getuid().as_raw();
    if theirs == own { Ok(()) } else { Err(ControlError::Foreign { theirs, own }) }
}

fn config_error_from_wire(reply: &Message) -> zbus::Result<ConfigError> {
    let (message, file, line, column, hint): ConfigErrorWire = reply.body().deserialize()?;
    let hint = Some(hint).filter(|hint| !hint.is_empty());
    Ok(ConfigError { file: file.into(), line, column, message, hint })
}
