//! ByteStream: one blob of any size, piece by piece.

use std::sync::Arc;

use shared::{
    digest::Digest,
    limits::{CHUNK_BYTES, SMALL_BLOB_BYTES, UPLOADS},
    reapi::bytestream::{
        QueryWriteStatusRequest, QueryWriteStatusResponse, ReadRequest, ReadResponse, WriteRequest, WriteResponse,
        byte_stream_server::ByteStream,
    },
};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{edge, resource};
use crate::store::{Blob, Store, StoreError};

/// Messages that wait between the connection and the thread that writes or reads.
const AHEAD: usize = 4;

pub struct Bytes {
    store: Arc<dyn Store>,
    uploads: Arc<Semaphore>,
}

impl Bytes {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Bytes { store, uploads: Arc::new(Semaphore::new(UPLOADS)) }
    }

    /// Takes the pieces of a small blob into memory and stores it with whatever else waits.
    async fn write_small(&self, digest: Digest, mut pieces: Pieces) -> Result<(), Status> {
        let mut bytes = Vec::with_capacity(digest.size() as usize);
        while let Some(piece) = pieces.next().await? {
            bytes.extend_from_slice(&piece);
        }
        let store = self.store.clone();
        let mut stored = edge::blocking(move || store.put(vec![(digest, bytes)])).await?;
        stored.pop().unwrap_or(Ok(())).map_err(|error| edge::status(&error))
    }

    /// Hands the pieces of a large blob to a thread that writes and hashes as they come.
    async fn write_large(&self, digest: Digest, mut pieces: Pieces) -> Result<(), Status> {
        let permit =
            self.uploads.clone().acquire_owned().await.map_err(|_| Status::unavailable("the store is closing"))?;
        let (sender, mut receiver) = mpsc::channel::<Vec<u8>>(AHEAD);
        let (whole, ended) = tokio::sync::oneshot::channel();
        let store = self.store.clone();
        let writer = edge::blocking(move || {
            let _permit = permit;
            let mut upload = store.upload(digest)?;
            while let Some(piece) = receiver.blocking_recv() {
                upload.write(&piece)?;
            }
            // Without the word that all came, what came is dropped.
            ended.blocking_recv().map_err(|_| StoreError::Closed)?;
            upload.finish()
        });
        let feed = async move {
            while let Some(piece) = pieces.next().await? {
                if sender.send(piece).await.is_err() {
                    // The writer failed and says why.
                    return Ok(());
                }
            }
            let _ = whole.send(());
            Ok::<_, Status>(())
        };
        let (written, fed) = tokio::join!(writer, feed);
        fed?;
        written?.map_err(|error| edge::status(&error))
    }
}

#[tonic::async_trait]
impl ByteStream for Bytes {
    type ReadStream = ReceiverStream<Result<ReadResponse, Status>>;

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let request = request.into_inner();
        let digest = resource::read_name(&request.resource_name)?;
        let limit =
            u64::try_from(request.read_limit).map_err(|_| Status::invalid_argument("the read limit is negative"))?;
        let offset =
            u64::try_from(request.read_offset).map_err(|_| Status::out_of_range("the read offset is negative"))?;
        let store = self.store.clone();
        let blob = edge::blocking(move || store.get(&digest)).await?.map_err(|error| edge::status(&error))?;
        let blob = blob.ok_or_else(|| Status::not_found(format!("{digest} is not here")))?;
        let left = blob.size().checked_sub(offset);
        let left = left.ok_or_else(|| Status::out_of_range("the read offset is behind the end of the blob"))?;
        let end = offset + if limit == 0 { left } else { left.min(limit) };
        let (sender, stream) = mpsc::channel(AHEAD);
        if blob.in_memory().is_some() {
            // Small enough for one message, which the channel takes at once.
            let data = blob.read(offset, (end - offset) as usize).map_err(|error| edge::status(&error));
            let _ = sender.try_send(data.map(|data| ReadResponse { data }));
        } else {
            tokio::task::spawn_blocking(move || send_pieces(&blob, offset, end, &sender));
        }
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn write(&self, request: Request<Streaming<WriteRequest>>) -> Result<Response<WriteResponse>, Status> {
        let mut stream = request.into_inner();
        let first = stream.message().await?.ok_or_else(|| Status::invalid_argument("the upload holds no message"))?;
        let digest = resource::write_name(&first.resource_name)?;
        let committed_size = i64::try_from(digest.size()).unwrap_or(i64::MAX);
        if self.store.contains(&digest) {
            return Ok(Response::new(WriteResponse { committed_size }));
        }
        if digest.size() > self.store.capabilities().max_blob_bytes {
            return Err(edge::status(&StoreError::TooLarge(digest.size())));
        }
        let pieces = Pieces {
            name: first.resource_name.clone(),
            first: Some(first),
            stream,
            expected: digest.size(),
            at: 0,
            state: State::Open,
        };
        if digest.size() <= SMALL_BLOB_BYTES {
            self.write_small(digest, pieces).await?;
        } else {
            self.write_large(digest, pieces).await?;
        }
        Ok(Response::new(WriteResponse { committed_size }))
    }

    /// Half uploads are not kept, so there is nothing to resume.
    async fn query_write_status(
        &self,
        request: Request<QueryWriteStatusRequest>,
    ) -> Result<Response<QueryWriteStatusResponse>, Status> {
        let digest = resource::write_name(&request.into_inner().resource_name)?;
        if !self.store.contains(&digest) {
            return Err(Status::not_found("no such upload: begin at 0"));
        }
        let committed_size = i64::try_from(digest.size()).unwrap_or(i64::MAX);
        Ok(Response::new(QueryWriteStatusResponse { committed_size, complete: true }))
    }
}

fn send_pieces(blob: &Blob, mut offset: u64, end: u64, sender: &mpsc::Sender<Result<ReadResponse, Status>>) {
    while offset < end {
        let length = usize::try_from(end - offset).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let data = blob.read(offset, length).map_err(|error| edge::status(&error));
        offset += length as u64;
        let failed = data.is_err();
        if sender.blocking_send(data.map(|data| ReadResponse { data })).is_err() || failed {
            return;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Finished,
}

/// The data of an upload's messages, checked against name, offset, size and end.
struct Pieces {
    first: Option<WriteRequest>,
    stream: Streaming<WriteRequest>,
    name: String,
    expected: u64,
    at: u64,
    state: State,
}

impl Pieces {
    /// The next piece; `None` when the client said that all came. A stream that ends before
    /// that is an error, as is one that goes on.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Status> {
        if self.state == State::Finished {
            return Ok(None);
        }
        let message = match self.first.take() {
            Some(first) => Some(first),
            None => self.stream.message().await?,
        };
        let message = message.ok_or_else(|| Status::invalid_argument("the upload ended before finish_write"))?;
        if !message.resource_name.is_empty() && message.resource_name != self.name {
            return Err(Status::invalid_argument("the resource name changed within one upload"));
        }
        if u64::try_from(message.write_offset) != Ok(self.at) {
            let (sent, at) = (message.write_offset, self.at);
            return Err(Status::invalid_argument(format!("write_offset is {sent} where {at} is next")));
        }
        self.at += message.data.len() as u64;
        if self.at > self.expected {
            return Err(edge::status(&StoreError::Size { expected: self.expected, actual: self.at }));
        }
        if message.finish_write {
            self.state = State::Finished;
            if self.at < self.expected {
                return Err(edge::status(&StoreError::Size { expected: self.expected, actual: self.at }));
            }
        }
        Ok(Some(message.data))
    }
}
