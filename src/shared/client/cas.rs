//! The store as its clients see it: blobs by digest, action results, crates. Batches are kept
//! under gRPC's message limit here, once.

use std::{
    collections::{HashMap, HashSet},
    os::fd::OwnedFd,
};

use serde::{Deserialize, Serialize};
use tonic::Status;

use super::{
    CallError, Link,
    cas_calls::{
        ActionsAnswer, ActionsParams, CrateAnswer, CratesAnswer, CratesParams, Digests, OpenAnswer, PutAnswer, PutFile,
        PutParams, decode_result, read_place,
    },
};
use crate::{
    digest::{Digest, Function},
    limits,
    reapi::{
        self, bytestream, digest_from_proto, digest_to_proto,
        v2::{
            self, action_cache_client::ActionCacheClient,
            content_addressable_storage_client::ContentAddressableStorageClient,
        },
    },
};

/// Most digests that one `blob.open` names.
const OPEN_DIGESTS: usize = 200;
/// Most digests that one FindMissingBlobs names: 4 MiB of message would hold 50,000.
const FIND_DIGESTS: usize = 20_000;
/// How soon a lease is taken again from a store that left.
const LEASE_RETRY: std::time::Duration = std::time::Duration::from_secs(1);
/// What one blob adds to a batch beside its bytes.
const BLOB_OVERHEAD_BYTES: u64 = 100;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CasError {
    /// A gRPC call failed.
    #[error("store: {}: {}", .0.code(), .0.message())]
    Status(Box<Status>),
    /// A local call failed.
    #[error("store: {0}")]
    Call(#[from] CallError),
    /// It answered with something that makes no sense.
    #[error("store: unexpected answer: {0}")]
    Answer(String),
    /// A blob that was asked for is not there.
    #[error("store: {0} is not there")]
    Missing(Digest),
}

impl From<Status> for CasError {
    fn from(status: Status) -> Self {
        CasError::Status(Box::new(status))
    }
}

impl CasError {
    /// Whether the store went away, so that trying again may help.
    pub fn is_lost(&self) -> bool {
        match self {
            CasError::Status(status) => status_is_lost(status),
            CasError::Call(err) => err.is_lost(),
            _ => false,
        }
    }
}

/// Whether a gRPC status says that the service went away rather than no.
pub fn status_is_lost(status: &Status) -> bool {
    use tonic::Code;
    match status.code() {
        Code::Unavailable => true,
        // What tonic makes of a connection that broke in mid-call.
        Code::Unknown | Code::Internal | Code::Cancelled => std::error::Error::source(status).is_some(),
        _ => false,
    }
}

/// A client of casd.
#[derive(Clone, Debug)]
pub struct Cas {
    link: Link,
    blobs: ContentAddressableStorageClient<tonic::transport::Channel>,
    actions: ActionCacheClient<tonic::transport::Channel>,
    streams: bytestream::byte_stream_client::ByteStreamClient<tonic::transport::Channel>,
}

/// Where an opened blob's bytes are.
#[derive(Debug)]
pub enum Opened {
    /// In a read-only file from `offset` on.
    File {
        /// Index into the descriptors of the answer.
        fd: usize,
        /// Where the blob begins, in bytes.
        offset: u64,
        /// Its size in bytes.
        size: u64,
    },
    /// Here.
    Inline(Vec<u8>),
}

/// Keeps what is used from eviction until it is dropped.
#[derive(Debug)]
pub struct Lease(tokio::task::JoinHandle<()>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Serialize)]
struct HoldParams {}

#[derive(Deserialize)]
struct HoldAnswer {}

/// A crate's archive, to be taken into the store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CrateArchive {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The archive's SHA-256, as Cargo.lock has it.
    pub checksum: String,
    /// Where the archive lies, absolute.
    pub archive: String,
}

impl Cas {
    /// A client over a link.
    pub fn new(link: Link) -> Self {
        let channel = link.channel();
        Cas {
            blobs: ContentAddressableStorageClient::new(channel.clone())
                .max_decoding_message_size(limits::MESSAGE_BYTES),
            actions: ActionCacheClient::new(channel.clone()).max_decoding_message_size(limits::MESSAGE_BYTES),
            streams: bytestream::byte_stream_client::ByteStreamClient::new(channel)
                .max_decoding_message_size(limits::MESSAGE_BYTES),
            link,
        }
    }

    /// The gRPC channel to the store, for whole calls.
    pub fn channel(&self) -> tonic::transport::Channel {
        self.link.channel()
    }

    /// Those of `digests` that are not in the store.
    pub async fn find_missing(&self, digests: &[Digest]) -> Result<HashSet<Digest>, CasError> {
        let mut missing = HashSet::new();
        for (function, digests) in by_function(digests) {
            for part in digests.chunks(FIND_DIGESTS) {
                let request = v2::FindMissingBlobsRequest {
                    instance_name: String::new(),
                    blob_digests: part.iter().map(digest_to_proto).collect(),
                    digest_function: reapi::function_to_proto(function),
                };
                let answer = self.blobs.clone().find_missing_blobs(request).await?.into_inner();
                for digest in &answer.missing_blob_digests {
                    missing.insert(read_digest(function, Some(digest))?);
                }
            }
        }
        Ok(missing)
    }

