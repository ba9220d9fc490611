//! Serves the calls of one client.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::{Request, body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use skylinedb_authority::AnyAuthority;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    forward::forward,
    gate::Gate,
    listen::Stream,
    upstream::{Target, Upstream},
};

/// Calls that one client may have open at once, as at the daemon.
const MAX_CONCURRENT_CALLS: u32 = 1_000;

/// What a client may send in one call, and in all its calls, before the daemon has taken it.
const CALL_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// What is kept of one call when the other side does not take it.
pub(super) const SEND_BUFFER_BYTES: usize = 256 << 10;

/// How long a connection may be there without one call that has the token: any user of the machine can open some.
const STRANGER_TIME: Duration = Duration::from_secs(10);

/// How long it may then take to end.
const PARTING_TIME: Duration = Duration::from_secs(1);

/// What all connections have in common.
pub(super) struct Connections {
    http2: http2::Builder<TokioExecutor>,
    gate: Gate,
    target: Arc<Target>,
    closing: CancellationToken,
    tracker: TaskTracker,
}

impl Connections {
    /// They end when they are idle once `closing` is cancelled.
    pub(super) fn new(gate: Gate, target: Arc<Target>, closing: CancellationToken) -> Self {
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_CONCURRENT_CALLS)
            .initial_stream_window_size(CALL_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES);
        Self { http2, gate, target, closing, tracker: TaskTracker::new() }
    }

    /// Who is being served.
    pub(super) fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Serves one in the background; it has the place until it goes.
    pub(super) fn serve(&self, stream: Box<dyn Stream>, place: impl Send + 'static) {
        let (http2, gate, closing) = (self.http2.clone(), self.gate.clone(), self.closing.clone());
        let upstream = Arc::new(Upstream::new(Arc::clone(&self.target)));
        let is_stranger = Arc::new(AtomicBool::new(!gate.is_open()));
        let stranger = Arc::clone(&is_stranger);
        self.tracker.spawn(async move {
            let _place = place;
            let serve = service_fn(move |mut request: Request<Incoming>| {
                let checked = gate.check(request.headers_mut());
                if checked.is_ok() {
                    is_stranger.store(false, Ordering::Relaxed);
                }
                let upstream = Arc::clone(&upstream);
                async move {
                    match checked {
                        Ok(()) => forward(request, &upstream).await,
                        Err(refusal) => Ok(*refusal),
                    }
                }
            });
            let mut connection = pin!(http2.serve_connection(TokioIo::new(AnyAuthority::new(stream)), serve));
            // How it ends is of no interest: a client that goes without saying so is no event.
            tokio::select! {
                _ = connection.as_mut() => {}
                () = closing.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
                () = stays_strange(&stranger) => {
                    connection.as_mut().graceful_shutdown();
                    let _ = tokio::time::timeout(PARTING_TIME, connection).await;
                }
            }
        });
    }
}

/// Ends only if no call was let in for too long.
async fn stays_strange(stranger: &AtomicBool) {
    tokio::time::sleep(STRANGER_TIME).await;
    if !stranger.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}
