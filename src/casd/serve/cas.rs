//! ContentAddressableStorage: many small blobs at a time, and directory trees.

use std::sync::Arc;

use shared::{
    digest::{Digest, Function},
    limits::BATCH_BYTES,
    reapi::v2::{
        self, batch_read_blobs_response, batch_update_blobs_request, batch_update_blobs_response,
        content_addressable_storage_server::ContentAddressableStorage,
    },
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    edge,
    packing::{self, Packing},
    trees,
};
use crate::store::Store;

/// What a blob costs in an answer beside its data: digest, status, framing.
const OVERHEAD: u64 = 96;
/// An answer with its overhead stays below gRPC's default limit of 4 MiB.
const ANSWER_BYTES: u64 = 4_000_000;
/// Below this a frame is no smaller than what is in it.
const WORTH_PACKING: usize = 128;

pub struct Cas {
    pub store: Arc<dyn Store>,
}

type Refused = Result<(), Status>;

#[tonic::async_trait]
impl ContentAddressableStorage for Cas {
    async fn find_missing_blobs(
        &self,
        request: Request<v2::FindMissingBlobsRequest>,
    ) -> Result<Response<v2::FindMissingBlobsResponse>, Status> {
        let request = request.into_inner();
        let function = edge::function(request.digest_function)?;
        let parse = |digest| edge::digest(function, Some(digest));
        let digests = request.blob_digests.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let mut missing = self.store.find_missing(&digests).into_iter().peekable();
        // The store keeps the order, so that the client's own messages can be given back.
        let answer =
            request.blob_digests.into_iter().zip(digests).filter(|(_, digest)| missing.next_if_eq(digest).is_some());
        let missing_blob_digests = answer.map(|(message, _)| message).collect();
        Ok(Response::new(v2::FindMissingBlobsResponse { missing_blob_digests }))
    }

    async fn batch_update_blobs(
        &self,
        request: Request<v2::BatchUpdateBlobsRequest>,
    ) -> Result<Response<v2::BatchUpdateBlobsResponse>, Status> {
        let request = request.into_inner();
        let function = edge::function(request.digest_function)?;
        check_total(request.requests.iter().map(unpacked_size))?;
        let mut names = Vec::with_capacity(request.requests.len());
        let mut blobs = Vec::with_capacity(request.requests.len());
        for one in request.requests {
            let blob = read_update(function, one.digest.as_ref(), one.compressor, one.data);
            names.push((one.digest, blob.as_ref().map(|_| ()).map_err(Clone::clone)));
            blobs.extend(blob);
        }
        let store = self.store.clone();
        let mut stored = edge::blocking(move || store.put(blobs)).await?.into_iter();
        let mut settle = |parsed: Refused| {
            parsed.and_then(|()| stored.next().map_or(Ok(()), |result| result.map_err(|error| edge::status(&error))))
        };
        let responses = names.into_iter().map(|(digest, parsed)| batch_update_blobs_response::Response {
            digest,
            status: Some(edge::rpc_status(settle(parsed))),
        });
        Ok(Response::new(v2::BatchUpdateBlobsResponse { responses: responses.collect() }))
    }

    async fn batch_read_blobs(
        &self,
        request: Request<v2::BatchReadBlobsRequest>,
    ) -> Result<Response<v2::BatchReadBlobsResponse>, Status> {
        let request = request.into_inner();
        let function = edge::function(request.digest_function)?;
        check_total(request.digests.iter().map(|digest| u64::try_from(digest.size_bytes).unwrap_or(0)))?;
        let store = self.store.clone();
        let responses = edge::blocking(move || {
            let mut room = ANSWER_BYTES;
            let packing = answer_packing(&request.acceptable_compressors);
            request.digests.into_iter().map(|digest| read_one(&*store, function, packing, digest, &mut room)).collect()
        });
        Ok(Response::new(v2::BatchReadBlobsResponse { responses: responses.await? }))
    }

    type GetTreeStream = ReceiverStream<Result<v2::GetTreeResponse, Status>>;

