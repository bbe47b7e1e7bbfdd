//! Lines and descriptors over a Unix socket. Descriptors arrive with the first byte read of the
//! message that carried them and are handed on with the line that this byte completes; that is
//! unambiguous because whoever sends descriptors waits for the answer before it sends again.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, recvmsg, sendmsg,
    },
};

use crate::limits;

const CONTROL_BYTES: usize = rustix::cmsg_space!(ScmRights(253));

/// One received line without its newline, and the descriptors that came with it.
#[derive(Debug)]
pub struct Line {
    /// The line's bytes.
    pub bytes: Vec<u8>,
    /// Descriptors in the order they were sent, close-on-exec.
    pub fds: Vec<OwnedFd>,
}

/// Collects received bytes into lines.
#[derive(Debug, Default)]
pub struct Receiver {
    buffer: Vec<u8>,
    /// How much of `buffer` is known to hold no newline.
    scanned: usize,
    fds: VecDeque<OwnedFd>,
}

impl Receiver {
    /// Receives once; 0 means the other side closed. On a non-blocking socket the error may be
    /// `WouldBlock`. A line over the limit or lost descriptors are `InvalidData`.
    pub fn fill(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        // Small, since each page of it that a short-lived client touches costs it a fault.
        let mut chunk = [0_u8; 4 << 10];
        let mut control = [MaybeUninit::uninit(); CONTROL_BYTES];
        let mut ancillary = RecvAncillaryBuffer::new(&mut control);
        let received = loop {
            match recvmsg(socket, &mut [IoSliceMut::new(&mut chunk)], &mut ancillary, receive_flags()) {
                Err(Errno::INTR) => {}
                other => break other?,
            }
        };
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds);
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too many descriptors on one message"));
        }
        if self.fds.len() > limits::DESCRIPTORS_A_MESSAGE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too many descriptors before a line ended"));
        }
        self.buffer.extend_from_slice(&chunk[..received.bytes]);
        if self.buffer.len() > limits::LINE_BYTES && !self.buffer[self.scanned..].contains(&b'\n') {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is longer than 16 MiB"));
        }
        Ok(received.bytes)
    }

    /// The next whole line, if one is there.
    pub fn line(&mut self) -> Option<Line> {
        let Some(at) = self.buffer[self.scanned..].iter().position(|&b| b == b'\n') else {
            self.scanned = self.buffer.len();
            return None;
        };
        let end = self.scanned + at;
        let rest = self.buffer.split_off(end + 1);
        let mut bytes = std::mem::replace(&mut self.buffer, rest);
        bytes.pop();
        self.scanned = 0;
        Some(Line { bytes, fds: self.fds.drain(..).collect() })
    }

    /// Blocks until a whole line is there; `None` when the other side closed.
    pub fn wait(&mut self, socket: impl AsFd) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.line() {
                return Ok(Some(line));
            }
            if self.fill(socket.as_fd())? == 0 {
                return Ok(None);
            }
        }
    }
}

/// Sends once, with the descriptors on the first byte; says how many bytes went. The descriptors
/// went if any byte did.
pub fn send_some(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut control = [MaybeUninit::uninit(); CONTROL_BYTES];
    let mut ancillary = SendAncillaryBuffer::new(&mut control);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "more than 253 descriptors on one message"));
    }
    loop {
        match sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, send_flags()) {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Sends all of `bytes` on a blocking socket, the descriptors with the first of them.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut sent = send_some(socket.as_fd(), bytes, fds)?;
    while sent < bytes.len() {
        sent += send_some(socket.as_fd(), &bytes[sent..], &[])?;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn receive_flags() -> RecvFlags {
    RecvFlags::CMSG_CLOEXEC
}

#[cfg(not(target_os = "linux"))]
fn receive_flags() -> RecvFlags {
    RecvFlags::empty()
}

/// A peer that went away is an error, not a signal.
#[cfg(target_os = "linux")]
fn send_flags() -> SendFlags {
    SendFlags::NOSIGNAL
}

#[cfg(not(target_os = "linux"))]
fn send_flags() -> SendFlags {
    SendFlags::empty()
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Read, os::unix::net::UnixStream};

    use super::*;

    #[test]
    fn descriptors_arrive_with_their_line() {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let (mut read_end, write_end) = std::io::pipe().expect("a pipe");
        send(&ours, b"one\n", &[]).expect("room in the socket");
        send(&ours, b"two\nthree", &[write_end.as_fd()]).expect("room in the socket");
        drop((ours, write_end));
        let mut receiver = Receiver::default();
        let one = receiver.wait(&theirs).expect("a line").expect("a line");
        let two = receiver.wait(&theirs).expect("a line").expect("a line");
        assert_eq!((&one.bytes[..], &two.bytes[..]), (&b"one"[..], &b"two"[..]));
        let fds: Vec<_> = one.fds.into_iter().chain(two.fds).collect();
        assert_eq!(fds.len(), 1);
        use std::io::Write;
        for fd in fds {
            File::from(fd).write_all(b"x").expect("the pipe's other end is open");
        }
        let mut text = String::new();
        read_end.read_to_string(&mut text).expect("the pipe");
        assert_eq!(text, "x");
        assert!(receiver.wait(&theirs).expect("the end").is_none());
    }
}
