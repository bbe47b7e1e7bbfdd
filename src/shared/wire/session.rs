//! The messages of one `vx` run: what the client hands over and what it is told.

use serde::{Deserialize, Serialize};

use super::{call::Error, text::Text};

/// The version of the client protocol.
pub const PROTOCOL: u32 = 1;

/// `session.start`: the first line of a client, with its three standard descriptors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Start {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// The run's name, made by the client: the same when it comes back after a lost connection.
    pub run: String,
    /// The words after the program's name.
    pub argv: Vec<Text>,
    /// The working directory, absolute.
    pub cwd: Text,
    /// Names and values.
    pub env: Vec<(Text, Text)>,
    /// The terminal on standard error, where there is one.
    #[serde(default)]
    pub tty: Option<Tty>,
    /// What the descriptors are, in order: stdin, stdout, stderr.
    pub fds: Vec<String>,
    /// Who is asking.
    pub client: Client,
}

/// A terminal's size.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Tty {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub cols: u16,
}

/// The client program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Client {
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
}

/// `session.accepted`: sent before anything starts.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Accepted {
    /// Whether the run may be started again after a lost connection.
    pub repeat: bool,
}

/// `session.signal`, from the client.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Signal {
    /// The signal's number.
    pub sig: i32,
}

/// The result of `session.start`.
#[derive(Clone, Debug, Serialize)]
pub struct Ended {
    /// The exit code for the client.
    pub exit: u8,
    /// The run's name.
    pub run: String,
}

/// Any line of the daemon, as the thin client reads it: one type, because each further one adds
/// kilobytes to a program whose size is its speed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct FromDaemon {
    /// Set on notifications; only those of `session.accepted` are for the client.
    pub params: Option<Accepted>,
    /// The part of [`Ended`] that the client needs.
    pub result: Option<Exit>,
    /// Why there is no run.
    pub error: Option<Error>,
}

/// An exit code.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Exit {
    /// The exit code for the client.
    pub exit: u8,
}
