//! Accepts connections: the peer must be the same user; the first byte says whether it speaks
//! gRPC or vx's local calls (`wire/PROTOCOL.md`).

use std::{
    future::Future,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixListener as StdListener,
    },
    time::Duration,
};

use serde_json::value::RawValue;
use tokio::{
    io::Interest,
    net::{TcpStream, UnixListener, UnixStream},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    Guard, Parts, Shutdown,
    connection::{Connection, Stream},
    tcp,
};
use crate::{
    limits,
    wire::{
        call::{self, Error, Request},
        fds::{Line, Receiver, send_some},
    },
};

/// A local call.
#[derive(Debug)]
pub struct Call {
    /// The method's name.
    pub method: String,
    /// Its parameters, an object.
    pub params: Box<RawValue>,
    /// Descriptors that came with it.
    pub fds: Vec<OwnedFd>,
}

impl Call {
    /// The parameters, read as `T`.
    pub fn params<T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(self.params.get())
            .map_err(|err| Error::new(call::INVALID_PARAMS, format!("{}: {err}", self.method)))
    }
}

/// What a local call is answered with.
#[derive(Debug)]
pub struct Reply {
    result: Box<RawValue>,
    fds: Vec<OwnedFd>,
}

impl Reply {
    /// An answer without descriptors.
    pub fn new<T: serde::Serialize>(result: &T) -> Result<Self, Error> {
        Self::with_fds(result, Vec::new())
    }

    /// An answer with descriptors.
    pub fn with_fds<T: serde::Serialize>(result: &T, fds: Vec<OwnedFd>) -> Result<Self, Error> {
        let result = serde_json::value::to_raw_value(result)
            .map_err(|err| Error::new(crate::fault::Fault::Bug.code(), format!("answer cannot be written: {err}")))?;
        Ok(Reply { result, fds })
    }
}

/// Both kinds of connections, sorted.
pub struct Serving {
    /// For tonic's `serve_with_incoming_shutdown`, with a signal that never comes: the stream ends
    /// soon after the service was asked to stop, and a connection that was accepted is served.
    pub grpc: ReceiverStream<io::Result<Connection>>,
    /// For [`serve_calls`].
    pub calls: mpsc::Receiver<(UnixStream, Guard)>,
}

/// Accepts until the service stops.
pub fn sort_connections(listener: StdListener, parts: &Parts) -> io::Result<Serving> {
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    let (grpc, grpc_incoming) = mpsc::channel(16);
    let (calls, calls_incoming) = mpsc::channel(16);
    let parts = parts.clone();
    let (by_tcp, stopping) = (grpc.clone(), parts.shutdown.clone());
    let take = move |stream, guard| sort_tcp(stream, guard, by_tcp.clone(), stopping.clone());
    tokio::spawn(tcp::accept(parts.clone(), take));
    tokio::spawn(async move {
        while let Some((stream, guard)) = accept(&listener, &parts).await {
            let (grpc, calls, shutdown) = (grpc.clone(), calls.clone(), parts.shutdown.clone());
            tokio::spawn(async move {
                // Who connected at the moment of the end is about to speak; the next instance never hears of it.
                let ended = async {
                    shutdown.requested().await;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                };
                let byte = tokio::select! {
                    byte = first_byte(|| stream.async_io(Interest::READABLE, || peek(&stream))) => byte,
                    () = ended => None,
                };
                match byte {
                    Some(b'{') => drop(calls.send((stream, guard)).await),
                    Some(_) => drop(grpc.send(Ok(Connection::new(Stream::Unix(stream), guard))).await),
                    None => {}
                }
            });
        }
    });
    Ok(Serving { grpc: ReceiverStream::new(grpc_incoming), calls: calls_incoming })
}

/// The next connection of the same user; `None` when the service stops. Others are refused in
/// words.
async fn accept(listener: &UnixListener, parts: &Parts) -> Option<(UnixStream, Guard)> {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = parts.shutdown.requested() => return None,
        };
        let (stream, _) = match accepted {
            Ok(accepted) => accepted,
            Err(err) => {
                // Out of descriptors or memory: it passes, the backlog waits.
                tracing::warn!(%err, "a connection cannot be accepted, trying again");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if let Err(reason) = check_peer(&stream) {
            tracing::warn!(reason, "a connection was refused");
            refuse(&stream, &Error::new(call::VERSION, reason)).await;
        } else if parts.idle.busy() >= limits::CONNECTIONS {
            refuse(&stream, &Error::new(call::BUSY, "too many connections, try again later")).await;
        } else {
            let guard = parts.idle.guard();
            return Some((stream, guard));
        }
    }
}

/// Whether the peer is the same user; root is refused too, in words.
pub fn check_peer(stream: impl AsFd) -> Result<(), String> {
    let own = rustix::process::geteuid().as_raw();
    match peer_uid(stream.as_fd()) {
        Ok(peer) if peer == own => Ok(()),
        // The kernel's number for whoever has none in the service's user namespace, which the hardened unit has.
        Ok(65534) => Err(format!("this service serves user {own} only, not another")),
        Ok(peer) => Err(format!("this service serves user {own} only, not user {peer}")),
        Err(err) => Err(format!("the peer's user cannot be told: {err}")),
    }
}

// Not by rustix: its credentials hold a process id that cannot be 0. The kernel says 0 for a peer outside this PID
// namespace (a container that has our socket mounted), and that came out as an error "Success".
#[cfg(target_os = "linux")]
fn peer_uid(stream: BorrowedFd<'_>) -> io::Result<u32> {
    use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
    Ok(getsockopt(&stream, PeerCredentials)?.uid())
}

