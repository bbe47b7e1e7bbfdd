//! ByteStream: one blob of any size, piece by piece, plain or packed.

use std::sync::Arc;

use shared::{
    digest::Digest,
    limits::{CHUNK_BYTES, SMALL_BLOB_BYTES, UPLOADS},
    reapi::bytestream::{
        QueryWriteStatusRequest, QueryWriteStatusResponse, ReadRequest, ReadResponse, WriteRequest, WriteResponse,
        byte_stream_server::ByteStream,
    },
};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    edge,
    packing::{Packer, Packing, Unpacker},
    resource,
    uploads::{Running, Uploads},
};
use crate::store::{Blob, Store, StoreError, Upload};

/// Messages that wait between the connection and the thread that writes or reads.
const AHEAD: usize = 4;

pub struct Bytes {
    store: Arc<dyn Store>,
    uploads: Arc<Uploads>,
    permits: Arc<Semaphore>,
}

impl Bytes {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Bytes { store, uploads: Arc::default(), permits: Arc::new(Semaphore::new(UPLOADS)) }
    }

    /// A small blob in one message is stored with whatever else waits.
    async fn write_whole(&self, digest: Digest, message: WriteRequest) -> Result<(), Status> {
        let store = self.store.clone();
        let mut stored = edge::blocking(move || store.put(vec![(digest, message.data)])).await?;
        stored.pop().unwrap_or(Ok(())).map_err(|error| edge::status(&error))
    }

    /// Hands the pieces to a thread that unpacks, writes and hashes as they come. A stream that
    /// breaks off leaves an upload that may be resumed.
    async fn write_pieces(&self, name: resource::Name, mut pieces: Pieces) -> Result<u64, Status> {
        let permits = self.permits.clone().acquire_owned().await;
        let permit = permits.map_err(|_| Status::unavailable("the store is closing"))?;
        let (running, kept) = self.uploads.begin(&pieces.name, pieces.at)?;
        let (sender, receiver) = mpsc::channel::<Vec<u8>>(AHEAD);
        let (verdict, ended) = oneshot::channel();
        let store = self.store.clone();
        let writer = edge::blocking(move || {
            let _permit = permit;
            receive(&*store, name, running, kept, receiver, ended)
        });
        let feed = async move {
            loop {
                match pieces.next().await {
                    Ok(Some(piece)) => {
                        if sender.send(piece).await.is_err() {
                            // The writer failed and says why.
                            return Ok(pieces.at);
                        }
                    }
                    Ok(None) => {
                        let _ = verdict.send(Verdict::Whole);
                        return Ok(pieces.at);
                    }
                    Err(Broken::Off(status)) => return Err(status),
                    Err(Broken::Rules(status)) => {
                        let _ = verdict.send(Verdict::Wrong);
                        return Err(status);
                    }
                }
            }
        };
        let (written, fed) = tokio::join!(writer, feed);
        let at = fed?;
        written?.map(|()| at)
    }
}

/// How a stream ended. Without a word it broke off.
enum Verdict {
    Whole,
    Wrong,
}

fn receive(
    store: &dyn Store,
    name: resource::Name,
    running: Running,
    kept: Option<Upload>,
    mut pieces: mpsc::Receiver<Vec<u8>>,
    ended: oneshot::Receiver<Verdict>,
) -> Result<(), Status> {
    let status = |error: StoreError| edge::status(&error);
    let mut upload = kept.map_or_else(|| store.upload(name.digest), Ok).map_err(status)?;
    // Who resumes a packed upload begins a new frame.
    let mut unpacker = Unpacker::new(name.packing)?;
    while let Some(piece) = pieces.blocking_recv() {
        unpacker.feed(&piece, |bytes| upload.write(bytes).map_err(status))?;
        running.progress(upload.received());
    }
    match ended.blocking_recv() {
        Ok(Verdict::Whole) => {
            unpacker.end()?;
            store.finish(upload).map_err(status)
        }
        // Whoever feeds this says what is wrong.
        Ok(Verdict::Wrong) => Ok(()),
        Err(_) => {
            running.keep(upload);
            Ok(())
        }
    }
}