    /// Stores blobs that the caller hashed; those that are there already are not sent.
    pub async fn put_missing(&self, blobs: &HashMap<Digest, Vec<u8>>) -> Result<(), CasError> {
        let digests: Vec<_> = blobs.keys().copied().collect();
        let missing = self.find_missing(&digests).await?;
        self.put(blobs.iter().filter(|(digest, _)| missing.contains(digest)).map(|(d, b)| (*d, b.as_slice()))).await
    }

    /// Stores blobs, small ones in batches.
    pub async fn put<'a>(&self, blobs: impl Iterator<Item = (Digest, &'a [u8])>) -> Result<(), CasError> {
        let mut batches: HashMap<Function, (u64, Vec<v2::batch_update_blobs_request::Request>)> = HashMap::new();
        for (digest, bytes) in blobs {
            if digest.is_empty() {
                continue;
            }
            let cost = digest.size() + BLOB_OVERHEAD_BYTES;
            if cost > limits::BATCH_BYTES {
                self.write(digest, bytes).await?;
                continue;
            }
            let (used, requests) = batches.entry(digest.function()).or_default();
            if *used + cost > limits::BATCH_BYTES {
                self.put_batch(digest.function(), std::mem::take(requests)).await?;
                *used = 0;
            }
            *used += cost;
            requests.push(v2::batch_update_blobs_request::Request {
                digest: Some(digest_to_proto(&digest)),
                data: bytes.to_vec(),
                compressor: 0,
            });
        }
        for (function, (_, requests)) in batches {
            self.put_batch(function, requests).await?;
        }
        Ok(())
    }

    async fn put_batch(
        &self,
        function: Function,
        requests: Vec<v2::batch_update_blobs_request::Request>,
    ) -> Result<(), CasError> {
        if requests.is_empty() {
            return Ok(());
        }
        let request = v2::BatchUpdateBlobsRequest {
            instance_name: String::new(),
            requests,
            digest_function: reapi::function_to_proto(function),
        };
        let answer = self.blobs.clone().batch_update_blobs(request).await?.into_inner();
        for response in answer.responses {
            check_status(response.status)?;
        }
        Ok(())
    }

    async fn write(&self, digest: Digest, bytes: &[u8]) -> Result<(), CasError> {
        let name = format!("uploads/{}/blobs/{}", upload_id(&digest), resource(&digest));
        let total = bytes.len();
        let requests: Vec<_> = bytes
            .chunks(limits::CHUNK_BYTES)
            .enumerate()
            .map(|(index, chunk)| {
                let offset = index * limits::CHUNK_BYTES;
                bytestream::WriteRequest {
                    resource_name: if index == 0 { name.clone() } else { String::new() },
                    write_offset: i64::try_from(offset).unwrap_or(i64::MAX),
                    finish_write: offset + chunk.len() == total,
                    data: chunk.to_vec(),
                }
            })
            .collect();
        self.streams.clone().write(tokio_stream::iter(requests)).await?;
        Ok(())
    }

    /// Opens blobs for reading, in the order asked for; absent ones are `None`. Descriptors are
    /// grouped by call: an [`Opened::File`] indexes into the returned list.
    pub async fn open(&self, digests: &[Digest]) -> Result<(Vec<Option<Opened>>, Vec<OwnedFd>), CasError> {
        let (mut opened, mut all_fds) = (Vec::with_capacity(digests.len()), Vec::new());
        for part in digests.chunks(OPEN_DIGESTS) {
            let (answer, fds): (OpenAnswer, _) = self.link.call("blob.open", &Digests { digests: part }, &[]).await?;
            if answer.blobs.len() != part.len() {
                return Err(CasError::Answer(format!("{} places for {} blobs", answer.blobs.len(), part.len())));
            }
            for place in answer.blobs {
                opened.push(place.map(|place| read_place(place, fds.len(), all_fds.len())).transpose()?);
            }
            all_fds.extend(fds);
        }
        Ok((opened, all_fds))
    }

    /// Reads one blob whole.
    pub async fn read(&self, digest: Digest) -> Result<Vec<u8>, CasError> {
        if digest.is_empty() {
            return Ok(Vec::new());
        }
        let (opened, fds) = self.open(&[digest]).await?;
        match opened.into_iter().next().flatten() {
            None => Err(CasError::Missing(digest)),
            Some(Opened::Inline(bytes)) => Ok(bytes),
            Some(Opened::File { fd, offset, size }) => read_at(&fds[fd], offset, size)
                .map_err(|err| CasError::Answer(format!("{digest} cannot be read: {err}"))),
        }
    }

    /// Stores whole files, which are read from their descriptors' beginning. `sizes` and `fds` go
    /// together. Answered when they are durable.
    pub async fn put_files(&self, function: Function, sizes: &[u64], fds: &[OwnedFd]) -> Result<Vec<Digest>, CasError> {
        let files = sizes.iter().map(|&size| PutFile { size }).collect();
        let params = PutParams { files, function: function.name() };
        let (answer, _): (PutAnswer, _) = self.link.call("blob.put", &params, fds).await?;
        if answer.digests.len() != sizes.len() {
            return Err(CasError::Answer(format!("{} digests for {} files", answer.digests.len(), sizes.len())));
        }
        Ok(answer.digests)
    }

    /// The results of several actions at once, in the order asked for.
    pub async fn action_results(&self, actions: &[Digest]) -> Result<Vec<Option<v2::ActionResult>>, CasError> {
        let (answer, _): (ActionsAnswer, _) = self.link.call("action.get", &ActionsParams { actions }, &[]).await?;
        if answer.results.len() != actions.len() {
            return Err(CasError::Answer(format!("{} results for {} actions", answer.results.len(), actions.len())));
        }
        answer.results.into_iter().map(|result| result.map(|text| decode_result(&text)).transpose()).collect()
    }

    /// One action's result.
    pub async fn action_result(&self, action: Digest) -> Result<Option<v2::ActionResult>, CasError> {
        Ok(self.action_results(&[action]).await?.into_iter().next().flatten())
    }

    /// Remembers an action's result.
    pub async fn update_action_result(&self, action: Digest, result: v2::ActionResult) -> Result<(), CasError> {
        let request = v2::UpdateActionResultRequest {
            instance_name: String::new(),
            action_digest: Some(digest_to_proto(&action)),
            action_result: Some(result),
            results_cache_policy: None,
            digest_function: reapi::function_to_proto(action.function()),
        };
        self.actions.clone().update_action_result(request).await?;
        Ok(())
    }

    /// Has the store evict nothing that is used, from now until the answer is dropped; taken again
    /// from a store that was restarted. Must be called inside a runtime.
    pub fn hold(&self) -> Lease {
        let link = self.link.clone();
        Lease(tokio::spawn(async move {
            loop {
                let held: Result<(HoldAnswer, _), _> = link.call("lease.hold", &HoldParams {}, &[]).await;
                if let Err(error) = held
                    && !error.is_lost()
                {
                    tracing::warn!(%error, "the store gives no lease; ignoring, an hour is leased anyway");
                    return;
                }
                tokio::time::sleep(LEASE_RETRY).await;
            }
        }))
    }

    /// Takes crates' archives into the store; per crate the root of its tree, or why not.
    pub async fn acquire_crates(&self, crates: &[CrateArchive]) -> Result<Vec<Result<Digest, String>>, CasError> {
        let (answer, _): (CratesAnswer, _) = self.link.call("crate.acquire", &CratesParams { crates }, &[]).await?;
        if answer.roots.len() != crates.len() {
            return Err(CasError::Answer(format!("{} roots for {} crates", answer.roots.len(), crates.len())));
        }
        Ok(answer
            .roots
            .into_iter()
            .map(|answer| match answer {
                CrateAnswer::Root { root } => Ok(root),
                CrateAnswer::Error { error } => Err(error),
            })
            .collect())
    }
}

