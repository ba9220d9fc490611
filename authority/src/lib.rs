//! Makes clients work that name the socket's path as the HTTP/2 authority: gRPC's C core (`tmp%2Fx.sock`), grpc-java and
//! older grpc-go (`/tmp/x.sock`). HTTP/2 does not allow that, and h2 refuses it (<https://github.com/hyperium/h2/issues/487>).
//! The authority means nothing on a socket, so it is replaced before h2 sees it.
//!
//! A client's authority is its channel's. If that of the first request is good, nothing is looked at after it.

mod frames;
mod hpack;
mod huffman;
#[cfg(test)]
mod tests;

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use frames::Frames;

/// A server's end of a connection on which clients may send any authority. What is written passes as it is.
#[derive(Debug)]
pub struct AnyAuthority<IO> {
    io: IO,
    /// Nothing, once there is nothing more to do.
    filter: Option<Box<Filter>>,
}

/// What is between the socket and h2.
#[derive(Debug, Default)]
struct Filter {
    frames: Frames,
    /// What has come and not been given: a header block that is not complete, and what came with its end. At most
    /// [`frames::HEADERS_MAX_BYTES`] and one read.
    held: Vec<u8>,
    /// How much of `held` may be given.
    ready_bytes: usize,
}

/// A header block that is none, or is longer than h2 would take. It passes as it is: h2 has the right answer to it.
#[derive(Debug, PartialEq, Eq)]
struct Malformed;

impl<IO> AnyAuthority<IO> {
    /// A connection of which nothing has been read.
    pub fn new(io: IO) -> Self {
        Self { io, filter: Some(Box::default()) }
    }
}

impl Filter {
    /// Looks at bytes that have come. They may be given as far as this says; the rest is held.
    fn take(&mut self, bytes: &mut [u8]) -> usize {
        if self.held.is_empty() {
            let passed = self.frames.pass(bytes);
            self.held.extend_from_slice(&bytes[passed..]);
            passed
        } else {
            self.held.extend_from_slice(bytes);
            self.ready_bytes = self.frames.pass(&mut self.held);
            0
        }
    }

    fn give(&mut self, to: &mut ReadBuf<'_>) {
        let bytes = self.ready_bytes.min(to.remaining());
        to.put_slice(&self.held[..bytes]);
        self.held.drain(..bytes);
        self.ready_bytes -= bytes;
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for AnyAuthority<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let Some(filter) = &mut this.filter else {
                return Pin::new(&mut this.io).poll_read(cx, buf);
            };
            if filter.ready_bytes > 0 || buf.remaining() == 0 {
                filter.give(buf);
                return Poll::Ready(Ok(()));
            }
            if filter.frames.are_done() {
                this.filter = None;
                continue;
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
            let came = &mut buf.filled_mut()[before..];
            if came.is_empty() {
                // The end. What is held will not become complete, and h2 knows what to say about that.
                filter.ready_bytes = filter.held.len();
                if filter.held.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let passed = filter.take(came);
            buf.set_filled(before + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for AnyAuthority<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
