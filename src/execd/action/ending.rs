//! Every way an action can end, and what the API calls it.

use tonic::Code;

use crate::refusal::Refusal;

/// Every way an action can end.
#[derive(Debug)]
pub enum Ending {
    /// By itself.
    Exited(i32),
    /// By a signal that nobody here sent.
    Signalled(i32),
    /// Its time was over.
    TimedOut,
    /// A client asked for it.
    Cancelled,
    /// It wrote more than anybody reads.
    OutputTooLong,
    /// The kernel ended it at its memory limit.
    OutOfMemory,
    /// It had more processes than it may.
    TooManyProcesses,
    /// It held more on disk than it may, or than is left.
    OutOfDisk,
    /// Its program is not there or cannot be run: what a shell says with 127 and 126.
    NoProgram { code: i32, why: String },
}

impl Ending {
    /// As `exit_code` says it: shells give 128 and the signal's number.
    pub fn code(&self) -> i32 {
        match self {
            Ending::Exited(code) | Ending::NoProgram { code, .. } => *code,
            Ending::Signalled(signal) => 128 + signal,
            _ => -1,
        }
    }

    /// What the API does not count as the command's own end.
    pub fn refusal(&self) -> Option<Refusal> {
        let (code, words) = match self {
            Ending::Exited(_) | Ending::Signalled(_) | Ending::NoProgram { .. } => return None,
            Ending::TimedOut => (Code::DeadlineExceeded, "the action ran longer than its timeout"),
            Ending::Cancelled => (Code::Cancelled, "the action was cancelled"),
            Ending::OutputTooLong => (Code::ResourceExhausted, "the action wrote more output than is kept (64 MiB)"),
            Ending::OutOfMemory => {
                (Code::ResourceExhausted, "the action used more memory than it may (memory_bytes in [exec])")
            }
            Ending::TooManyProcesses => (Code::ResourceExhausted, "the action had more processes than it may"),
            Ending::OutOfDisk => {
                let words = "the action held more on disk than it may (scratch_bytes in [exec]), or than is left of it";
                (Code::ResourceExhausted, words)
            }
        };
        Some(Refusal::new(code, words))
    }

    pub fn words(&self) -> String {
        match self {
            Ending::Signalled(signal) => format!("the command was ended by signal {signal}"),
            Ending::NoProgram { why, .. } => why.trim_end().to_owned(),
            _ => String::new(),
        }
    }
}
