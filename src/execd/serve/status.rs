//! A refusal as the API writes it: a gRPC status before an operation exists, the response's status
//! after, the missing blobs as violations in both.

use shared::{
    digest::{Digest, Function},
    reapi::{Message, rpc},
};
use tonic::Status;
use tonic_types::{ErrorDetails, PreconditionViolation, StatusExt};

use crate::refusal::Refusal;

/// As a gRPC status, details included.
pub fn status(refusal: &Refusal) -> Status {
    if refusal.missing.is_empty() {
        return Status::new(refusal.code, refusal.message.clone());
    }
    let violation = |digest: &Digest| PreconditionViolation::new("MISSING", subject(digest), "");
    let mut details = ErrorDetails::new();
    details.set_precondition_failure(refusal.missing.iter().map(violation).collect::<Vec<_>>());
    Status::with_error_details(refusal.code, refusal.message.clone(), details)
}

/// As the status inside an ExecuteResponse.
pub fn rpc(refusal: &Refusal) -> rpc::Status {
    let packed = rpc::Status::decode(status(refusal).details()).unwrap_or_default();
    rpc::Status { code: refusal.code as i32, message: refusal.message.clone(), details: packed.details }
}

/// A blob as violations name it.
fn subject(digest: &Digest) -> String {
    match digest.function() {
        Function::Sha256 => format!("blobs/{}/{}", digest.hex(), digest.size()),
        Function::Blake3 => format!("blobs/blake3/{}/{}", digest.hex(), digest.size()),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn missing_blobs_are_named_one_by_one() {
        let digest = Digest::of(Function::Sha256, b"x");
        let rpc = rpc(&Refusal::missing(vec![digest, Digest::of(Function::Blake3, b"x")]));
        assert_eq!(rpc.code, Code::FailedPrecondition as i32);
        let [detail] = &rpc.details[..] else { panic!("{:?}", rpc.details) };
        assert_eq!(detail.type_url, "type.googleapis.com/google.rpc.PreconditionFailure");
        let text = String::from_utf8_lossy(&detail.value).into_owned();
        assert!(text.contains("MISSING") && text.contains(&format!("blobs/{}/1", digest.hex())), "{text}");
        assert!(text.contains("blobs/blake3/"), "{text}");
    }
}
