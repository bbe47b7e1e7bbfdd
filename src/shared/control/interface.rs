//! The interfaces `build.vx.Control1` and `build.vx.Store1` as one connection serves them: calls in,
//! answers or refusals out. Who may call is settled here, what is answered is the service's.

use std::{collections::BTreeMap, sync::Arc};

use zbus::{Connection, DBusError, Message, OwnedVariant, message::Header, names::ErrorName};

use super::{Controlled, Keys, LogLine, Shell, Store};
use crate::{config::ConfigError, limits};

/// The name of what every service has.
pub const INTERFACE: &str = "build.vx.Control1";

/// The D-Bus error name of a vx.toml that was refused at reload.
pub(super) const CONFIG_INVALID: &str = "build.vx.Error.ConfigInvalid";

/// One line of a log on the wire: number, microseconds since 1970, priority, text.
pub(super) type LogLineWire = (u64, u64, u8, String);

/// `build.vx.Control1`.
pub(super) struct Control1 {
    pub controlled: Arc<dyn Controlled>,
    pub shell: Arc<dyn Shell>,
    pub started_usec: u64,
}

type Answer = BTreeMap<&'static str, OwnedVariant>;

#[zbus::interface(name = "build.vx.Control1")]
impl Control1 {
    /// The service as it is now, as flat keys. Keys are only ever added.
    #[zbus(out_args("status"))]
    async fn get_status(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Answer, Refusal> {
        let _attention = self.shell.attend();
        admit(connection, &header).await?;
        let (controlled, shell) = (self.controlled.clone(), self.shell.clone());
        let status = blocking(move || {
            let mut status = controlled.status();
            status.push(("log_dropped", shell.log().dropped().into()));
            status
        })
        .await?;
        to_wire(&status)
    }

    /// Reads vx.toml again. A file that is refused changes nothing; the error build.vx.Error.ConfigInvalid
    /// carries message, file, line, column and hint (ssuus).
    async fn reload(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Refusal> {
        let _attention = self.shell.attend();
        admit(connection, &header).await?;
        let controlled = self.controlled.clone();
        blocking(move || controlled.reload()).await?.map_err(Refusal::ConfigInvalid)
    }

    /// Finishes what runs, takes nothing new, and leaves; answered at once. The sockets stay with
    /// the service manager, and the next connect starts a new instance.
    async fn drain(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Refusal> {
        admit(connection, &header).await?;
        self.shell.drain();
        Ok(())
    }

    /// The newest lines of the log that come after the numbered one (0: any), at most so many, as the service
    /// remembers them: number, microseconds since 1970, priority as syslog counts, text.
    #[zbus(out_args("lines"))]
    async fn get_log(
        &self,
        after: u64,
        most: u32,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<LogLineWire>, Refusal> {
        let _attention = self.shell.attend();
        admit(connection, &header).await?;
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(limits::LOG_LINES);
        let wire = |line: LogLine| (line.number, line.usec, line.priority, line.text);
        Ok(self.shell.log().lines(after, most).into_iter().map(wire).collect())
    }

    /// The version of the program that runs.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// Its process.
    #[zbus(property(emits_changed_signal = "const"))]
    fn pid(&self) -> u32 {
        std::process::id()
    }

    /// When it started, in microseconds since 1970.
    #[zbus(property(emits_changed_signal = "const"))]
    fn started_usec(&self) -> u64 {
        self.started_usec
    }
}

/// `build.vx.Store1`.
pub(super) struct Store1 {
    pub controlled: Arc<dyn Controlled>,
    pub shell: Arc<dyn Shell>,
}

#[zbus::interface(name = "build.vx.Store1")]
impl Store1 {
    /// Reads every blob and every result, sets aside what is damaged, and answers flat keys. Takes as long as
    /// reading the whole store: callers wait without a limit.
    #[zbus(out_args("found"))]
    async fn verify(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Answer, Refusal> {
        self.upkeep(connection, &header, |store| store.verify()).await
    }

    /// Brings the store down to its budget now, and answers what went, as flat keys.
    #[zbus(out_args("done"))]
    async fn gc(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Answer, Refusal> {
        self.upkeep(connection, &header, |store| store.gc()).await
    }

    /// What is in the store, as flat keys.
    #[zbus(out_args("stats"))]
    async fn stats(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Answer, Refusal> {
        self.upkeep(connection, &header, |store| store.stats()).await
    }
}

impl Store1 {
    async fn upkeep(
        &self,
        connection: &Connection,
        header: &Header<'_>,
        work: fn(&dyn Store) -> Result<Keys, String>,
    ) -> Result<Answer, Refusal> {
        let _attention = self.shell.attend();
        admit(connection, header).await?;
        let store = self.controlled.store().ok_or_else(|| Refusal::Failed("the store is not open".to_owned()))?;
        let keys = blocking(move || work(store.as_ref())).await?.map_err(Refusal::Failed)?;
        to_wire(&keys)
    }
}

fn to_wire(keys: &Keys) -> Result<Answer, Refusal> {
    keys.iter()
        .map(|(key, value)| {
            let value = OwnedVariant::try_from(value.to_wire()).map_err(|e| Refusal::Failed(e.to_string()))?;
            Ok((*key, value))
        })
        .collect()
}

/// Why a call was not done, as it goes over the wire.
#[derive(Debug)]
pub(super) enum Refusal {
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
pub(super) async fn admit(connection: &Connection, call: &Header<'_>) -> Result<(), Refusal> {
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

pub(super) type ConfigErrorWire = (String, String, u32, u32, String);

/// The first argument of a D-Bus error is its text; file, line, column and hint follow.
fn config_error_to_wire(e: &ConfigError) -> ConfigErrorWire {
    let file = e.file.to_string_lossy().into_owned();
    (e.message.clone(), file, e.line, e.column, e.hint.clone().unwrap_or_default())
}
