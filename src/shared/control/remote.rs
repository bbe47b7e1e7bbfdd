//! The other end of the control plane: connecting to a running service over the session bus or
//! its control socket, and what it answers. The interface's service side lies in control.rs.

use std::{collections::BTreeMap, io, path::Path};

use tokio::{net::UnixStream, time::timeout};
use zbus::{Connection, Message, OwnedVariant, connection::Builder, proxy::CacheProperties};

use super::{CONFIG_INVALID, ConfigErrorWire, Value};
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
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "const"))]
    fn pid(&self) -> zbus::Result<u32>;
    #[zbus(property(emits_changed_signal = "const"))]
    fn started_usec(&self) -> zbus::Result<u64>;
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
    proxy: Control1Proxy<'static>,
}

impl Remote {
    /// The service that has its name on `bus`. It is never started by this.
    pub async fn on_bus(bus: &Connection, service: Service) -> Result<Remote, ControlError> {
        let names = zbus::fdo::DBusProxy::new(bus).await?;
        let name = zbus::names::BusName::from_static_str(service.bus_name())?;
        // A call to the unique name cannot activate anything; one to the well-known name would.
        match names.get_name_owner(name).await {
            Ok(owner) => Remote::new(bus, service, Some(owner.to_string())).await,
            Err(zbus::fdo::Error::NameHasNoOwner(_)) => Err(ControlError::NotOnBus),
            Err(e) => Err(zbus::Error::from(e).into()),
        }
    }

    /// The service behind a control socket. Where a manager listens on it, this starts the service.
    pub async fn on_socket(path: &Path, service: Service) -> Result<Remote, ControlError> {
        let connect = async {
            let stream = UnixStream::connect(path).await?;
            own_uid(stream.peer_cred()?.uid())?;
            let build = Builder::unix_stream(stream.into_std()?).p2p().method_timeout(CONTROL_WAIT).build();
            Ok::<_, ControlError>(build.await?)
        };
        let connection = timeout(CONTROL_WAIT, connect).await.map_err(|_| ControlError::NoAnswer)??;
        Remote::new(&connection, service, None).await
    }

    async fn new(connection: &Connection, service: Service, owner: Option<String>) -> Result<Remote, ControlError> {
        let builder = Control1Proxy::builder(connection)
            // A peer-to-peer connection ignores it, but the builder wants one.
            .destination(owner.unwrap_or_else(|| service.bus_name().to_owned()))
            .path(service.object_path())
            .cache_properties(CacheProperties::No);
        Ok(Remote { proxy: builder.build().await? })
    }

    /// Asks for everything that `vxctl status` shows.
    pub async fn report(&self) -> Result<Report, ControlError> {
        let wire = self.proxy.get_status().await?;
        Ok(Report {
            version: self.proxy.version().await?,
            pid: self.proxy.pid().await?,
            started_usec: self.proxy.started_usec().await?,
            status: wire.into_iter().map(|(key, value)| (key, Value::from_wire(&value))).collect(),
        })
    }

    /// Has it read vx.toml again.
    pub async fn reload(&self) -> Result<(), ControlError> {
        Ok(self.proxy.reload().await?)
    }
}

/// Connects to the person's session bus; `None` where there is none.
pub async fn session_bus() -> Result<Option<Connection>, ControlError> {
    connect_bus(|builder| builder).await
}

pub(super) async fn connect_bus(
    more: impl FnOnce(Builder<'static>) -> Builder<'static>,
) -> Result<Option<Connection>, ControlError> {
    // On macOS asking for the bus's address runs a helper program; the socket serves there.
    let Some(address) = paths::session_bus().filter(|_| !cfg!(target_os = "macos")) else {
        return Ok(None);
    };
    let address = address
        .into_string()
        .map_err(|_| ControlError::Protocol("DBUS_SESSION_BUS_ADDRESS is not UTF-8".to_owned()))?;
    let builder = Builder::address(address.as_str()).method_timeout(CONTROL_WAIT);
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
