//! Why an action has no result, in the API's terms: one code, words, and the blobs a client has to
//! bring. The same refusal becomes a gRPC status before an operation exists and the response's
//! status after.

use std::io;

use shared::{
    client::cas::CasError,
    digest::{Digest, Function},
    reapi::{Message, protobuf, rpc},
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, PreconditionViolation, StatusExt};

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

    /// As a gRPC status, details included.
    pub fn status(&self) -> Status {
        if self.missing.is_empty() {
            return Status::new(self.code, self.message.clone());
        }
        let violation = |digest: &Digest| PreconditionViolation::new("MISSING", subject(digest), "");
        let mut details = ErrorDetails::new();
        details.set_precondition_failure(self.missing.iter().map(violation).collect::<Vec<_>>());
        Status::with_error_details(self.code, self.message.clone(), details)
    }

    /// As the status inside an ExecuteResponse.
    pub fn rpc(&self) -> rpc::Status {
        let status = self.status();
        let packed = rpc::Status::decode(status.details()).unwrap_or_default();
        let details: Vec<protobuf::Any> = packed.details;
        rpc::Status { code: self.code as i32, message: self.message.clone(), details }
    }
}

/// A blob as violations name it.
fn subject(digest: &Digest) -> String {
    match digest.function() {
        Function::Sha256 => format!("blobs/{}/{}", digest.hex(), digest.size()),
        Function::Blake3 => format!("blobs/blake3/{}/{}", digest.hex(), digest.size()),
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
            CollectError::TooMany(_) => Refusal::new(Code::ResourceExhausted, err.to_string()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_blobs_are_named_one_by_one() {
        let digest = Digest::of(Function::Sha256, b"x");
        let rpc = Refusal::missing(vec![digest, Digest::of(Function::Blake3, b"x")]).rpc();
        assert_eq!(rpc.code, Code::FailedPrecondition as i32);
        let [detail] = &rpc.details[..] else { panic!("{:?}", rpc.details) };
        assert_eq!(detail.type_url, "type.googleapis.com/google.rpc.PreconditionFailure");
        let text = String::from_utf8_lossy(&detail.value).into_owned();
        assert!(text.contains("MISSING") && text.contains(&format!("blobs/{}/1", digest.hex())), "{text}");
        assert!(text.contains("blobs/blake3/"), "{text}");
    }
}
