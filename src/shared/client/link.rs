//! The way to one service: a standing gRPC channel, and connections for local calls that are kept
//! for the next call.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream as StdStream,
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{io::Interest, net::UnixStream};
use tonic::transport::{Channel, Endpoint};

use crate::wire::{
    call::{self, Error, Response},
    fds::{Receiver, send_some},
};

/// Connections kept for the next call.
const KEPT_CONNECTIONS: usize = 8;

/// Why a call got no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The service cannot be reached, or went away in mid-call: it may be tried again.
    #[error("{socket}: {source}")]
    Lost {
        /// Where it should listen.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It answered no.
    #[error("{}", .0.message)]
    Refused(Error),
}

impl CallError {
    /// Whether trying again may help.
    pub fn is_lost(&self) -> bool {
        matches!(self, CallError::Lost { .. })
    }
}

/// One service's socket.
#[derive(Clone, Debug)]
pub struct Link {
    socket: Arc<Path>,
    channel: Channel,
    kept: Arc<Mutex<Vec<StdStream>>>,
}

impl Link {
    /// A link to the service that listens (or will) at `socket`. Nothing is connected yet. Must be
    /// called inside a runtime.
    pub fn new(socket: PathBuf) -> Self {
        let socket: Arc<Path> = socket.into();
        let path = Arc::clone(&socket);
        // The URI is a formality: the connector decides where to go.
        let channel = Endpoint::from_static("http://localhost")
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(8 << 20)
            .connect_timeout(Duration::from_secs(30))
            .connect_with_connector_lazy(tower::service_fn(move |_| {
                let path = Arc::clone(&path);
                async move { Ok::<_, io::Error>(TokioIo::new(connect(&path).await?)) }
            }));
        Link { socket, channel, kept: Arc::default() }
    }

    /// Where the service listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The gRPC channel; it connects anew when the service was restarted.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// One local call with descriptors both ways. Dropping the future closes the connection, which
    /// ends the call on the other side too.
    pub async fn call<P: Serialize, R: DeserializeOwned>(
        &self,
        method: &str,
        params: &P,
        fds: &[OwnedFd],
    ) -> Result<(R, Vec<OwnedFd>), CallError> {
        let request = call::request(1, method, params);
        let kept = self.lock().pop();
        if let Some(stream) = kept {
            // A kept connection may have been closed by a restart: then a new one is tried.
            if let Ok(answer) = self.exchange(stream, &request, fds).await {
                return answer;
            }
        }
        self.exchange_anew(&request, fds).await
    }

    /// The same for what must not be done twice: over a connection of its own, so that one that
    /// was lost in mid-call is no reason to call again.
    pub async fn call_once<P: Serialize, R: DeserializeOwned>(
        &self,
        method: &str,
        params: &P,
        fds: &[OwnedFd],
    ) -> Result<(R, Vec<OwnedFd>), CallError> {
        self.exchange_anew(&call::request(1, method, params), fds).await
    }

    async fn exchange_anew<R: DeserializeOwned>(
        &self,
        request: &[u8],
        fds: &[OwnedFd],
    ) -> Result<(R, Vec<OwnedFd>), CallError> {
        let lost = |source| CallError::Lost { socket: self.socket.to_path_buf(), source };
        let stream = connect(&self.socket).await.and_then(UnixStream::into_std).map_err(lost)?;
        self.exchange(stream, request, fds).await.map_err(lost)?
    }

    /// Sends and receives; the outer error means that the connection was lost.
    async fn exchange<R: DeserializeOwned>(
        &self,
        stream: StdStream,
        request: &[u8],
        fds: &[OwnedFd],
    ) -> io::Result<Result<(R, Vec<OwnedFd>), CallError>> {
        let stream = UnixStream::from_std(stream)?;
        let mut borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        let mut sent = 0;
        while sent < request.len() {
            let write = || send_some(stream.as_fd(), &request[sent..], &borrowed);
            sent += stream.async_io(Interest::WRITABLE, write).await?;
            borrowed.clear();
        }
        let mut receiver = Receiver::default();
        let line = loop {
            if let Some(line) = receiver.line() {
                break line;
            }
            if stream.async_io(Interest::READABLE, || receiver.fill(stream.as_fd())).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let response: Response = serde_json::from_slice(&line.bytes)?;
        let mut kept = self.lock();
        if kept.len() < KEPT_CONNECTIONS {
            kept.push(stream.into_std()?);
        }
        Ok(response.read().map(|result| (result, line.fds)).map_err(CallError::Refused))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<StdStream>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects. While the init system restarts a service its socket stays; a socket that refuses or is
/// missing for a moment (a reinstallation, no init system) is tried again for a short while.
async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let mut wait = Duration::from_millis(20);
    loop {
        match UnixStream::connect(socket).await {
            Err(err) if wait < Duration::from_secs(2) && is_passing(&err) => {
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            other => return other,
        }
    }
}

fn is_passing(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound | io::ErrorKind::WouldBlock)
}
