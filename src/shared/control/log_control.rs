//! `org.freedesktop.LogControl1`, as org.freedesktop.LogControl1(5) has it: `systemctl --user
//! service-log-level` and `vxctl log-level` change what a running service logs.

use std::sync::Arc;

use zbus::{Connection, fdo, message::Header};

use super::{Shell, interface};

/// Where the interface lies on every service.
pub(super) const PATH: &str = "/org/freedesktop/LogControl1";

/// The interface.
pub(super) struct LogControl1 {
    pub shell: Arc<dyn Shell>,
}

#[zbus::interface(name = "org.freedesktop.LogControl1")]
impl LogControl1 {
    /// The least important messages that are logged: emerg, alert, crit, err, warning, notice, info or debug.
    #[zbus(property(emits_changed_signal = "false"))]
    fn log_level(&self) -> String {
        self.shell.log().level()
    }

    #[zbus(property)]
    async fn set_log_level(
        &self,
        level: String,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> Result<(), zbus::Error> {
        own_user(connection, header.as_ref()).await?;
        Ok(self.shell.log().set_level(&level).map_err(fdo::Error::InvalidArgs)?)
    }

    /// Where messages go: journal, or console for standard error.
    #[zbus(property(emits_changed_signal = "false"))]
    fn log_target(&self) -> String {
        self.shell.log().target()
    }

    #[zbus(property)]
    async fn set_log_target(
        &self,
        target: String,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> Result<(), zbus::Error> {
        own_user(connection, header.as_ref()).await?;
        Ok(self.shell.log().set_target(&target).map_err(fdo::Error::InvalidArgs)?)
    }

    /// The name that the messages carry.
    #[zbus(property(emits_changed_signal = "const"))]
    fn syslog_identifier(&self) -> String {
        self.shell.log().identifier()
    }
}

async fn own_user(connection: &Connection, header: Option<&Header<'_>>) -> Result<(), fdo::Error> {
    let Some(header) = header else { return Ok(()) };
    interface::admit(connection, header).await.map_err(|refusal| {
        fdo::Error::AccessDenied(zbus::DBusError::description(&refusal).unwrap_or_default().to_owned())
    })
}
