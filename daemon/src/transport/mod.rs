//! Accepts connections, looks at who it is, and serves each of them HTTP/2. What the requests are is not known here.

mod calls;
mod linger;
mod refused;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use skylinedb_authority::AnyAuthority;
use tokio_util::task::TaskTracker;
use tower::{Service, ServiceExt as _};

#[cfg(unix)]
use unix as imp;
#[cfg(windows)]
use windows as imp;

pub(crate) use calls::Hangup;
pub(crate) use imp::{Access, Listener, Peer, Policy, SocketFile, Stream};

use crate::lifecycle::Lifecycle;
use calls::Calls;
use linger::Lingering;
use refused::Refused;

/// Calls that one connection may have open at once; more wait at the client.
const MAX_CONCURRENT_CALLS: u32 = 1_000;

/// What a client may send in one call, and in all its calls, before the daemon has taken it.
const CALL_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// What the daemon keeps of one call's answer when the client does not take it.
const SEND_BUFFER_BYTES: usize = 256 << 10;

/// How long connections may take to send what they have, at the end, and their clients to close them. A client that is alive
/// does both at once. It is shorter if the daemon is to end at once.
const FLUSH_TIME: Duration = Duration::from_secs(2);
const HURRIED_FLUSH_TIME: Duration = Duration::from_secs(1);

/// Serves connections until the daemon closes. Ends when every client has taken what it was sent and hung up, or its time is up.
/// Each request has its [`Peer`] and its [`ConnectionUse`](crate::lifecycle::ConnectionUse) as extensions. A peer who may not come in gets the answer that `refuse` makes of a text.
pub(crate) async fn serve<S, B>(
    listener: Listener,
    access: Access,
    service: S,
    refuse: fn(String) -> Response<B>,
    lifecycle: &Lifecycle,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
    B: http_body::Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let access = Arc::new(access);
    let refused = Refused::new(refuse);
    let connections = TaskTracker::new();
    let closing = lifecycle.closing();
    let serve_one = |stream: Stream| {
        let peer = match Peer::of(&stream) {
            Ok(peer) => peer,
            Err(error) => {
                tracing::warn!(%error, "refused a connection of whom nothing is known");
                return;
            }
        };
        let (access, refused) = (Arc::clone(&access), refused.clone());
        let (calls, service) = (Calls::default(), service.clone());
        let http2 = http2(&calls);
        // Its own, or each connection that wakes would take the lock of all.
        let (closing, connection_use) = (closing.child_token(), lifecycle.connection_use());
        let own_calls = calls.clone();
        let task = connections.spawn(async move {
            if !access.admits(&peer).await {
                access.log_refused(&peer);
                refused.answer(stream, &peer, &closing).await;
                return;
            }
            peer.log("connected");
            let serve = service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(peer.clone());
                request.extensions_mut().insert(connection_use.clone());
                let (calls, service) = (calls.clone(), service.clone());
                async move {
                    calls.mark(&mut request); // here, where it is run as a call
                    service.oneshot(request).await
                }
            });
            let connection =
                http2.serve_connection(TokioIo::new(AnyAuthority::new(Lingering::new(stream, FLUSH_TIME))), serve);
            let mut connection = pin!(connection);
            let outcome = tokio::select! {
                outcome = connection.as_mut() => outcome,
                () = closing.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = outcome {
                tracing::debug!(%error, "a connection broke"); // a client that ends without saying so is no event
            }
        });
        own_calls.served_by(task.abort_handle());
    };
    while let Some(stream) = closing.run_until_cancelled(listener.accept()).await {
        serve_one(stream);
    }
    // Who has come in the last instant is not left without a word, either.
    listener.close().await.into_iter().for_each(serve_one);
    connections.close();
    let time = if lifecycle.is_hurried() { HURRIED_FLUSH_TIME } else { FLUSH_TIME };
    if tokio::time::timeout(time, connections.wait()).await.is_err() {
        tracing::debug!(connections = connections.len(), "some clients do not take their last answers");
    }
}

/// HTTP/2 for one connection, with bounds.
fn http2(calls: &Calls) -> http2::Builder<Calls> {
    let mut http2 = http2::Builder::new(calls.clone());
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_CONCURRENT_CALLS)
        .initial_stream_window_size(CALL_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES);
    http2
}
