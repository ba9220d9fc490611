//! Tells whoever may not come in that this is so: every call gets the same answer, and nothing of its request is looked at.
//! Without it a client could only say that the connection broke.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use skylinedb_authority::AnyAuthority;
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{Peer, Stream, imp::refusal};

/// How many are told at once. Whoever comes beyond that is only hung up on: they cannot cost more than this.
const TOLD_AT_ONCE: usize = 32;

/// How long one of them is listened to.
const TELLING_TIME: Duration = Duration::from_secs(2);

/// Calls that it may have open at once, and what it may send before it is taken.
const MAX_CALLS: u32 = 8;
const WINDOW_BYTES: u32 = 64 << 10;
const MAX_HEADER_BYTES: u32 = 16 << 10;

#[derive(Debug)]
pub(super) struct Refused<B> {
    refuse: fn(String) -> Response<B>,
    places: Arc<Semaphore>,
}

impl<B> Clone for Refused<B> {
    fn clone(&self) -> Self {
        Self { refuse: self.refuse, places: Arc::clone(&self.places) }
    }
}

impl<B> Refused<B>
where
    B: http_body::Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    pub(super) fn new(refuse: fn(String) -> Response<B>) -> Self {
        Self { refuse, places: Arc::new(Semaphore::new(TOLD_AT_ONCE)) }
    }

    /// Answers whatever the peer asks for, until it goes, its time is up or the daemon closes.
    pub(super) async fn answer(&self, stream: Stream, peer: &Peer, closing: &CancellationToken) {
        let Ok(_place) = self.places.try_acquire() else {
            return;
        };
        let refuse = self.refuse;
        let text = refusal(peer);
        let serve = service_fn(move |_: Request<Incoming>| {
            let answer = refuse(text.clone());
            async move { Ok::<_, Infallible>(answer) }
        });
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .max_concurrent_streams(MAX_CALLS)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_header_list_size(MAX_HEADER_BYTES);
        let connection = http2.serve_connection(TokioIo::new(AnyAuthority::new(stream)), serve);
        // How it ends is of no interest: it was told, or it did not listen.
        let _ = closing.run_until_cancelled(timeout(TELLING_TIME, pin!(connection))).await;
    }
}

#[cfg(all(test, unix))]
mod tests {
    use tokio::{io::AsyncReadExt as _, net::UnixStream};

    use super::*;

    fn peer() -> Peer {
        Peer { uid: 2000, gid: 200, pid: Some(1), name: "a test".into() }
    }

    fn refuse(text: String) -> Response<String> {
        Response::new(text)
    }

    #[tokio::test]
    async fn a_call_is_answered_with_who_the_peer_is() {
        let (client, server) = UnixStream::pair().expect("a pair");
        let server = async { Refused::new(refuse).answer(server, &peer(), &CancellationToken::new()).await };
        let call = async {
            let (mut requests, connection) = h2::client::handshake(client).await.expect("a handshake");
            let connection = tokio::spawn(connection);
            let (answer, _) = requests
                .send_request(Request::get("http://x/any.Call").body(()).expect("a request"), true)
                .expect("send");
            let mut body = answer.await.expect("an answer").into_body();
            let text = body.data().await.expect("a body").expect("its bytes");
            connection.abort();
            String::from_utf8(text.to_vec()).expect("UTF-8")
        };
        let ((), text) = tokio::join!(server, call);
        assert_eq!(text, refusal(&peer()));
        assert!(text.contains("uid 2000, gid 200, pid 1"), "{text}");
    }

    #[tokio::test]
    async fn those_who_are_too_many_are_hung_up_on_at_once() {
        let refused = Refused::new(refuse);
        let _places = refused.places.try_acquire_many(u32::try_from(TOLD_AT_ONCE).expect("a number")).expect("places");
        let (mut client, server) = UnixStream::pair().expect("a pair");
        refused.answer(server, &peer(), &CancellationToken::new()).await;
        assert_eq!(client.read(&mut [0]).await.expect("the end"), 0);
    }

    #[tokio::test]
    async fn one_who_asks_for_nothing_is_not_listened_to_for_ever() {
        let refused = Refused::new(refuse);
        let (_client, server) = UnixStream::pair().expect("a pair");
        refused.answer(server, &peer(), &CancellationToken::new()).await;
        assert_eq!(refused.places.available_permits(), TOLD_AT_ONCE);
    }
}