/// A blob's bytes from an open file.
pub fn read_at(fd: &OwnedFd, offset: u64, size: u64) -> std::io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::from(fd.try_clone()?);
    let mut bytes = vec![0; usize::try_from(size).map_err(std::io::Error::other)?];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

fn read_digest(function: Function, digest: Option<&v2::Digest>) -> Result<Digest, CasError> {
    digest_from_proto(function, digest).map_err(|err| CasError::Answer(err.to_string()))
}

fn by_function(digests: &[Digest]) -> HashMap<Function, Vec<Digest>> {
    let mut sorted: HashMap<Function, Vec<Digest>> = HashMap::new();
    for digest in digests {
        sorted.entry(digest.function()).or_default().push(*digest);
    }
    sorted
}

fn check_status(status: Option<reapi::rpc::Status>) -> Result<(), CasError> {
    match status {
        None => Ok(()),
        Some(status) if status.code == 0 => Ok(()),
        Some(status) => Err(Status::new(status.code.into(), status.message).into()),
    }
}

/// A blob in a ByteStream resource name: SHA-256 has no segment of its own.
fn resource(digest: &Digest) -> String {
    match digest.function() {
        Function::Sha256 => format!("{}/{}", digest.hex(), digest.size()),
        Function::Blake3 => format!("blake3/{}/{}", digest.hex(), digest.size()),
    }
}

/// The API wants a UUID in the name of an upload; one per blob serves, since the bytes are equal.
fn upload_id(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32])
}
