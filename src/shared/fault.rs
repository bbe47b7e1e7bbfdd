//! Whose fault a failure is, and the exit codes that follow from it. Every program renders its
//! failures through [`Failure`]; nothing else chooses exit codes.

use std::fmt;

/// Exit codes of the command-line programs (cargo's words exit as cargo does).
pub mod exit {
    /// It worked.
    pub const OK: u8 = 0;
    /// The operation failed.
    pub const FAILED: u8 = 1;
    /// No service listens.
    pub const UNREACHABLE: u8 = 2;
    /// vx.toml is invalid.
    pub const CONFIG: u8 = 3;
    /// The other side speaks another protocol or version.
    pub const PROTOCOL: u8 = 4;
    /// The command line of vx's own words is wrong (sysexits.h EX_USAGE).
    pub const USAGE: u8 = 64;
    /// A build failed, as cargo says it.
    pub const CARGO_FAILED: u8 = 101;
    /// The command line of one of cargo's words is wrong, as cargo says it.
    pub const CARGO_USAGE: u8 = 1;
    /// Interrupted by the person.
    pub const INTERRUPTED: u8 = 130;
}

/// Who can mend a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The person: a wrong word, a broken file.
    User,
    /// The machine: no space, no socket, no namespaces.
    Environment,
    /// The other side of a connection.
    Peer,
    /// vx itself.
    Bug,
}

impl Fault {
    /// The code of JSON-RPC errors on vx's own wires (positive from 1000: wires.md).
    pub fn code(self) -> i64 {
        match self {
            Fault::User => 1101,
            Fault::Environment => 1102,
            Fault::Peer => 1103,
            Fault::Bug => 1104,
        }
    }

    /// The fault that a code on the wire names.
    pub fn from_code(code: i64) -> Self {
        match code {
            1101 => Fault::User,
            1102 => Fault::Environment,
            1103 => Fault::Peer,
            _ => Fault::Bug,
        }
    }
}

/// A failure in the words of the person it is shown to: what happened, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Who can mend it.
    pub fault: Fault,
    /// What happened, where.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(fault: Fault, what: impl Into<String>) -> Self {
        Failure { fault, what: what.into(), hint: None }
    }

    /// The same failure with what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}
