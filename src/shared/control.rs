//! The control plane, defined once: the D-Bus interface `build.vx.Control1`, the trait a service
//! implements to be controlled, the serving of it (session bus and control socket) and the other
//! end of it. What a service says about itself is its own affair: its `control.rs`.
//!
//! `GetStatus() -> a{sv}` answers flat keys. What `vxctl status` shows of them:
//!
//! | key | type | from | meaning |
//! |---|---|---|---|
//! | `state` | s | all | `serving`, or `draining` after SIGTERM |
//! | `config_error` | s | all | what is wrong with vx.toml while an older or default one is in use |
//! | `sessions` | t | daemon | clients connected with a session |
//! | `actions` | t | daemon, exec | actions that run now |
//! | `hits`, `misses` | t | daemon, cas | action-cache look-ups since the start |
//! | `store_bytes`, `blobs`, `results` | t | cas | size of the store, blobs and action results in it |
//! | `note` | s or as | all | what an administrator should know (a store that was set aside …) |
//! | `slots`, `ran` | t | exec | actions at once; actions run since the start |
//! | `rung`, `rung_why` | s | exec | the isolation reached, and why it is not higher |
//!
//! Keys that nobody knows are shown by `vxctl status --json` only, so that a newer service and an
//! older vxctl get along.

use std::{any::Any, collections::BTreeMap, io, os::unix::net::UnixListener, path::Path, sync::Arc, time::Duration};

use tokio::{
    net::UnixStream,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use zbus::{
    Connection, DBusError, Guid, Message, OwnedVariant, Variant, connection::Builder, fdo::RequestNameFlags,
    message::Header, names::ErrorName, proxy::CacheProperties,
};

use crate::{
    config::ConfigError,
    limits::{BUS_RETRY, CONTROL_CONNECTIONS, CONTROL_WAIT},
    paths::{self, Service},
};

/// The D-Bus error name of a vx.toml that was refused at reload.
const CONFIG_INVALID: &str = "build.vx.Error.ConfigInvalid";

/// One value of a status, so that services need not name the D-Bus library.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Str(String),
    /// A count, a size in bytes, a time in the unit that the key's name ends with.
    U64(u64),
    /// A ratio.
    F64(f64),
    /// Yes or no.
    Bool(bool),
    /// Several texts.
    List(Vec<String>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Str(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Value::U64(number)
    }
}

impl Value {
    fn to_wire(&self) -> Variant<'_> {
        match self {
            Value::Str(text) => Variant::from(text.as_str()),
            Value::U64(number) => Variant::from(*number),
            Value::F64(number) => Variant::from(*number),
            Value::Bool(flag) => Variant::from(*flag),
            Value::List(texts) => Variant::from(texts.clone()),
        }
    }

    /// What another version sends in a type not listed here is shown as text, not refused.
    fn from_wire(wire: &Variant<'_>) -> Self {
        match wire {
            Variant::Str(text) => Value::Str(text.to_string()),
            Variant::U64(number) => Value::U64(*number),
            Variant::U32(number) => Value::U64(u64::from(*number)),
            Variant::F64(number) => Value::F64(*number),
            Variant::Bool(flag) => Value::Bool(*flag),
            Variant::Array(items) => Value::List(
                items
                    .iter()
                    .map(|item| match item {
                        Variant::Str(text) => text.to_string(),
                        other => format!("{other:?}"),
                    })
                    .collect(),
            ),
            other => Value::Str(format!("{other:?}")),
        }
    }
}

/// What a service does for the control plane. Both may block for a file's read, no longer.
pub trait Controlled: Send + Sync {
    /// The service as it is now: the keys above.
    fn status(&self) -> Vec<(&'static str, Value)>;
    /// Reads vx.toml again. On an error the configuration in use stays.
    fn reload(&self) -> Result<(), ConfigError>;
}

/// Held while a control connection is open or a call runs: the service is not idle.
pub type Busy = Arc<dyn Fn() -> Box<dyn Any + Send> + Send + Sync>;

/// The interface as one connection serves it.
struct Control1 {
    controlled: Arc<dyn Controlled>,
    started_usec: u64,
    busy: Busy,
}

#[zbus::interface(name = "build.vx.Control1", introspection_docs = false)]
impl Control1 {
    async fn get_status(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<BTreeMap<&'static str, OwnedVariant>, Refusal> {
        let _busy = (self.busy)();
        admit(connection, &header).await?;
        let controlled = self.controlled.clone();
        let status = blocking(move || controlled.status()).await?;
        let wire = |value: &Value| OwnedVariant::try_from(value.to_wire());
        status.iter().map(|(key, value)| Ok((*key, wire(value).map_err(|e| Refusal::Failed(e.to_string()))?))).collect()
    }

