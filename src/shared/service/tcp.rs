//! Loopback TCP beside a service's own socket, for clients that know no Unix sockets; off unless
//! vx.toml asks for it. What comes in this way is marked, so that services can refuse it more.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener as StdListener},
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

/// Whether the other end, which is on this machine, belongs to this user.
#[cfg(target_os = "linux")]
fn check(peer: SocketAddr, own: SocketAddr) -> Result<(), String> {
    let user = rustix::process::geteuid().as_raw();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = std::fs::read_to_string(table).unwrap_or_default();
        match owner(&text, peer, own) {
            Some(uid) if uid == user => return Ok(()),
            Some(uid) => return Err(format!("this service serves user {user} only, not user {uid}")),
            None => {}
        }
    }
    Err(format!("nobody knows whose connection {peer} is"))
}

/// Elsewhere nothing tells whose it is (vx.toml(5) says so).
#[cfg(not(target_os = "linux"))]
fn check(_: SocketAddr, _: SocketAddr) -> Result<(), String> {
    Ok(())
}

/// The user of the socket that is bound to `peer` and connected to `own`, in the kernel's table.
#[cfg(any(target_os = "linux", test))]
fn owner(table: &str, peer: SocketAddr, own: SocketAddr) -> Option<u32> {
    const UID: usize = 7;
    let (peer, own) = (plain(peer), plain(own));
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let (local, remote) = (address(fields.get(1)?)?, address(fields.get(2)?)?);
        if (local, remote) == (peer, own) { fields.get(UID)?.parse().ok() } else { None }
    })
}

/// `0100007F:1F90`: each 32 bits of an address in the machine's own byte order.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    let ip = match ip.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let mut bytes = [0; 16];
            bytes.copy_from_slice(words.as_flattened());
            Ipv6Addr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_owner_of_a_connection_is_read_from_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1 0\n   \
            1: 0100007F:9C40 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  4711        0 2 1 0\n";
        let (peer, own) = (SocketAddr::from(([127, 0, 0, 1], 0x9c40)), SocketAddr::from(([127, 0, 0, 1], 0x1f90)));
        assert_eq!(owner(table, peer, own), Some(4711));
        assert_eq!(owner(table, own, peer), None);
        let mapped = "sl\n 0: 0000000000000000FFFF00000100007F:9C40 0000000000000000FFFF00000100007F:1F90 01 0 0 0 7\n";
        assert_eq!(owner(mapped, peer, own), Some(7));
        assert_eq!(owner("sl\n 0: zz:1 zz:1 01 0 0 0 7\n", peer, own), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_real_connection_has_an_owner() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let own = listener.local_addr().expect("bound");
        let client = TcpStream::connect(own).expect("somebody listens");
        let (_stream, peer) = listener.accept().expect("somebody connected");
        assert_eq!(check(peer, own), Ok(()));
        drop(client);
        assert!(check(SocketAddr::from(([127, 0, 0, 1], 1)), own).is_err());
    }
}
