//! A connection that speaks gRPC: bytes of a Unix or TCP stream as tonic reads them, the authority
//! of requests mended on the way in, the service kept from leaving while it lives.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tonic::transport::server::Connected;

use super::{
    Guard, Peer,
    authority::{Cure, Step},
};

/// A gRPC connection, for tonic.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    cure: Cure,
    /// Received and not yet handed on.
    held: Vec<u8>,
    /// Of `held`, how much may be handed on.
    whole: usize,
    /// How much of `held` was handed on.
    given: usize,
    _guard: Guard,
}

/// What it runs over.
#[derive(Debug)]
pub enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Connection {
    /// A connection that just began.
    pub fn new(stream: Stream, guard: Guard) -> Self {
        Connection { stream, cure: Cure::default(), held: Vec::new(), whole: 0, given: 0, _guard: guard }
    }

    /// Hands on what is whole.
    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let count = (self.whole - self.given).min(buf.remaining());
        buf.put_slice(&self.held[self.given..self.given + count]);
        self.given += count;
        if self.given == self.whole {
            self.held.drain(..self.whole);
            (self.whole, self.given) = (0, 0);
        }
    }
}

impl Stream {
    fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }

    fn writer(&mut self) -> Pin<&mut (dyn AsyncWrite + Unpin)> {
        match self {
            Stream::Unix(stream) => Pin::new(stream),
            Stream::Tcp(stream) => Pin::new(stream),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.given < this.whole {
                this.give(buf);
                return Poll::Ready(Ok(()));
            }
            if this.held.is_empty() && this.cure.through() > 0 {
                let room = this.cure.through().min(buf.remaining());
                let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
                ready!(this.stream.poll_fill(cx, &mut part))?;
                let received = part.filled().len();
                buf.advance(received);
                this.cure.passed(received);
                return Poll::Ready(Ok(()));
            }
            match this.cure.step(&mut this.held) {
                Step::Pass(count) if count > 0 => {
                    this.cure.passed(count);
                    this.whole = count;
                    continue;
                }
                _ => {}
            }
            let mut chunk = [0; 4 << 10];
            let mut part = ReadBuf::new(&mut chunk);
            ready!(this.stream.poll_fill(cx, &mut part))?;
            if part.filled().is_empty() {
                // The end, maybe within a frame: h2 says what is wrong with that.
                this.whole = this.held.len();
                this.give(buf);
                return Poll::Ready(Ok(()));
            }
            this.held.extend_from_slice(part.filled());
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.writer().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.writer().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Unix(stream) => stream.is_write_vectored(),
            Stream::Tcp(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.writer().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.writer().poll_shutdown(cx)
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        match self.stream {
            Stream::Unix(_) => Peer::Local,
            Stream::Tcp(_) => Peer::Tcp,
        }
    }
}