    async fn reload(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Refusal> {
        let _busy = (self.busy)();
        admit(connection, &header).await?;
        let controlled = self.controlled.clone();
        blocking(move || controlled.reload()).await?.map_err(Refusal::ConfigInvalid)
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Microseconds since 1970, as systemd counts.
    #[zbus(property(emits_changed_signal = "const"))]
    fn started_usec(&self) -> u64 {
        self.started_usec
    }
}

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

/// Why a call was not done, as it goes over the wire.
#[derive(Debug)]
enum Refusal {
    ConfigInvalid(ConfigError),
    AccessDenied(String),
    Failed(String),
}

impl DBusError for Refusal {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        let reply = Message::error(call, self.name());
        match self {
            Refusal::ConfigInvalid(e) => reply.build(&config_error_to_wire(e)),
            Refusal::AccessDenied(text) | Refusal::Failed(text) => reply.build(&(text,)),
        }
    }

    fn name(&self) -> ErrorName<'_> {
        ErrorName::from_static_str_unchecked(match self {
            Refusal::ConfigInvalid(_) => CONFIG_INVALID,
            Refusal::AccessDenied(_) => "org.freedesktop.DBus.Error.AccessDenied",
            Refusal::Failed(_) => "org.freedesktop.DBus.Error.Failed",
        })
    }

    fn description(&self) -> Option<&str> {
        match self {
            Refusal::ConfigInvalid(e) => Some(&e.message),
            Refusal::AccessDenied(text) | Refusal::Failed(text) => Some(text),
        }
    }
}

/// Runs what may read a file away from the runtime's threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Refusal::Failed(format!("the service could not answer: {e}")))
}

/// Only the own user is answered. On the control socket that was settled at accept; a session
/// bus also lets root in, so there the caller's uid is asked of the bus.
async fn admit(connection: &Connection, call: &Header<'_>) -> Result<(), Refusal> {
    if !connection.is_bus() {
        return Ok(());
    }
    let denied = |why: String| Refusal::AccessDenied(why);
    let sender = call.sender().ok_or_else(|| denied("the call names no sender".into()))?;
    let bus = zbus::fdo::DBusProxy::new(connection).await.map_err(|e| denied(e.to_string()))?;
    let uid = bus
        .get_connection_unix_user(sender.clone().into())
        .await
        .map_err(|e| denied(format!("the bus does not say who calls: {e}")))?;
    let own = rustix::process::getuid().as_raw();
    if uid == own {
        return Ok(());
    }
    Err(denied(format!("this service answers uid {own} only, and uid {uid} calls")))
}

/// Serves the control interface until it is dropped.
pub struct Serving {
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Serves `controlled` on the session bus, where there is one, and on `socket`, where one was
/// passed. Returns when both answer, so that READY may follow; a bus that is missing, or comes
/// back later, is no error.
pub async fn serve(
    service: Service,
    controlled: Arc<dyn Controlled>,
    socket: Option<UnixListener>,
    busy: Busy,
) -> io::Result<Serving> {
    let server = Arc::new(Server { service, controlled, started_usec: now_usec(), busy });
    let mut tasks = Vec::with_capacity(2);
    if let Some(socket) = socket {
        socket.set_nonblocking(true)?;
        let socket = tokio::net::UnixListener::from_std(socket)?;
        tasks.push(tokio::spawn(server.clone().accept(socket)));
    }
    let first = server.claim().await;
    tasks.push(tokio::spawn(server.stay_on_bus(first)));
    Ok(Serving { tasks })
}

struct Server {
    service: Service,
    controlled: Arc<dyn Controlled>,
    started_usec: u64,
    busy: Busy,
}

impl Server {
    fn interface(&self) -> Control1 {
        Control1 { controlled: self.controlled.clone(), started_usec: self.started_usec, busy: self.busy.clone() }
    }

