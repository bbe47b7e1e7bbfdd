//! Serves the control interfaces: on the session bus, where there is one and for as long as it is
//! there, and peer-to-peer on the control socket that was passed. What they answer is interface.rs's.

use std::{io, os::unix::net::UnixListener, sync::Arc, time::Duration};

use tokio::{
    net::UnixStream,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use zbus::{Connection, Guid, connection::Builder, fdo::RequestNameFlags};

use super::{
    Controlled, Shell,
    interface::{Control1, Store1},
    log_control::{self, LogControl1},
    remote::{ControlError, connect_bus, own_uid},
};
use crate::{
    limits::{BUS_RETRY, CONTROL_CONNECTIONS, CONTROL_WAIT},
    paths::Service,
};

/// Serves the control interface until it is dropped.
#[derive(Debug)]
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
    shell: Arc<dyn Shell>,
) -> io::Result<Serving> {
    let server = Arc::new(Server { service, controlled, started_usec: now_usec(), shell });
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
    shell: Arc<dyn Shell>,
}

impl Server {
    /// Puts the interfaces onto a connection.
    fn on(&self, builder: Builder<'static>) -> Builder<'static> {
        let path = self.service.object_path();
        let (controlled, shell) = (&self.controlled, &self.shell);
        let control =
            Control1 { controlled: controlled.clone(), shell: shell.clone(), started_usec: self.started_usec };
        let builder = builder.serve_at(path, control).serve_at(log_control::PATH, LogControl1 { shell: shell.clone() });
        match self.service {
            Service::Cas => builder.serve_at(path, Store1 { controlled: controlled.clone(), shell: shell.clone() }),
            Service::Daemon | Service::Exec => builder,
        }
    }

    /// Connects to the session bus and takes the service's name there.
    async fn claim(&self) -> Option<Connection> {
        let name = self.service.bus_name();
        let connection = match connect_bus(Some(CONTROL_WAIT), |builder| self.on(builder)).await {
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
        let _attention = self.shell.attend();
        if let Err(e) = self.handle(stream).await {
            tracing::debug!(error = %e, "control connection ended");
        }
    }

    async fn handle(&self, stream: UnixStream) -> Result<(), ControlError> {
        own_uid(stream.peer_cred()?.uid())?;
        let builder = Builder::unix_stream(stream.into_std()?).server(Guid::generate()).p2p();
        let build = self.on(builder).build();
        let connection = timeout(CONTROL_WAIT, build).await.map_err(|_| ControlError::NoAnswer)??;
        connection.closed().await;
        Ok(())
    }
}

fn now_usec() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}
