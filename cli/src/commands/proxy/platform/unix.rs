//! Unix.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use skylinedb_local::socket::{OwnFile, Program};
use tokio::{
    net::UnixListener,
    signal::unix::{Signal, SignalKind, signal},
};

use super::super::listen::Stream;

const PROGRAM: Program = Program {
    name: "proxy",
    option: "--listen unix:PATH",
    if_taken: "; stop it, or choose another --listen unix:PATH",
};

/// Makes a new file that only this user can open.
pub(in super::super) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// A socket that only its owner can connect to.
#[derive(Debug)]
pub(in super::super) struct Socket {
    _file: OwnFile, // first, so that it is removed while the place is still taken
    listener: UnixListener,
}

impl Socket {
    pub(in super::super) fn bind(path: &Path) -> Result<Self, String> {
        let (listener, file) =
            skylinedb_local::socket::bind_without_lock(path, &PROGRAM).map_err(|error| format!("{error:#}"))?;
        Ok(Self { _file: file, listener })
    }

    pub(in super::super) async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        let (stream, _) = self.listener.accept().await?;
        Ok(Box::new(stream))
    }
}

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub(in super::super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on, so that no signal is lost or kills the program.
    pub(in super::super) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The name of the next one.
    pub(in super::super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
