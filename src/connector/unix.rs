//! A Unix domain socket.

use std::{io, path::Path};

use tokio::{
    net::UnixStream,
    time::{Instant, sleep},
};

use super::{CROWD_PATIENCE, CROWD_PAUSE};
use crate::endpoint::Endpoint;

/// A Unix socket whose queue is full refuses at once (EAGAIN), unlike one of TCP: that does not mean that nobody is there.
pub(crate) async fn open(endpoint: &Endpoint) -> io::Result<UnixStream> {
    let begin = Instant::now();
    loop {
        match UnixStream::connect(endpoint.path()).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && begin.elapsed() < CROWD_PATIENCE => {
                sleep(CROWD_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

/// Whether somebody listens there.
pub(crate) fn look(path: &Path) -> io::Result<()> {
    std::os::unix::net::UnixStream::connect(path).map(drop)
}

/// Somebody who listens, for tests.
#[cfg(test)]
pub(crate) struct Somebody {
    socket: tokio::net::UnixListener,
    folder: tempfile::TempDir,
}

#[cfg(test)]
impl Somebody {
    pub(crate) fn listen() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { socket: tokio::net::UnixListener::bind(folder.path().join("sock")).expect("a socket"), folder }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        self.folder.path().join("sock").into()
    }

    pub(crate) async fn accept(self) -> UnixStream {
        self.socket.accept().await.expect("a client").0
    }
}
