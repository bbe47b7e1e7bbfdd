//! Finds the daemon's socket and connects; says what to type when nobody listens.

use std::{
    io::{self, ErrorKind},
    os::unix::net::UnixStream,
    path::Path,
};

use shared::{
    fault::{Failure, Fault, exit},
    paths::Service,
};

#[cfg(target_os = "linux")]
use crate::peer;

/// An exit code and the words that go with it.
pub type Refusal = (u8, Failure);

/// A connection to this user's daemon.
pub fn connect() -> Result<UnixStream, Refusal> {
    let Some(socket) = Service::Daemon.socket() else {
        let failure =
            Failure::new(Fault::Environment, "XDG_RUNTIME_DIR is not set and /run/user/UID is not this user's");
        return Err((exit::UNREACHABLE, failure));
    };
    let stream = UnixStream::connect(&socket).map_err(|err| (exit::UNREACHABLE, unreachable(&socket, &err)))?;
    check_peer(&stream)?;
    Ok(stream)
}

fn unreachable(socket: &Path, err: &io::Error) -> Failure {
    let path = socket.display();
    let what = match err.kind() {
        ErrorKind::NotFound => format!("nobody listens at {path}: systemctl --user start vx.socket"),
        ErrorKind::ConnectionRefused => {
            format!(
                "nobody listens at {path} any more: systemctl --user reset-failed vx.socket vx.service; systemctl --user restart vx.socket"
            )
        }
        _ => format!("{path}: {err}"),
    };
    Failure::new(Fault::Environment, what)
}

/// The socket must be served by the same user: environment and terminal are handed to it.
#[cfg(target_os = "linux")]
fn check_peer(stream: &UnixStream) -> Result<(), Refusal> {
    let refused = |what: String| Err((exit::UNREACHABLE, Failure::new(Fault::Environment, what)));
    match peer::user(stream) {
        Ok(user) if user == rustix::process::geteuid().as_raw() => Ok(()),
        Ok(user) => refused(format!("the daemon's socket is served by user {user}, not by you")),
        Err(err) => refused(format!("the daemon's user: {err}")),
    }
}

/// The folder of the socket is 0700; there is no portable question for the peer beyond that.
#[cfg(not(target_os = "linux"))]
fn check_peer(_stream: &UnixStream) -> Result<(), Refusal> {
    Ok(())
}