    /// Connects to the session bus and takes the service's name there.
    async fn claim(&self) -> Option<Connection> {
        let name = self.service.bus_name();
        let connection = match connect_bus(|b| b.serve_at(self.service.object_path(), self.interface())).await {
            Ok(Some(connection)) => connection,
            Ok(None) => {
                tracing::debug!(name, "no session bus; control is on the socket only");
                return None;
            }
            Err(e) => {
                tracing::debug!(name, error = %e, "session bus does not answer; control is on the socket only");
                return None;
            }
        };
        // The library's plain request would take the name from the process that has it.
        let request = connection.request_name_with_flags(name, RequestNameFlags::DO_NOT_QUEUE);
        match timeout(CONTROL_WAIT, request).await {
            Ok(Ok(_)) => Some(connection),
            Ok(Err(zbus::Error::NameTaken)) => {
                tracing::warn!(name, "another process has this name on the session bus; control is on the socket only");
                None
            }
            Ok(Err(e)) => {
                tracing::debug!(name, error = %e, "session bus refused the name; control is on the socket only");
                None
            }
            Err(_) => {
                tracing::debug!(name, "session bus did not give the name in time; control is on the socket only");
                None
            }
        }
    }

    /// A bus may be restarted, or started after the service.
    async fn stay_on_bus(self: Arc<Self>, first: Option<Connection>) {
        let mut bus = first;
        loop {
            if let Some(connection) = bus {
                connection.closed().await;
                tracing::debug!(name = self.service.bus_name(), "lost the session bus");
            }
            tokio::time::sleep(BUS_RETRY).await;
            bus = self.claim().await;
        }
    }

    /// The same interface peer-to-peer, for places without a bus.
    async fn accept(self: Arc<Self>, socket: tokio::net::UnixListener) {
        let mut open = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                Some(_) = open.join_next() => continue,
            };
            match accepted {
                Ok((stream, _)) if open.len() < CONTROL_CONNECTIONS => {
                    open.spawn(self.clone().converse(stream));
                }
                Ok(_) => tracing::warn!(
                    limit = CONTROL_CONNECTIONS,
                    "too many control connections; one more is closed, ignoring"
                ),
                Err(e) => {
                    // EMFILE and the like do not pass by asking again at once.
                    tracing::warn!(error = %e, "failed to accept a control connection, ignoring");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn converse(self: Arc<Self>, stream: UnixStream) {
        let _busy = (self.busy)();
        if let Err(e) = self.handle(stream).await {
            tracing::debug!(error = %e, "control connection ended");
        }
    }

    async fn handle(&self, stream: UnixStream) -> Result<(), ControlError> {
        own_uid(stream.peer_cred()?.uid())?;
        let build = Builder::unix_stream(stream.into_std()?)
            .server(Guid::generate())
            .p2p()
            .serve_at(self.service.object_path(), self.interface())
            .build();
        let connection = timeout(CONTROL_WAIT, build).await.map_err(|_| ControlError::NoAnswer)??;
        connection.closed().await;
        Ok(())
    }
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

async fn connect_bus(
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

fn own_uid(theirs: u32) -> Result<(), ControlError> {
    let own = rustix::process::getuid().as_raw();
    if theirs == own { Ok(()) } else { Err(ControlError::Foreign { theirs, own }) }
}

fn now_usec() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

type ConfigErrorWire = (String, String, u32, u32, String);

/// The first argument of a D-Bus error is its text; file, line, column and hint follow.
fn config_error_to_wire(e: &ConfigError) -> ConfigErrorWire {
    let file = e.file.to_string_lossy().into_owned();
    (e.message.clone(), file, e.line, e.column, e.hint.clone().unwrap_or_default())
}

fn config_error_from_wire(reply: &Message) -> zbus::Result<ConfigError> {
    let (message, file, line, column, hint): ConfigErrorWire = reply.body().deserialize()?;
    let hint = Some(hint).filter(|hint| !hint.is_empty());
    Ok(ConfigError { file: file.into(), line, column, message, hint })
}

#[cfg(test)]
mod tests;
