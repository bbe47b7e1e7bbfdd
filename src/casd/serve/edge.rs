//! What every call at the edge needs: digests parsed, errors turned into statuses, blocking work
//! moved off the runtime's threads, and the gate that answers while nothing can be served.

use std::sync::{Arc, PoisonError, RwLock};

use shared::{
    digest::{Digest, Function},
    reapi::{digest_from_proto, function_from_proto, rpc, v2},
};
use tonic::{Code, Status};

use crate::store::StoreError;

/// Why nothing can be served right now, in words for the person; normally nothing.
#[derive(Clone, Default)]
pub struct Gate(Arc<RwLock<Option<String>>>);

impl Gate {
    /// Answers everything with `why` from now on.
    pub fn close(&self, why: String) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// Serves again.
    pub fn open(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Why not.
    pub fn closed(&self) -> Option<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The hash function of a request.
pub fn function(value: i32) -> Result<Function, Status> {
    function_from_proto(value)
        .ok_or_else(|| Status::invalid_argument("this store knows the digest functions SHA256 and BLAKE3 only"))
}

/// A digest of a request.
pub fn digest(function: Function, digest: Option<&v2::Digest>) -> Result<Digest, Status> {
    digest_from_proto(function, digest).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// A store's error as the API has it.
pub fn status(error: &StoreError) -> Status {
    let code = match error {
        StoreError::Mismatch { .. } | StoreError::Size { .. } | StoreError::TooLarge(_) => Code::InvalidArgument,
        error if error.is_full() => Code::ResourceExhausted,
        StoreError::Closed => Code::Unavailable,
        StoreError::Io { .. } | StoreError::Full(_) | StoreError::Folder(_) => Code::Internal,
    };
    Status::new(code, error.to_string())
}

/// A status inside of a batch's answer.
pub fn rpc_status(result: Result<(), Status>) -> rpc::Status {
    match result {
        Ok(()) => rpc::Status::default(),
        Err(status) => {
            rpc::Status { code: status.code() as i32, message: status.message().to_owned(), details: Vec::new() }
        }
    }
}

/// Runs what reads, writes or waits away from the runtime's threads.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Status::internal(format!("the store's work ended early: {error}")))
}
