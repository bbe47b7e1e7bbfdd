//! `packets` for macOS, which has no sequenced packets: a stream, each packet behind its length.
//! Compiled for tests everywhere.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::{
    io::{Errno, FdFlags, fcntl_setfd},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
};

/// Most descriptors of one packet: job, result, three streams, a control group, a jobserver's two pipes.
const FDS: usize = 8;
/// The largest packet: a failed step with a path.
const BYTES: usize = 16 << 10;
/// The length before each.
const HEAD: usize = size_of::<u32>();

/// One packet.
#[derive(Debug)]
pub struct Packet {
    /// What it says. Nothing when not all of its descriptors came along.
    pub bytes: Vec<u8>,
    /// In their order.
    pub fds: Vec<OwnedFd>,
}

/// Two ends, closed when a program is loaded: execd starts processes from the spawner alone, so that
/// nobody can be started between the two calls.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (one, other) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::empty(), None)?;
    for end in [&one, &other] {
        fcntl_setfd(end, FdFlags::CLOEXEC)?;
    }
    Ok((one, other))
}

/// Sends one packet. An end that does not block waits all the same, for who sends must end what it began.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= BYTES);
    let head = length.ok_or(io::ErrorKind::InvalidInput)?.to_ne_bytes();
    let packet = [&head[..], bytes].concat();
    let mut sent = 0;
    while sent < packet.len() {
        // With the first byte.
        let fds = if sent == 0 { fds } else { &[] };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        match sendmsg(&socket, &[IoSlice::new(&packet[sent..])], &mut ancillary, SendFlags::empty()) {
            Ok(count) => sent += count,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait(&socket, PollFlags::POLLOUT),
            Err(err) => return Err(err.into()),
        }
    }
    Ok(())
}

/// The next packet, or `None` when the other side is closed. Only its first byte is not waited for
/// on an end that does not block.
pub fn receive(socket: impl AsFd) -> io::Result<Option<Packet>> {
    let (mut bytes, mut fds) = (Vec::new(), Vec::new());
    let mut wanted = HEAD;
    while bytes.len() < wanted {
        let mut part = vec![0; wanted - bytes.len()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let got = match recvmsg(&socket, &mut [IoSliceMut::new(&mut part)], &mut ancillary, RecvFlags::empty()) {
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) if !bytes.is_empty() => {
                wait(&socket, PollFlags::POLLIN);
                continue;
            }
            // The other side died with a packet of ours unread.
            Err(Errno::CONNRESET) => return Ok(None),
            other => other?.bytes,
        };
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                fds.extend(received);
            }
        }
        if got == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&part[..got]);
        if bytes.len() == HEAD && wanted == HEAD {
            let head = bytes.as_slice().try_into().map(u32::from_ne_bytes).unwrap_or(u32::MAX);
            let length = usize::try_from(head).ok().filter(|length| *length <= BYTES);
            wanted += length.ok_or(io::ErrorKind::InvalidData)?;
        }
    }
    for fd in &fds {
        fcntl_setfd(fd, FdFlags::CLOEXEC)?;
    }
    Ok(Some(Packet { bytes: bytes.split_off(HEAD), fds }))
}

fn wait(socket: &impl AsFd, what: PollFlags) {
    let _interrupted = poll(&mut [PollFd::new(socket.as_fd(), what)], PollTimeout::NONE);
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Read};

    use super::*;

    #[test]
    fn each_packet_is_received_as_it_was_sent() {
        let (one, other) = pair().expect("a pair");
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let long = vec![7; BYTES];
        send(&one, b"first", &[]).expect("room");
        send(&one, b"", &[writer.as_fd()]).expect("room");
        drop(writer);
        let sender = std::thread::spawn(move || {
            send(&one, &long, &[]).expect("a reader");
            assert!(send(&one, &[0; BYTES + 1], &[]).is_err());
        });
        let next = || receive(&other).expect("a packet");
        let first = next().expect("a packet");
        assert_eq!((first.bytes.as_slice(), first.fds.len()), (&b"first"[..], 0));
        let mut second = next().expect("a packet");
        assert_eq!((second.bytes.len(), second.fds.len()), (0, 1));
        drop(second.fds.pop());
        let mut rest = String::new();
        reader.read_to_string(&mut rest).expect("the end, now that every writer is gone");
        assert_eq!(next().expect("a packet").bytes, vec![7; BYTES]);
        sender.join().expect("it ended");
        assert!(next().is_none());
    }

    #[test]
    fn an_end_that_does_not_block_waits_for_the_rest_alone() {
        let (one, other) = pair().expect("a pair");
        rustix::io::ioctl_fionbio(&other, true).expect("a socket");
        assert_eq!(receive(&other).expect_err("nothing is there").kind(), io::ErrorKind::WouldBlock);
        let mut raw = File::from(one);
        let sender = std::thread::spawn(move || {
            for byte in [&3_u32.to_ne_bytes()[..2], &3_u32.to_ne_bytes()[2..], b"ab", b"c"] {
                io::Write::write_all(&mut raw, byte).expect("a reader");
            }
            raw
        });
        let packet = loop {
            match receive(&other) {
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                other => break other.expect("a packet").expect("a packet"),
            }
        };
        assert_eq!(packet.bytes, b"abc");
        drop(sender.join().expect("it ended"));
        assert!(receive(&other).expect("an end").is_none());
    }
}
