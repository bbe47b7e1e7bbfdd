//! Why an action has no result, in the API's terms: one code, words, and the blobs a client has to
//! bring. How that is written on the wire is `serve`'s.

use std::io;

use shared::{client::cas::CasError, digest::Digest};
use tonic::Code;

use crate::{collect::CollectError, launch::RunError, sandbox::Step, stage::StageError, view::ViewError};

/// Why not.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// gRPC's code.
    pub code: Code,
    /// What happened, and what to do.
    pub message: String,
    /// Blobs that have to be uploaded first.
    pub missing: Vec<Digest>,
}

impl Refusal {
    /// A refusal without missing blobs.
    pub fn new(code: Code, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into(), missing: Vec::new() }
    }

    /// Blobs that are not in the store: the client uploads them and comes again.
    pub fn missing(missing: Vec<Digest>) -> Refusal {
        let names: Vec<_> = missing.iter().take(3).map(Digest::to_string).collect();
        let more = if missing.len() > names.len() { ", …" } else { "" };
        let message = format!("{} input blobs are not in the store: {}{more}", missing.len(), names.join(", "));
        Refusal { code: Code::FailedPrecondition, message, missing }
    }
}

fn of_io(err: &io::Error) -> Code {
    match err.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::ResourceExhausted,
        _ => Code::Internal,
    }
}

impl From<CasError> for Refusal {
    fn from(err: CasError) -> Refusal {
        match &err {
            CasError::Missing(digest) => Refusal::missing(vec![*digest]),
            _ if err.is_lost() => Refusal::new(Code::Unavailable, err.to_string()),
            CasError::Status(status) if status.code() == Code::ResourceExhausted => {
                Refusal::new(Code::ResourceExhausted, err.to_string())
            }
            _ => Refusal::new(Code::Internal, err.to_string()),
        }
    }
}

impl From<StageError> for Refusal {
    fn from(err: StageError) -> Refusal {
        match err {
            StageError::Missing(missing) => Refusal::missing(missing),
            StageError::Hostile(what) => Refusal::new(Code::InvalidArgument, format!("input tree: {what}")),
            StageError::Cas(err) => err.into(),
            StageError::Io { ref source, .. } => Refusal::new(of_io(source), format!("stage inputs: {err}")),
        }
    }
}

impl From<ViewError> for Refusal {
    fn from(err: ViewError) -> Refusal {
        match err {
            ViewError::Invalid(what) => Refusal::new(Code::InvalidArgument, what),
            ViewError::Precondition(what) => Refusal::new(Code::FailedPrecondition, what),
            ViewError::Stage(err) => err.into(),
        }
    }
}

impl From<CollectError> for Refusal {
    fn from(err: CollectError) -> Refusal {
        match err {
            CollectError::Cas(err) => err.into(),
            CollectError::Io { ref source, .. } => Refusal::new(of_io(source), err.to_string()),
            CollectError::TooMany(_) | CollectError::TooLarge => Refusal::new(Code::ResourceExhausted, err.to_string()),
            CollectError::Kind { .. } => Refusal::new(Code::FailedPrecondition, err.to_string()),
            CollectError::Name { .. } => Refusal::new(Code::InvalidArgument, err.to_string()),
        }
    }
}

impl From<RunError> for Refusal {
    fn from(err: RunError) -> Refusal {
        let code = match &err {
            RunError::Failed(fail) if fail.step == Step::WorkingDirectory => Code::InvalidArgument,
            RunError::Failed(fail) if matches!(fail.errno, libc::ENOSPC | libc::ENOMEM | libc::EAGAIN) => {
                Code::ResourceExhausted
            }
            RunError::Lost => Code::Unavailable,
            RunError::Failed(_) | RunError::Io(_) => Code::Internal,
        };
        Refusal::new(code, format!("start the command: {err}"))
    }
}
