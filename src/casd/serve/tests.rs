//! How far the store is from an in-memory server behind the same gRPC on the same kind of socket.
//! Run by hand: `cargo test --release --bin vx-casd -- --ignored --nocapture floor`.

use std::{
    collections::HashSet,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use shared::{
    digest::{Digest, Function},
    limits::MESSAGE_BYTES,
    reapi::{
        digest_to_proto,
        v2::{
            self, batch_update_blobs_request, batch_update_blobs_response,
            content_addressable_storage_client::ContentAddressableStorageClient,
            content_addressable_storage_server::{ContentAddressableStorage, ContentAddressableStorageServer},
        },
    },
};
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Channel, Endpoint, Server},
};

use super::cas::Cas;
use crate::store::{Disk, Limits};

const BLOBS: usize = 10_000;
const ROUNDS: usize = 9;

/// Verifies nothing, keeps names in memory: what gRPC itself costs.
#[derive(Default)]
struct Floor(Mutex<HashSet<(String, i64)>>);

type Tree = ReceiverStream<Result<v2::GetTreeResponse, Status>>;
type Chunks = ReceiverStream<Result<v2::GetChunkMappingResponse, Status>>;

#[tonic::async_trait]
impl ContentAddressableStorage for Floor {
    type GetTreeStream = Tree;
    type GetChunkMappingStream = Chunks;

    async fn find_missing_blobs(
        &self,
        request: Request<v2::FindMissingBlobsRequest>,
    ) -> Result<Response<v2::FindMissingBlobsResponse>, Status> {
        let known = self.0.lock().unwrap();
        let absent = |d: &v2::Digest| !known.contains(&(d.hash.clone(), d.size_bytes));
        let missing_blob_digests = request.into_inner().blob_digests.into_iter().filter(absent).collect();
        Ok(Response::new(v2::FindMissingBlobsResponse { missing_blob_digests }))
    }

    async fn batch_update_blobs(
        &self,
        request: Request<v2::BatchUpdateBlobsRequest>,
    ) -> Result<Response<v2::BatchUpdateBlobsResponse>, Status> {
        let mut known = self.0.lock().unwrap();
        let mut store = |one: batch_update_blobs_request::Request| {
            let digest = one.digest.clone().unwrap_or_default();
            known.insert((digest.hash, digest.size_bytes));
            batch_update_blobs_response::Response { digest: one.digest, status: Some(Default::default()) }
        };
        let responses = request.into_inner().requests.into_iter().map(&mut store).collect();
        Ok(Response::new(v2::BatchUpdateBlobsResponse { responses }))
    }

    async fn batch_read_blobs(
        &self,
        _: Request<v2::BatchReadBlobsRequest>,
    ) -> Result<Response<v2::BatchReadBlobsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_tree(&self, _: Request<v2::GetTreeRequest>) -> Result<Response<Tree>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn split_blob(&self, _: Request<v2::SplitBlobRequest>) -> Result<Response<v2::SplitBlobResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_chunk_mapping(&self, _: Request<v2::GetChunkMappingRequest>) -> Result<Response<Chunks>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn splice_blob(&self, _: Request<v2::SpliceBlobRequest>) -> Result<Response<v2::SpliceBlobResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn register_chunk_mapping(
        &self,
        _: Request<Streaming<v2::RegisterChunkMappingRequest>>,
    ) -> Result<Response<v2::RegisterChunkMappingResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

async fn start(path: &Path, service: impl ContentAddressableStorage) -> ContentAddressableStorageClient<Channel> {
    let incoming = UnixListenerStream::new(UnixListener::bind(path).unwrap());
    let service = ContentAddressableStorageServer::new(service).max_decoding_message_size(MESSAGE_BYTES);
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
    let path = path.to_owned();
    let connect = tower::service_fn(move |_| {
        let path = path.clone();
        async move { Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(UnixStream::connect(path).await?)) }
    });
    let channel = Endpoint::from_static("http://localhost").connect_with_connector(connect).await.unwrap();
    ContentAddressableStorageClient::new(channel).max_decoding_message_size(MESSAGE_BYTES)
}

/// One round: 10,000 fresh blobs asked for, uploaded, asked for again.
async fn round(client: &mut ContentAddressableStorageClient<Channel>, function: Function, seed: u64) -> [Duration; 3] {
    let blob = |n: usize| [(seed * BLOBS as u64 + n as u64).to_le_bytes(); 8].concat();
    let blobs: Vec<Vec<u8>> = (0..BLOBS).map(blob).collect();
    let digests: Vec<_> = blobs.iter().map(|blob| digest_to_proto(&Digest::of(function, blob))).collect();
    let digest_function = shared::reapi::function_to_proto(function);
    let find = v2::FindMissingBlobsRequest { blob_digests: digests.clone(), digest_function, ..Default::default() };
    let update = |(data, digest)| batch_update_blobs_request::Request { digest: Some(digest), data, compressor: 0 };
    let requests = blobs.into_iter().zip(digests).map(update).collect();
    let update = v2::BatchUpdateBlobsRequest { requests, digest_function, ..Default::default() };

    let start = Instant::now();
    let absent = client.find_missing_blobs(find.clone()).await.unwrap().into_inner().missing_blob_digests.len();
    let asked = start.elapsed();
    let start = Instant::now();
    let answer = client.batch_update_blobs(update).await.unwrap().into_inner();
    let stored = start.elapsed();
    let start = Instant::now();
    let missing = client.find_missing_blobs(find).await.unwrap().into_inner().missing_blob_digests.len();
    let found = start.elapsed();
    assert_eq!((absent, missing, answer.responses.len()), (BLOBS, 0, BLOBS));
    assert!(answer.responses.iter().all(|one| one.status.as_ref().is_some_and(|status| status.code == 0)));
    [asked, stored, found]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, of use only in release"]
async fn floor() {
    let dir = tempfile::Builder::new().tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let store = Arc::new(Disk::open(&dir.path().join("cas"), Limits::default()).unwrap());
    let mut floor = start(&dir.path().join("floor.sock"), Floor::default()).await;
    let mut ours = start(&dir.path().join("cas.sock"), Cas { store }).await;
    for function in [Function::Sha256, Function::Blake3] {
        let (mut base, mut real) = (Vec::new(), Vec::new());
        for seed in 0..ROUNDS as u64 {
            base.push(round(&mut floor, function, seed).await);
            real.push(round(&mut ours, function, seed).await);
        }
        for (n, what) in ["find 10,000 absent", "update 10,000 x 64 B", "find 10,000 present"].iter().enumerate() {
            let median = |rounds: &[[Duration; 3]]| {
                let mut times: Vec<_> = rounds.iter().map(|round| round[n]).collect();
                times.sort();
                times[ROUNDS / 2].as_secs_f64() * 1e3
            };
            let (base, real) = (median(&base), median(&real));
            println!("{} {what}: floor {base:.1} ms, casd {real:.1} ms, {:.2} x", function.name(), real / base);
        }
    }
}
