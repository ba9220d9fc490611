//! A named pipe.

use std::io;

use tokio::time::{Instant, sleep};

use super::{BACKLOG_PAUSE, BACKLOG_RETRY};
use crate::{
    endpoint::Endpoint,
    windows::pipe::{self, Connection, is_busy},
};

/// With every instance busy, opening fails at once (`ERROR_PIPE_BUSY`). The daemon is running: retry.
pub(super) async fn connect(endpoint: &Endpoint) -> io::Result<Connection> {
    let begin = Instant::now();
    loop {
        let outcome = if endpoint.is_of_scope() {
            Connection::open_trusted(endpoint.path())
        } else {
            Connection::open(endpoint.path())
        };
        match outcome {
            Err(error) if is_busy(&error) && begin.elapsed() < BACKLOG_RETRY => sleep(BACKLOG_PAUSE).await,
            outcome => return outcome,
        }
    }
}

#[expect(clippy::unused_async, reason = "opening a pipe does not wait")]
pub(super) async fn probe(endpoint: &Endpoint) -> io::Result<()> {
    pipe::probe(endpoint.path())
}
