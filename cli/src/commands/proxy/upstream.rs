//! The way to the daemon: one connection for each client, made when it is needed, and made anew when it has broken.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::Mutex;

use super::{super::connect, connection::SEND_BUFFER_BYTES, log};
use crate::{args::DaemonArguments, failure::Failure};

/// What the daemon may send in one call before the client has taken it.
const CALL_WINDOW_BYTES: u32 = 256 << 10;

/// The same for all calls of a connection together: as much as HTTP/2 allows, so that calls whose answers nobody takes hold
/// up no other.
const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;

/// Which daemon is meant.
#[derive(Debug)]
pub(super) struct Target {
    daemon: DaemonArguments,
    timeout: Option<Duration>,
    /// Whether it was there when it was last looked for.
    is_there: AtomicBool,
}

/// A client's connection to the daemon.
#[derive(Debug)]
pub(super) struct Upstream {
    target: Arc<Target>,
    requests: Mutex<Option<SendRequest<Incoming>>>,
}

impl Target {
    pub(super) fn new(daemon: DaemonArguments, timeout: Option<Duration>) -> Self {
        Self { daemon, timeout, is_there: AtomicBool::new(false) }
    }

    /// Looks for it before anybody calls, and starts it if that is wanted. That it is not there is no failure: it may come.
    pub(super) async fn look(&self) -> Result<(), Failure> {
        match self.within(async { connect(&self.daemon).await.map(drop) }).await {
            Err(failure) if !failure.is_no_daemon() => Err(failure),
            outcome => {
                self.note(outcome.as_ref().err());
                Ok(())
            }
        }
    }

    /// A new connection.
    async fn open(&self) -> Result<SendRequest<Incoming>, Failure> {
        let open = async {
            // As every command finds it, starts it and looks at its database.
            let endpoint = connect(&self.daemon).await?.endpoint().clone();
            let refused =
                |error: String| Failure::refused(format!("the daemon at {endpoint} cannot be reached: {error}"));
            let stream = skylinedb_local::connect(&endpoint).await.map_err(|error| refused(error.to_string()))?;
            let handshake = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .initial_stream_window_size(CALL_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .max_send_buf_size(SEND_BUFFER_BYTES)
                .handshake(TokioIo::new(stream));
            let (requests, connection) = handshake.await.map_err(|error| refused(error.to_string()))?;
            // It ends when nobody sends requests any more and all are answered. How is told to those who wait for answers.
            tokio::spawn(connection);
            Ok(requests)
        };
        let outcome = self.within(open).await;
        self.note(outcome.as_ref().err());
        outcome
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let Some(timeout) = self.timeout else { return work.await };
        let late = || Failure::refused(format!("the daemon was not reached within {timeout:?} (--timeout)"));
        tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| Err(late()))
    }

    /// Logs when the daemon has come or gone, once.
    fn note(&self, failure: Option<&Failure>) {
        let was_there = self.is_there.swap(failure.is_none(), Ordering::Relaxed);
        match failure {
            None if !was_there => log("the daemon is reached"),
            Some(failure) if was_there => log(&format!("the daemon is not reached any more: {}", failure.message())),
            _ => {}
        }
    }
}

impl Upstream {
    pub(super) fn new(target: Arc<Target>) -> Self {
        Self { target, requests: Mutex::default() }
    }

    /// Where requests can be sent: the connection that is there, or a new one. Calls that come meanwhile wait for it.
    pub(super) async fn requests(&self) -> Result<SendRequest<Incoming>, Failure> {
        let mut requests = self.requests.lock().await;
        if let Some(open) = requests.as_ref().filter(|requests| !requests.is_closed()) {
            return Ok(open.clone());
        }
        let open = self.target.open().await?;
        *requests = Some(open.clone());
        Ok(open)
    }
}
