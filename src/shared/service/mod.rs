//! The shell of a service, the same for all three: sockets taken, readiness told, idle time
//! watched, shutdown drained. What is served is the service's own business.

mod accept;
mod authority;
mod huffman;
mod idle;
mod notify;
mod run;
mod sockets;

pub use accept::{Call, Connection, Reply, Serving, check_peer, send_line, serve_calls, sort_connections};
pub use idle::{Guard, Idle};
pub use run::{Parts, Shutdown, run};
pub use sockets::{Sockets, SocketsError, own_folder, take_sockets};
