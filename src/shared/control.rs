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
//! | `tcp` | s | cas, exec | the address served beside the socket, or why it is not |
//! | `stage_bytes` | t | exec | inputs staged for the next action |
//! | `rung`, `rung_why` | s | exec | the isolation reached; the next rung and what it lacks, as `full: no cgroup` |
//!
//! Keys that nobody knows are shown by `vxctl status --json` only, so that a newer service and an
//! older vxctl get along.

use std::{any::Any, collections::BTreeMap, io, os::unix::net::UnixListener, sync::Arc, time::Duration};

use tokio::{
    net::UnixStream,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use zbus::{
    Connection, DBusError, Guid, Message, OwnedVariant, Variant, connection::Builder, fdo::RequestNameFlags,
    message::Header, names::ErrorName,
};

use crate::{
    config::ConfigError,
    limits::{BUS_RETRY, CONTROL_CONNECTIONS, CONTROL_WAIT},
    paths::Service,
};

mod remote;

pub use remote::{ControlError, Remote, Report, session_bus};
use remote::{connect_bus, own_uid};

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

#[cfg(test)]
mod tests;