#[cfg(not(target_os = "linux"))]
fn peer_uid(stream: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(nix::unistd::getpeereid(stream)?.0.as_raw())
}

async fn refuse(stream: &UnixStream, error: &Error) {
    // Words for a person at the other end; who does not read them is refused all the same.
    let _ = send_line(stream, &call::error(None, error), Vec::new()).await;
}

/// gRPC only: local calls go with descriptors and with the rights of the same user.
fn sort_tcp(stream: TcpStream, guard: Guard, grpc: mpsc::Sender<io::Result<Connection>>, stopping: Shutdown) {
    tokio::spawn(async move {
        let byte = tokio::select! {
            byte = first_byte(|| stream.async_io(Interest::READABLE, || peek(&stream))) => byte,
            () = stopping.requested() => None,
        };
        match byte {
            Some(b'{') => {
                let error =
                    Error::new(call::VERSION, "local calls are for the Unix socket; by TCP there is gRPC alone");
                // Words for a person at the other end, as on the socket.
                let _ = stream.async_io(Interest::WRITABLE, || stream.try_write(&call::error(None, &error))).await;
            }
            Some(_) => drop(grpc.send(Ok(Connection::new(Stream::Tcp(stream), guard))).await),
            None => {}
        }
    });
}

fn peek(stream: impl AsFd) -> io::Result<Option<u8>> {
    let mut byte = [0];
    let (received, _) = rustix::net::recv(stream, &mut byte[..], rustix::net::RecvFlags::PEEK)?;
    Ok((received == 1).then_some(byte[0]))
}

async fn first_byte<F: Future<Output = io::Result<Option<u8>>>>(peek: impl FnOnce() -> F) -> Option<u8> {
    tokio::time::timeout(Duration::from_secs(60), peek()).await.ok()?.ok()?
}

/// Sends one line, the descriptors with its first byte.
pub async fn send_line(stream: &UnixStream, bytes: &[u8], fds: Vec<OwnedFd>) -> io::Result<()> {
    let mut fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    let mut sent = 0;
    while sent < bytes.len() {
        sent += stream.async_io(Interest::WRITABLE, || send_some(stream.as_fd(), &bytes[sent..], &fds)).await?;
        fds.clear();
    }
    Ok(())
}

/// Answers local calls until the service stops or every connection ended; the first call of a
/// connection is answered all the same. A connection that the client closes drops the call that
/// runs on it.
pub async fn serve_calls<H, F>(mut calls: mpsc::Receiver<(UnixStream, Guard)>, parts: Parts, handler: H)
where
    H: Fn(Call) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Reply, Error>> + Send + 'static,
{
    while let Some((stream, guard)) = calls.recv().await {
        let (handler, shutdown) = (handler.clone(), parts.shutdown.clone());
        tokio::spawn(async move {
            let _guard = guard;
            let mut receiver = Receiver::default();
            let mut first = true;
            loop {
                let line = tokio::select! {
                    biased;
                    line = next_line(&stream, &mut receiver) => line,
                    () = shutdown.requested(), if !first => break,
                };
                first = false;
                let Ok(Some(line)) = line else { break };
                let answered = tokio::select! {
                    answered = answer(&stream, line, &handler) => answered,
                    () = closed(&stream) => break,
                };
                if answered.is_err() {
                    break;
                }
            }
        });
    }
}

async fn next_line(stream: &UnixStream, receiver: &mut Receiver) -> io::Result<Option<Line>> {
    loop {
        if let Some(line) = receiver.line() {
            return Ok(Some(line));
        }
        if stream.async_io(Interest::READABLE, || receiver.fill(stream.as_fd())).await? == 0 {
            return Ok(None);
        }
    }
}

/// Returns when the client closed: calls alternate, so nothing else can arrive meanwhile.
async fn closed(stream: &UnixStream) {
    loop {
        match stream.ready(Interest::READABLE).await {
            Ok(ready) if ready.is_read_closed() => return,
            Err(_) => return,
            Ok(_) => {}
        }
        let mut byte = [0];
        let peeked = stream.async_io(Interest::READABLE, || {
            let (received, _) = rustix::net::recv(stream, &mut byte[..], rustix::net::RecvFlags::PEEK)?;
            Ok(received)
        });
        match peeked.await {
            Ok(0) | Err(_) => return,
            // It sent ahead of its turn; that waits.
            Ok(_) => std::future::pending().await,
        }
    }
}

async fn answer<H, F>(stream: &UnixStream, line: Line, handler: &H) -> io::Result<()>
where
    H: Fn(Call) -> F,
    F: Future<Output = Result<Reply, Error>>,
{
    let request: Request<'_> = match serde_json::from_slice(&line.bytes) {
        Ok(request) => request,
        Err(err) => {
            send_line(stream, &call::error(None, &Error::new(call::NO_JSON, err.to_string())), Vec::new()).await?;
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
    };
    let id = request.id;
    let params = request.params.map_or_else(|| RawValue::from_string("{}".to_owned()), |raw| Ok(raw.to_owned()));
    let outcome = match params {
        Ok(params) => handler(Call { method: request.method.into_owned(), params, fds: line.fds }).await,
        Err(err) => Err(Error::new(call::INVALID_PARAMS, err.to_string())),
    };
    match outcome {
        Ok(reply) => send_line(stream, &call::result(id, &reply.result), reply.fds).await,
        Err(error) => send_line(stream, &call::error(id, &error), Vec::new()).await,
    }
}
