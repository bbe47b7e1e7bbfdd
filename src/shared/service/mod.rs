//! The shell of a service, the same for all three: sockets taken, readiness told, idle time
//! watched, shutdown drained. What is served is the service's own business.

mod accept;
mod authority;
mod connection;
mod huffman;
mod idle;
#[cfg(target_os = "macos")]
mod launchd;
mod notify;
mod run;
mod shell;
mod sockets;
mod tcp;

pub use accept::{Call, Reply, Serving, check_peer, send_line, serve_calls, sort_connections};
pub use connection::Connection;
pub use idle::{Guard, Idle};
pub use run::{Parts, Shutdown, Start, main};
pub use sockets::{Sockets, SocketsError, own_folder, take_sockets};
pub use tcp::{BY_TCP, FORWARDED, Peer, Tcp};
