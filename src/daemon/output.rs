//! What one session writes to the person's descriptors: one thread a session, so that a stopped
//! terminal or a full pipe stalls nobody else. The progress line lives here, since only the writer
//! knows what stands on the terminal.

use std::{fs::File, io::Write, os::fd::OwnedFd, thread};

use shared::wire::session::Tty;
use tokio::sync::{mpsc, oneshot};

/// Pieces that may wait for a slow terminal.
const QUEUE_PIECES: usize = 1024;

enum Piece {
    Err(String),
    Progress(String),
    Flush(oneshot::Sender<()>),
}

/// A session's way to its terminal; clones share it.
#[derive(Clone)]
pub struct Output {
    pieces: mpsc::Sender<Piece>,
    /// The terminal on standard error, where there is one.
    pub tty: Option<Tty>,
    /// Whether colours are wanted.
    pub colour: Colour,
}

/// Whether text may hold ANSI sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// It may.
    Always,
    /// It may not.
    Never,
}

impl Output {
    /// Starts the writer. It ends when the last clone is gone.
    pub fn new(stderr: OwnedFd, tty: Option<Tty>, colour: Colour) -> std::io::Result<Self> {
        let (pieces, queue) = mpsc::channel(QUEUE_PIECES);
        thread::Builder::new()
            .name("session output".to_owned())
            .spawn(move || write_pieces(queue, File::from(stderr)))?;
        Ok(Output { pieces, tty, colour })
    }

    /// Writes to standard error.
    pub async fn err(&self, text: impl Into<String>) {
        let text = text.into();
        if !text.is_empty() {
            self.send(Piece::Err(text)).await;
        }
    }

    /// Writes text with ANSI sequences, which are taken out where they are not wanted.
    pub async fn coloured(&self, text: &str) {
        match self.colour {
            Colour::Always => self.err(text).await,
            Colour::Never => self.err(anstream::adapter::strip_str(text).to_string()).await,
        }
    }

    /// A line of cargo's kind: a right-aligned word in green, and the rest.
    pub async fn say(&self, word: &str, rest: &str) {
        self.err(self.line(word, rest)).await;
    }

    /// The same without waiting; dropped when the reader is a thousand lines behind.
    pub fn say_soon(&self, word: &str, rest: &str) {
        let _ = self.pieces.try_send(Piece::Err(self.line(word, rest)));
    }

    fn line(&self, word: &str, rest: &str) -> String {
        match self.colour {
            Colour::Always => format!("\x1b[1m\x1b[92m{word:>12}\x1b[0m {rest}\n"),
            Colour::Never => format!("{word:>12} {rest}\n"),
        }
    }

    /// `error: …` as cargo writes it.
    pub async fn error(&self, text: &str) {
        let line = match self.colour {
            Colour::Always => format!("\x1b[1m\x1b[91merror\x1b[0m: {text}\n"),
            Colour::Never => format!("error: {text}\n"),
        };
        self.err(line).await;
    }

    /// `warning: …` as cargo writes it.
    pub async fn warning(&self, text: &str) {
        let line = match self.colour {
            Colour::Always => format!("\x1b[1m\x1b[33mwarning\x1b[0m: {text}\n"),
            Colour::Never => format!("warning: {text}\n"),
        };
        self.err(line).await;
    }

    /// Replaces the progress line; dropped when the terminal is slow.
    pub fn progress(&self, text: String) {
        if self.tty.is_some() {
            let _ = self.pieces.try_send(Piece::Progress(text));
        }
    }

    /// Takes the progress line away.
    pub async fn progress_ends(&self) {
        self.send(Piece::Progress(String::new())).await;
    }

    /// Waits until all of it is written.
    pub async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        self.send(Piece::Flush(done)).await;
        // The writer is gone only with its queue.
        let _ = wait.await;
    }

    async fn send(&self, piece: Piece) {
        // The writer ends with the last sender, so it is there.
        let _ = self.pieces.send(piece).await;
    }
}

fn write_pieces(mut queue: mpsc::Receiver<Piece>, stderr: File) {
    let mut line = String::new();
    while let Some(piece) = queue.blocking_recv() {
        match piece {
            Piece::Err(text) => {
                clear(&stderr, &line);
                write(&stderr, text.as_bytes());
                write(&stderr, line.as_bytes());
            }
            Piece::Progress(text) => {
                clear(&stderr, &line);
                line = text;
                write(&stderr, line.as_bytes());
            }
            Piece::Flush(done) => {
                clear(&stderr, &line);
                line.clear();
                let _ = done.send(());
            }
        }
    }
}

fn clear(stderr: &File, line: &str) {
    if !line.is_empty() {
        write(stderr, b"\r\x1b[K");
    }
}

/// Writes all of it, also where the shell left the descriptor non-blocking. A reader that went
/// away is the person's wish: the build goes on.
fn write(mut file: &File, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return,
            Ok(count) => bytes = &bytes[count..],
            Err(err) if err.kind() == std::io::ErrorKind::Interrupted => {}
            Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => {
                let mut ready = [rustix::event::PollFd::new(&file, rustix::event::PollFlags::OUT)];
                if rustix::event::poll(&mut ready, None).is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}
