//! Ends a connection only when its client has, too.
//!
//! A client that writes to a connection that is closed hears that it broke, and may give up what it has not read yet: the last
//! answers of a daemon that ends. HTTP/2's clients write while they read (window updates), so that is no rare case.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::coop,
    time::{Sleep, sleep},
};

/// A task of the runtime has 128 units before it must let others run, and a read takes one, however much it reads. A client that
/// sends nothing but the smallest frames of HTTP/2 has 64 KiB of them read at once, which takes a millisecond.
const BYTES_PER_TURN_UNIT: usize = 2 << 10;

/// A stream that is shut down when the other end has closed it, or has not done so in a time.
#[derive(Debug)]
pub(super) struct Lingering<S> {
    stream: S,
    limit: Duration,
    /// Set when this end has been shut down.
    patience: Option<Pin<Box<Sleep>>>,
}

impl<S> Lingering<S> {
    pub(super) const fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, patience: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        for _ in 0..(buffer.filled().len() - before) / BYTES_PER_TURN_UNIT {
            match coop::poll_proceed(context) {
                Poll::Ready(unit) => unit.made_progress(),
                Poll::Pending => break, // the next read waits for the task's next turn
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.patience.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
        }
        let patience = this.patience.get_or_insert_with(|| Box::pin(sleep(this.limit)));
        while patience.as_mut().poll(context).is_pending() {
            let mut bytes = [0; 1024];
            let mut buffer = ReadBuf::new(&mut bytes);
            let outcome = ready!(Pin::new(&mut this.stream).poll_read(context, &mut buffer));
            if outcome.is_err() || buffer.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn who_still_writes_can_read_the_end() {
        let (server, mut client) = duplex(16);
        let mut server = Lingering::new(server, Duration::MAX);
        server.write_all(b"the last answer").await.expect("room");
        let end = tokio::spawn(async move { server.shutdown().await });

        client.write_all(&[0; 10_000]).await.expect("nobody has hung up");
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.expect("the end");
        assert_eq!(answer, b"the last answer");
        assert!(!end.is_finished(), "not before the client has closed");
        drop(client);
        end.await.expect("the task").expect("the end");
    }

    #[tokio::test]
    async fn a_client_that_sends_without_end_lets_others_have_their_turn() {
        let mut endless = Lingering::new(tokio::io::join(tokio::io::repeat(0), tokio::io::sink()), Duration::ZERO);
        let other = tokio::spawn(async {});
        let (mut bytes, mut read) = (vec![0; 64 << 10], 0);
        while !other.is_finished() {
            read += endless.read(&mut bytes).await.expect("there is always more");
            assert!(read <= 128 * BYTES_PER_TURN_UNIT + bytes.len(), "it has taken the thread for {read} bytes");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_closes_holds_nothing_up_for_ever() {
        let (server, _client) = duplex(16);
        Lingering::new(server, Duration::from_hours(1)).shutdown().await.expect("the end");
    }
}
