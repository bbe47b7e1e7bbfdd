//! The messages of one `vx` run: what the client hands over and what it is told.

use serde::{Deserialize, Serialize};

use super::{
    call::Error,
    text::{self, Text},
};

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

impl Start {
    /// The line of a `session.start` request, newline included; written without serde, whose
    /// machinery would be a quarter of the thin client's work and size.
    pub fn line(&self) -> Vec<u8> {
        let variables = self.env.iter().map(|(name, value)| name.0.len() + value.0.len() + 8);
        let mut line = Vec::with_capacity(1 << 10 | variables.sum::<usize>());
        line.extend_from_slice(br#"{"jsonrpc":"2.0","id":1,"method":"session.start","params":{"protocol":"#);
        line.extend_from_slice(number(self.protocol, &mut [0; 10]));
        line.extend_from_slice(br#","run":"#);
        text::write(&mut line, self.run.as_bytes());
        line.extend_from_slice(br#","argv":["#);
        list(&mut line, &self.argv, |line, word| text::write(line, &word.0));
        line.extend_from_slice(br#"],"cwd":"#);
        text::write(&mut line, &self.cwd.0);
        line.extend_from_slice(br#","env":["#);
        list(&mut line, &self.env, |line, (name, value)| {
            line.push(b'[');
            text::write(line, &name.0);
            line.push(b',');
            text::write(line, &value.0);
            line.push(b']');
        });
        line.push(b']');
        if let Some(tty) = self.tty {
            line.extend_from_slice(br#","tty":{"rows":"#);
            line.extend_from_slice(number(tty.rows.into(), &mut [0; 10]));
            line.extend_from_slice(br#","cols":"#);
            line.extend_from_slice(number(tty.cols.into(), &mut [0; 10]));
            line.push(b'}');
        }
        line.extend_from_slice(br#","fds":["#);
        list(&mut line, &self.fds, |line, name| text::write(line, name.as_bytes()));
        line.extend_from_slice(br#"],"client":{"version":"#);
        text::write(&mut line, self.client.version.as_bytes());
        line.extend_from_slice(br#","pid":"#);
        line.extend_from_slice(number(self.client.pid, &mut [0; 10]));
        line.extend_from_slice(b"}}}\n");
        line
    }
}

fn list<T>(line: &mut Vec<u8>, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            line.push(b',');
        }
        write(line, item);
    }
}

/// A number's decimal digits.
fn number(mut value: u32, digits: &mut [u8; 10]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return &digits[at..];
        }
    }
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

impl Signal {
    /// The line of a `session.signal` notification, newline included.
    pub fn line(self) -> Vec<u8> {
        let mut line = br#"{"jsonrpc":"2.0","method":"session.signal","params":{"sig":"#.to_vec();
        line.extend_from_slice(number(self.sig.unsigned_abs(), &mut [0; 10]));
        line.extend_from_slice(b"}}\n");
        line
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::call;

    #[test]
    fn lines_are_what_serde_reads_and_writes() {
        let mut start = Start {
            protocol: PROTOCOL,
            run: "1-2-3".to_owned(),
            argv: vec!["build".into(), "a \"b\"".into()],
            cwd: Text(b"/\xff".to_vec()),
            env: vec![("A".into(), "".into()), ("LINES".into(), "one\ntwo".into())],
            tty: Some(Tty { rows: 0, cols: u16::MAX }),
            fds: ["stdin", "stdout"].map(str::to_owned).to_vec(),
            client: Client { version: "0.1.0".to_owned(), pid: u32::MAX },
        };
        let value = |line: &[u8]| serde_json::from_slice::<serde_json::Value>(line).expect("a line of JSON");
        assert_eq!(value(&start.line()), value(&call::request(1, "session.start", &start)));
        start.tty = None;
        (start.argv, start.env) = Default::default();
        let line = start.line();
        let request: call::Request<'_> = serde_json::from_slice(&line).expect("a request");
        let read: Start = call::params(&request).expect("its params");
        assert!(read.argv.is_empty() && read.env.is_empty() && read.tty.is_none());
        let signal = Signal { sig: 15 };
        assert_eq!(value(&signal.line()), value(&call::notification("session.signal", &signal)));
    }
}
