//! What one session writes to the person's descriptors: one thread a session, so that a stopped
//! terminal or a full pipe stalls nobody else. The progress stands here, since only the writer
//! knows what is on the terminal.

use std::{fs::File, io::Write, os::fd::OwnedFd, sync::Arc, thread, time::Duration};

use rustix::termios::tcgetwinsize;
use shared::wire::session::Tty;
use tokio::sync::{mpsc, oneshot};

use crate::cargo::diagnostics;

/// Pieces that may wait for a slow terminal.
const QUEUE_PIECES: usize = 1024;
/// How often it is looked whether a stopped client goes on.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

enum Piece {
    Out(String),
    Err(String),
    Progress(Vec<String>),
    Flush(oneshot::Sender<()>),
}

/// A session's way to its terminal; clones share it.
#[derive(Clone)]
pub struct Output {
    pieces: mpsc::Sender<Piece>,
    screen: Option<Screen>,
    /// Whether colours are wanted.
    pub colour: Colour,
}

/// The terminal on standard error, which may change its size at any time.
#[derive(Clone)]
pub struct Screen {
    terminal: Arc<OwnedFd>,
    /// The process that it belongs to as long as that is not stopped.
    client: u32,
}

/// Whose terminal it is.
#[derive(Clone, Copy, Debug)]
pub struct Client(pub u32);

/// Whether text may hold ANSI sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// It may.
    Always,
    /// It may not.
    Never,
}

impl From<Colour> for diagnostics::Colour {
    fn from(colour: Colour) -> Self {
        match colour {
            Colour::Always => diagnostics::Colour::On,
            Colour::Never => diagnostics::Colour::Off,
        }
    }
}

impl Screen {
    /// Its size now. Some terminals do not know theirs.
    pub fn size(&self) -> Tty {
        let size = tcgetwinsize(&*self.terminal).ok().filter(|size| size.ws_row > 0 && size.ws_col > 0);
        size.map_or(Tty { rows: 24, cols: 80 }, |size| Tty { rows: size.ws_row, cols: size.ws_col })
    }

    /// Whether the person has stopped the client, so that the shell has the terminal. A client in
    /// another process namespace cannot be seen, nor can any where there is no /proc.
    fn is_lent(&self) -> bool {
        let state = std::fs::read_to_string(format!("/proc/{}/stat", self.client)).unwrap_or_default();
        state.split_once(" (vx) ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }
}

impl Output {
    /// Starts the writer. It ends when the last clone is gone. The client is named where standard
    /// error is a terminal.
    pub fn new(stdout: OwnedFd, stderr: &OwnedFd, client: Option<Client>, colour: Colour) -> std::io::Result<Self> {
        let (pieces, queue) = mpsc::channel(QUEUE_PIECES);
        let screen = |Client(client)| stderr.try_clone().map(|fd| Screen { terminal: Arc::new(fd), client });
        let screen = client.map(screen).transpose()?;
        let writer = Writer {
            stdout: File::from(stdout),
            stderr: File::from(stderr.try_clone()?),
            screen: screen.clone(),
            shown: Vec::new(),
        };
        thread::Builder::new().name("session output".to_owned()).spawn(move || writer.write_pieces(queue))?;
        Ok(Output { pieces, screen, colour })
    }

    /// The terminal on standard error, where there is one.
    pub fn screen(&self) -> Option<&Screen> {
        self.screen.as_ref()
    }

    /// Writes to standard output.
    pub async fn out(&self, text: impl Into<String>) {
        let text = text.into();
        if !text.is_empty() {
            self.send(Piece::Out(text)).await;
        }
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
        self.coloured(&format!("\x1b[1m\x1b[91merror\x1b[0m: {text}\n")).await;
    }

    /// `note: …` as cargo writes it.
    pub async fn note(&self, text: &str) {
        self.coloured(&format!("\x1b[1m\x1b[92mnote\x1b[0m: {text}\n")).await;
    }

    /// `warning: …` as cargo writes it.
    pub async fn warning(&self, text: &str) {
        self.coloured(&format!("\x1b[1m\x1b[33mwarning\x1b[0m: {text}\n")).await;
    }

    /// Replaces the progress, where there is a terminal; dropped when that is slow. Each line must
    /// be shorter than the screen is wide.
    pub fn progress(&self, lines: Vec<String>) {
        if self.screen.is_some() {
            let _ = self.pieces.try_send(Piece::Progress(lines));
        }
    }

    /// Takes the progress away.
    pub async fn progress_ends(&self) {
        self.send(Piece::Progress(Vec::new())).await;
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

struct Writer {
    stdout: File,
    stderr: File,
    screen: Option<Screen>,
    /// The progress that stands on the terminal, the cursor behind its last line.
    shown: Vec<String>,
}

impl Writer {
    fn write_pieces(mut self, mut queue: mpsc::Receiver<Piece>) {
        while let Some(piece) = queue.blocking_recv() {
            while self.screen.as_ref().is_some_and(Screen::is_lent) {
                // What stood there is the shell's to write over; what is said waits.
                self.shown.clear();
                thread::sleep(LOOK_AGAIN);
            }
            match piece {
                Piece::Out(text) => {
                    // Both may be the one terminal.
                    write(&self.stderr, self.cleared().as_bytes());
                    write(&self.stdout, text.as_bytes());
                    write(&self.stderr, self.shown.join("\n").as_bytes());
                }
                // In one write, so that nobody sees the screen in between.
                Piece::Err(text) => write(&self.stderr, self.above(&text).as_bytes()),
                Piece::Progress(lines) => {
                    // Over the old lines, then away with what is left of them.
                    let text = match lines.is_empty() {
                        true => self.cleared(),
                        false => format!("{}{}\x1b[J", self.top(), lines.join("\x1b[K\n")),
                    };
                    write(&self.stderr, text.as_bytes());
                    self.shown = lines;
                }
                Piece::Flush(done) => {
                    write(&self.stderr, self.cleared().as_bytes());
                    self.shown.clear();
                    let _ = done.send(());
                }
            }
        }
    }

    /// Text above the progress, written over it, which then follows. Each line is cleared on its
    /// own: a terminal may take a cleared screen for something to keep.
    fn above(&self, text: &str) -> String {
        if self.shown.is_empty() {
            return text.to_owned();
        }
        let text = text.replace('\n', "\x1b[K\n\x1b[K");
        format!("{}\x1b[K{text}{}\x1b[J", self.top(), self.shown.join("\x1b[K\n"))
    }

    /// Moves to where the progress begins. A terminal that has become narrower has broken its
    /// lines.
    fn top(&self) -> String {
        let width = |line: &String| anstream::adapter::strip_str(line).to_string().chars().count();
        let columns = self.screen.as_ref().map_or(usize::MAX, |screen| usize::from(screen.size().cols));
        let rows: usize = self.shown.iter().map(|line| width(line).div_ceil(columns).max(1)).sum();
        match rows {
            0 => String::new(),
            1 => "\r".to_owned(),
            rows => format!("\r\x1b[{}A", rows - 1),
        }
    }

    /// Takes the progress from the screen.
    fn cleared(&self) -> String {
        if self.shown.is_empty() { String::new() } else { self.top() + "\x1b[J" }
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
