//! A Unix domain socket.

use std::io;

use tokio::{
    net::UnixStream,
    time::{Instant, sleep},
};

use super::{BACKLOG_PAUSE, BACKLOG_RETRY};
use crate::endpoint::Endpoint;

/// A Unix socket whose backlog is full refuses at once (EAGAIN), unlike one of TCP. The daemon is running: retry.
pub(super) async fn connect(endpoint: &Endpoint) -> io::Result<UnixStream> {
    let begin = Instant::now();
    loop {
        match UnixStream::connect(endpoint.path()).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && begin.elapsed() < BACKLOG_RETRY => {
                sleep(BACKLOG_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

pub(super) async fn probe(endpoint: &Endpoint) -> io::Result<()> {
    match UnixStream::connect(endpoint.path()).await {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}