    async fn get_tree(&self, request: Request<v2::GetTreeRequest>) -> Result<Response<Self::GetTreeStream>, Status> {
        let request = request.into_inner();
        let function = edge::function(request.digest_function)?;
        let root = edge::digest(function, request.root_digest.as_ref())?;
        let skip = match request.page_token.as_str() {
            "" => 0,
            token => token.parse().map_err(|_| Status::invalid_argument("the page token is not one of this server"))?,
        };
        let page = match request.page_size {
            0 => usize::MAX,
            size => usize::try_from(size).map_err(|_| Status::invalid_argument("the page size is negative"))?,
        };
        let store = self.store.clone();
        if !store.contains(&root) {
            return Err(Status::not_found(format!("the root directory {root} is not here")));
        }
        let (pages, stream) = mpsc::channel(2);
        tokio::task::spawn_blocking(move || {
            let mut sender = |page| pages.blocking_send(Ok(page)).map_err(|_| Status::cancelled("nobody reads on"));
            if let Err(status) = trees::pages(&*store, &root, skip, page, &mut sender) {
                // Nobody may be listening any more.
                let _ = pages.blocking_send(Err(status));
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    type GetChunkMappingStream = ReceiverStream<Result<v2::GetChunkMappingResponse, Status>>;

    async fn split_blob(&self, _: Request<v2::SplitBlobRequest>) -> Result<Response<v2::SplitBlobResponse>, Status> {
        Err(no_chunks())
    }

    async fn get_chunk_mapping(
        &self,
        _: Request<v2::GetChunkMappingRequest>,
    ) -> Result<Response<Self::GetChunkMappingStream>, Status> {
        Err(no_chunks())
    }

    async fn splice_blob(&self, _: Request<v2::SpliceBlobRequest>) -> Result<Response<v2::SpliceBlobResponse>, Status> {
        Err(no_chunks())
    }

    async fn register_chunk_mapping(
        &self,
        _: Request<Streaming<v2::RegisterChunkMappingRequest>>,
    ) -> Result<Response<v2::RegisterChunkMappingResponse>, Status> {
        Err(no_chunks())
    }
}

fn no_chunks() -> Status {
    Status::unimplemented("this store does not split blobs, as its capabilities say")
}

/// What one blob of an upload is at most in memory; checked again when it is unpacked.
fn unpacked_size(one: &batch_update_blobs_request::Request) -> u64 {
    let named = one.digest.as_ref().map_or(0, |digest| u64::try_from(digest.size_bytes).unwrap_or(0));
    let sent = one.data.len() as u64;
    if one.compressor == Packing::Plain.to_proto() { sent } else { sent.max(named) }
}

fn read_update(
    function: Function,
    digest: Option<&v2::Digest>,
    compressor: i32,
    data: Vec<u8>,
) -> Result<(Digest, Vec<u8>), Status> {
    let packing = Packing::from_proto(compressor)?;
    let digest = edge::digest(function, digest)?;
    match packing {
        Packing::Plain => Ok((digest, data)),
        Packing::Zstd => Ok((digest, packing::unpack(&data, digest.size())?)),
    }
}

/// The best of what a client takes.
fn answer_packing(acceptable: &[i32]) -> Packing {
    let taken = |packing: &&Packing| acceptable.contains(&packing.to_proto());
    packing::offered().iter().find(taken).copied().unwrap_or(Packing::Plain)
}

fn check_total(sizes: impl Iterator<Item = u64>) -> Refused {
    let total = sizes.fold(0_u64, u64::saturating_add);
    if total <= BATCH_BYTES {
        return Ok(());
    }
    Err(Status::invalid_argument(format!("{total} bytes in one batch, {BATCH_BYTES} are allowed: use ByteStream")))
}

fn read_one(
    store: &dyn Store,
    function: Function,
    packing: Packing,
    digest: v2::Digest,
    room: &mut u64,
) -> batch_read_blobs_response::Response {
    let mut read = || -> Result<(Vec<u8>, Packing), Status> {
        let parsed: Digest = edge::digest(function, Some(&digest))?;
        if *room < parsed.size() + OVERHEAD {
            return Err(Status::resource_exhausted("the answer would be too long: ask for this blob again"));
        }
        let blob = store.get(&parsed).map_err(|error| edge::status(&error))?;
        let blob = blob.ok_or_else(|| Status::not_found(format!("{parsed} is not here")))?;
        let bytes = blob.into_bytes().map_err(|error| edge::status(&error))?;
        let (data, packing) = pack(bytes, packing)?;
        *room -= data.len() as u64 + OVERHEAD;
        Ok((data, packing))
    };
    let ((data, packing), status) = match read() {
        Ok(data) => (data, Ok(())),
        Err(status) => ((Vec::new(), Packing::Plain), Err(status)),
    };
    batch_read_blobs_response::Response {
        digest: Some(digest),
        data,
        compressor: packing.to_proto(),
        status: Some(edge::rpc_status(status)),
    }
}

/// A client that takes packed bytes takes plain ones too: whichever are fewer.
fn pack(bytes: Vec<u8>, packing: Packing) -> Result<(Vec<u8>, Packing), Status> {
    if packing == Packing::Plain || bytes.len() < WORTH_PACKING {
        return Ok((bytes, Packing::Plain));
    }
    let packed = packing::pack(&bytes)?;
    Ok(if packed.len() < bytes.len() { (packed, packing) } else { (bytes, Packing::Plain) })
}
