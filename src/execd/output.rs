//! A payload's standard output and error: read through pipes, bounded, kept in memory until the
//! action has ended.

use std::{
    io::{self, PipeWriter},
    os::fd::OwnedFd,
    time::Duration,
};

use shared::limits;
use tokio::{io::AsyncReadExt, net::unix::pipe, sync::watch, task::JoinHandle};

use crate::early::Notice;

/// After the last process is gone the pipes close at once; this is for a descriptor that got away.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// One stream being read.
#[derive(Debug)]
pub struct Capture {
    reader: JoinHandle<Vec<u8>>,
}

/// Tells when a stream went over its bound.
#[derive(Debug)]
pub struct Overflow {
    sender: watch::Sender<bool>,
}

impl Overflow {
    /// Nothing overflowed yet.
    pub fn new() -> Overflow {
        Overflow { sender: watch::Sender::new(false) }
    }

    /// Returns when a stream is longer than [`limits::STREAM_BYTES`].
    pub async fn happened(&self) {
        let mut receiver = self.sender.subscribe();
        if receiver.wait_for(|over| *over).await.is_err() {
            std::future::pending().await
        }
    }
}

impl Capture {
    /// Starts reading, `notice` along with it; the other end goes to the payload.
    pub fn start(overflow: &Overflow, notice: Option<Notice>) -> io::Result<(Capture, PipeWriter)> {
        let (reader, writer) = io::pipe()?;
        let reader = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
        let over = overflow.sender.clone();
        Ok((Capture { reader: tokio::spawn(read(reader, over, notice)) }, writer))
    }

    /// What was written, once every writer is gone.
    pub async fn end(self) -> Vec<u8> {
        tokio::time::timeout(AFTERWARDS, self.reader).await.ok().and_then(Result::ok).unwrap_or_default()
    }
}

async fn read(mut reader: pipe::Receiver, over: watch::Sender<bool>, mut notice: Option<Notice>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        match reader.read(&mut chunk).await {
            Ok(count) if count > 0 => {
                let room = limits::STREAM_BYTES - bytes.len();
                bytes.extend_from_slice(&chunk[..count.min(room)]);
                if let Some(notice) = &mut notice {
                    notice.read(&chunk[..count.min(room)]);
                }
                if count > room {
                    over.send_replace(true);
                    return bytes;
                }
            }
            // A pipe's read fails for no reason but a bug; what came so far is still worth showing.
            Ok(_) | Err(_) => return bytes,
        }
    }
}
