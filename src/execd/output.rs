//! A payload's standard output and error: read through pipes, bounded, kept in memory until the
//! action has ended.

use std::{
    io::{self, PipeWriter},
    os::fd::OwnedFd,
    time::Duration,
};

use shared::limits;
use tokio::{io::AsyncReadExt, net::unix::pipe, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::early::Notice;

/// After the last process is gone the pipes close at once; this is for a descriptor that got away, and for a machine that has
/// no time to read.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// One stream being read.
#[derive(Debug)]
pub struct Capture {
    reader: JoinHandle<Vec<u8>>,
    /// Nothing more is waited for.
    enough: CancellationToken,
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
        let (over, enough) = (overflow.sender.clone(), CancellationToken::new());
        let reader = tokio::spawn(read(reader, over, notice, enough.clone()));
        Ok((Capture { reader, enough }, writer))
    }

    /// What was written, once every writer is gone; where one got away, all until now.
    pub async fn end(mut self) -> Vec<u8> {
        let read = match tokio::time::timeout(AFTERWARDS, &mut self.reader).await {
            Ok(read) => read,
            Err(_) => {
                self.enough.cancel();
                self.reader.await
            }
        };
        // It fails for no reason but a bug.
        read.unwrap_or_default()
    }
}

async fn read(
    mut reader: pipe::Receiver,
    over: watch::Sender<bool>,
    mut notice: Option<Notice>,
    enough: CancellationToken,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        let count = tokio::select! {
            // What is there is read.
            biased;
            count = reader.read(&mut chunk) => count,
            () = enough.cancelled() => return bytes,
        };
        match count {
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn what_was_written_is_there_though_a_writer_got_away() {
        let (capture, mut writer) = Capture::start(&Overflow::new(), None).expect("a pipe");
        let _got_away = writer.try_clone().expect("a descriptor");
        writer.write_all(b"cargo::rustc-cfg=said\n").expect("room in a pipe");
        drop(writer);
        assert_eq!(capture.end().await, b"cargo::rustc-cfg=said\n");
    }
}