#[tonic::async_trait]
impl ByteStream for Bytes {
    type ReadStream = ReceiverStream<Result<ReadResponse, Status>>;

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let request = request.into_inner();
        let name = resource::read_name(&request.resource_name)?;
        let limit =
            u64::try_from(request.read_limit).map_err(|_| Status::invalid_argument("the read limit is negative"))?;
        if limit > 0 && name.packing != Packing::Plain {
            return Err(Status::invalid_argument("a compressed blob is read without a limit"));
        }
        let offset =
            u64::try_from(request.read_offset).map_err(|_| Status::out_of_range("the read offset is negative"))?;
        let (store, digest) = (self.store.clone(), name.digest);
        let blob = edge::blocking(move || store.get(&digest)).await?.map_err(|error| edge::status(&error))?;
        let blob = blob.ok_or_else(|| Status::not_found(format!("{digest} is not here")))?;
        let left = blob.size().checked_sub(offset);
        let left = left.ok_or_else(|| Status::out_of_range("the read offset is behind the end of the blob"))?;
        let end = offset + if limit == 0 { left } else { left.min(limit) };
        let (sender, stream) = mpsc::channel(AHEAD);
        if blob.in_memory().is_some() && name.packing == Packing::Plain {
            // Small enough for one message, which the channel takes at once.
            let data = blob.read(offset, (end - offset) as usize).map_err(|error| edge::status(&error));
            let _ = sender.try_send(data.map(|data| ReadResponse { data }));
        } else {
            tokio::task::spawn_blocking(move || {
                if let Err(status) = send_pieces(&blob, offset..end, name.packing, &sender) {
                    // Nobody may be listening any more.
                    let _ = sender.blocking_send(Err(status));
                }
            });
        }
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn write(&self, request: Request<Streaming<WriteRequest>>) -> Result<Response<WriteResponse>, Status> {
        let mut stream = request.into_inner();
        let first = stream.message().await?.ok_or_else(|| Status::invalid_argument("the upload holds no message"))?;
        let name = resource::write_name(&first.resource_name)?;
        let size = name.digest.size();
        if self.store.contains(&name.digest) {
            let committed_size = if name.packing == Packing::Plain { as_i64(size) } else { -1 };
            return Ok(Response::new(WriteResponse { committed_size }));
        }
        if size > self.store.capabilities().max_blob_bytes {
            return Err(edge::status(&StoreError::TooLarge(size)));
        }
        let offset =
            u64::try_from(first.write_offset).map_err(|_| Status::invalid_argument("the write offset is negative"))?;
        let plain = name.packing == Packing::Plain;
        let whole = plain && offset == 0 && first.finish_write && first.data.len() as u64 == size;
        let sent = if whole && size <= SMALL_BLOB_BYTES {
            self.write_whole(name.digest, first).await.map(|()| size)
        } else {
            let pieces = Pieces {
                name: first.resource_name.clone(),
                first: Some(first),
                stream,
                expected: plain.then_some(size),
                at: offset,
                state: State::Open,
            };
            self.write_pieces(name, pieces).await
        };
        if matches!(&sent, Err(status) if status.code() == tonic::Code::ResourceExhausted) {
            self.uploads.drop_interrupted();
        }
        // The offset that a next message would have: of a packed upload no count of the blob's bytes.
        sent.map(|sent| Response::new(WriteResponse { committed_size: as_i64(sent) }))
    }

    async fn query_write_status(
        &self,
        request: Request<QueryWriteStatusRequest>,
    ) -> Result<Response<QueryWriteStatusResponse>, Status> {
        let request = request.into_inner();
        let digest = resource::write_name(&request.resource_name)?.digest;
        if self.store.contains(&digest) {
            let committed_size = as_i64(digest.size());
            return Ok(Response::new(QueryWriteStatusResponse { committed_size, complete: true }));
        }
        let received = self.uploads.received(&request.resource_name);
        let received = received.ok_or_else(|| Status::not_found("no such upload: begin at 0"))?;
        Ok(Response::new(QueryWriteStatusResponse { committed_size: as_i64(received), complete: false }))
    }
}

fn as_i64(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn send_pieces(
    blob: &Blob,
    mut range: std::ops::Range<u64>,
    packing: Packing,
    sender: &mpsc::Sender<Result<ReadResponse, Status>>,
) -> Result<(), Status> {
    let mut packer = Packer::new(packing)?;
    let send = |data: Vec<u8>| {
        let sent = data.is_empty() || sender.blocking_send(Ok(ReadResponse { data })).is_ok();
        if sent { Ok(()) } else { Err(Status::cancelled("nobody reads on")) }
    };
    while !range.is_empty() {
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let data = blob.read(range.start, length).map_err(|error| edge::status(&error))?;
        range.start += length as u64;
        send(packer.feed(data)?)?;
    }
    send(packer.end()?)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Finished,
}

/// Why no next piece comes.
enum Broken {
    /// The connection ended; what came is right.
    Off(Status),
    /// The client broke the rules.
    Rules(Status),
}

/// The data of an upload's messages, checked against name, offset, size and end.
struct Pieces {
    first: Option<WriteRequest>,
    stream: Streaming<WriteRequest>,
    name: String,
    /// Bytes in all, where the offsets say it.
    expected: Option<u64>,
    at: u64,
    state: State,
}

impl Pieces {
    /// The next piece; `None` when the client said that all came. A stream that ends before
    /// that is an error, as is one that goes on.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        if self.state == State::Finished {
            return Ok(None);
        }
        let message = match self.first.take() {
            Some(first) => Some(first),
            None => self.stream.message().await.map_err(Broken::Off)?,
        };
        let ended = || Broken::Off(Status::invalid_argument("the upload ended before finish_write"));
        let message = message.ok_or_else(ended)?;
        if !message.resource_name.is_empty() && message.resource_name != self.name {
            return Err(Broken::Rules(Status::invalid_argument("the resource name changed within one upload")));
        }
        if u64::try_from(message.write_offset) != Ok(self.at) {
            let (sent, at) = (message.write_offset, self.at);
            let gap = Status::invalid_argument(format!("write_offset is {sent} where {at} is next"));
            return Err(Broken::Rules(gap));
        }
        self.at += message.data.len() as u64;
        if message.finish_write {
            self.state = State::Finished;
        }
        match self.expected {
            Some(expected) if self.at > expected || (message.finish_write && self.at < expected) => {
                let size = StoreError::Size { expected, actual: self.at };
                Err(Broken::Rules(edge::status(&size)))
            }
            _ => Ok(Some(message.data)),
        }
    }
}
