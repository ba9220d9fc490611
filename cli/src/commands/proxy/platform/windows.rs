//! Windows.

use std::{io, path::Path};

pub(in super::super) use skylinedb_local::windows::file::create_private;
use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
};

use super::super::listen::Stream;

/// Windows has Unix sockets, but tokio has none there.
#[derive(Debug)]
pub(in super::super) enum Socket {}

impl Socket {
    pub(in super::super) fn bind(_path: &Path) -> Result<Self, String> {
        Err("unix: is not supported on this system; choose --listen 127.0.0.1:0".to_owned())
    }

    #[expect(clippy::unused_async, reason = "as on Unix")]
    pub(in super::super) async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match *self {}
    }
}

/// Ctrl-C, Ctrl-Break, and the end of the console or of the system.
#[derive(Debug)]
pub(in super::super) struct Signals {
    interrupt: CtrlC,
    stop: CtrlBreak,
    close: CtrlClose,
    shutdown: CtrlShutdown,
}

impl Signals {
    /// Listens from now on, so that no signal is lost or kills the program.
    pub(in super::super) fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: ctrl_c()?, stop: ctrl_break()?, close: ctrl_close()?, shutdown: ctrl_shutdown()? })
    }

    /// The name of the next one.
    pub(in super::super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.stop.recv() => "Ctrl-Break",
            _ = self.close.recv() => "the console is closed",
            _ = self.shutdown.recv() => "the system shuts down",
        }
    }
}
