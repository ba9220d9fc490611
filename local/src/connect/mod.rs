//! Opens a connection to a socket or a pipe.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::{io, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite};
#[cfg(unix)]
use unix as imp;
#[cfg(windows)]
use windows as imp;

use crate::endpoint::Endpoint;

/// How long to retry, and how often, while the daemon is there but more clients connect at once than its socket lets wait.
const BACKLOG_RETRY: Duration = Duration::from_secs(5);
const BACKLOG_PAUSE: Duration = Duration::from_millis(5);

/// Opens a connection to the program that listens at an endpoint, and sends nothing: for programs that speak HTTP/2 over it
/// themselves.
///
/// # Errors
/// What the system says, such as that no program listens there. While more clients connect at once than can wait, it tries
/// again for 5 s.
pub async fn connect(endpoint: &Endpoint) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>> {
    imp::connect(endpoint).await
}

/// Whether a program listens at an endpoint, which it does if it is too busy to accept a connection, too.
///
/// # Errors
/// What the system says, such as that no program listens there.
pub async fn probe(endpoint: &Endpoint) -> io::Result<()> {
    imp::probe(endpoint).await
}
