//! Loopback TCP beside a service's own socket, for clients that know no Unix sockets; off unless
//! vx.toml asks for it. What comes in this way is marked, so that services can refuse it more.

#[cfg(target_os = "linux")]
mod owner;

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tonic::{Request, metadata::MetadataMap};

use super::{Guard, Parts};
use crate::limits;
#[cfg(target_os = "linux")]
use owner::check;

/// The header by which a service that forwards a call says that it came by TCP. It only takes
/// rights away, so anybody may send it.
pub const FORWARDED: &str = "vx-came-by";
/// Its value.
pub const BY_TCP: &str = "tcp";
/// How long a port that is taken is left alone.
const RETRY: Duration = Duration::from_secs(5);

/// How a client came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// By the service's own socket.
    Local,
    /// By TCP: another program of the same user at best.
    Tcp,
}

impl Peer {
    /// Who sent a request, forwarded or not.
    pub fn of<T>(request: &Request<T>) -> Peer {
        let direct = request.extensions().get::<Peer>().copied();
        if direct == Some(Peer::Tcp) || forwarded(request.metadata()) { Peer::Tcp } else { Peer::Local }
    }
}

fn forwarded(metadata: &MetadataMap) -> bool {
    metadata.contains_key(FORWARDED)
}

/// Where a service listens beside its socket, and how that went.
#[derive(Clone, Debug, Default)]
pub struct Tcp {
    wanted: Arc<watch::Sender<Option<SocketAddr>>>,
    state: Arc<Mutex<Option<String>>>,
    passed: Arc<Mutex<Option<StdListener>>>,
}

impl Tcp {
    /// Listens there from now on, and nowhere else.
    pub fn set(&self, address: Option<SocketAddr>) {
        self.wanted.send_if_modified(|wanted| std::mem::replace(wanted, address) != address);
    }

    /// The same, with a listener that the init system passed; it is used where it is the address
    /// that the person asked for.
    pub fn begin(&self, address: Option<SocketAddr>, passed: Option<StdListener>) {
        let at = passed.as_ref().and_then(|listener| listener.local_addr().ok());
        if at.is_some() && at != address {
            tracing::warn!("a TCP socket was passed that listen_tcp in vx.toml does not name; it is not served");
        }
        *self.passed.lock().unwrap_or_else(PoisonError::into_inner) = passed;
        self.set(address);
    }

    /// The address that is served, or why it is not; nothing where nobody asked for one.
    pub fn state(&self) -> Option<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn passed(&self, address: SocketAddr) -> Option<StdListener> {
        let passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        passed.as_ref().filter(|listener| listener.local_addr().ok() == Some(address))?.try_clone().ok()
    }

    fn say(&self, state: Option<String>) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// Accepts wherever the configuration says until the service stops, and hands on the connections
/// of its own user. Nobody starts a service for a port that it binds itself, so it stays then.
pub(super) async fn accept(parts: Parts, mut take: impl FnMut(TcpStream, Guard)) {
    let mut wanted = parts.tcp.wanted.subscribe();
    loop {
        let address = *wanted.borrow_and_update();
        parts.tcp.say(None);
        let serving = async {
            let Some(address) = address else { return std::future::pending().await };
            let passed = parts.tcp.passed(address);
            let _stays = passed.is_none().then(|| parts.idle.guard());
            loop {
                match listen(address, passed.as_ref()).await {
                    Ok(listener) => accept_on(&listener, &parts, &mut take).await,
                    Err(error) => {
                        tracing::warn!("{address} cannot be served: {error}");
                        parts.tcp.say(Some(format!("{address} cannot be served: {error}")));
                        tokio::time::sleep(RETRY).await;
                    }
                }
            }
        };
        tokio::select! {
            () = serving => {}
            changed = wanted.changed() => if changed.is_err() { return },
            () = parts.shutdown.requested() => return,
        }
    }
}

async fn listen(address: SocketAddr, passed: Option<&StdListener>) -> io::Result<TcpListener> {
    // The configuration was read already; a mistake there must not open a port to a network.
    if !address.ip().is_loopback() {
        return Err(io::Error::other("not a loopback address"));
    }
    let Some(passed) = passed else { return TcpListener::bind(address).await };
    let passed = passed.try_clone()?;
    passed.set_nonblocking(true)?;
    TcpListener::from_std(passed)
}

async fn accept_on(listener: &TcpListener, parts: &Parts, take: &mut impl FnMut(TcpStream, Guard)) {
    let Ok(own) = listener.local_addr() else { return };
    tracing::info!("serving {own} too: whoever can open it as this user may use the store and run actions");
    parts.tcp.say(Some(own.to_string()));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted, trying again");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let checked = tokio::task::spawn_blocking(move || check(peer, own)).await;
        if let Err(reason) = checked.unwrap_or_else(|error| Err(error.to_string())) {
            tracing::warn!("a connection by TCP was refused: {reason}");
        } else if parts.idle.busy() >= limits::CONNECTIONS {
            tracing::warn!("a connection by TCP was refused: too many connections");
        } else {
            // Small answers would wait 40 ms each for more to come.
            let _without = stream.set_nodelay(true);
            take(stream, parts.idle.guard());
        }
    }
}

/// Elsewhere nothing tells whose it is (vx.toml(5) says so).
#[cfg(not(target_os = "linux"))]
fn check(_: SocketAddr, _: SocketAddr) -> Result<(), String> {
    Ok(())
}
