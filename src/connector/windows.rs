//! A named pipe.

use std::io;

use tokio::time::{Instant, sleep};

use super::{CROWD_PATIENCE, CROWD_PAUSE};
use crate::{
    endpoint::Endpoint,
    windows::pipe::{Connection, is_busy},
};

pub(crate) use crate::windows::pipe::look;

/// A pipe all of whose instances are taken refuses at once: that does not mean that nobody is there.
pub(crate) async fn open(endpoint: &Endpoint) -> io::Result<Connection> {
    let begin = Instant::now();
    loop {
        let outcome = if endpoint.is_of_scope() {
            Connection::open_trusted(endpoint.path())
        } else {
            Connection::open(endpoint.path())
        };
        match outcome {
            Err(error) if is_busy(&error) && begin.elapsed() < CROWD_PATIENCE => sleep(CROWD_PAUSE).await,
            outcome => return outcome,
        }
    }
}

/// Somebody who listens, for tests.
#[cfg(test)]
pub(crate) struct Somebody {
    pipe: tokio::net::windows::named_pipe::NamedPipeServer,
    endpoint: Endpoint,
}

#[cfg(test)]
impl Somebody {
    pub(crate) fn listen() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let endpoint = Endpoint::new(format!("pipe:skylinedb-test-{}-{number}", std::process::id()));
        let mut options = tokio::net::windows::named_pipe::ServerOptions::new();
        let pipe = options.first_pipe_instance(true).create(endpoint.path()).expect("a pipe");
        Self { pipe, endpoint }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    pub(crate) async fn accept(self) -> tokio::net::windows::named_pipe::NamedPipeServer {
        self.pipe.connect().await.expect("a client");
        self.pipe
    }
}
