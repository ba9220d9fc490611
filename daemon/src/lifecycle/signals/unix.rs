//! The signals that end the daemon, and those that must not.

use tokio::signal::unix::{self, SignalKind, signal};

use super::super::Signal;
use crate::logging;

/// `SIGXFSZ`: a file has reached the limit of its size (`ulimit -f`). The same number on Linux, macOS and the BSDs.
const FILE_TOO_LARGE: i32 = 25;

/// SIGTERM and SIGINT end the daemon; at SIGHUP it opens its log anew.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hangup: unix::Signal,
}

impl Signals {
    /// Listens from now on, so that no signal is lost or kills the daemon. Only within a runtime.
    pub(crate) fn listen() -> std::io::Result<Self> {
        // It would end the process. Once it is listened to, the write fails with EFBIG instead, which is an error as any other.
        drop(signal(SignalKind::from_raw(FILE_TOO_LARGE))?);
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one that ends the daemon.
    pub(in super::super) async fn next(&mut self) -> Signal {
        loop {
            let name = tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
                _ = self.hangup.recv() => {
                    logging::reopen();
                    continue;
                }
            };
            return Signal { name, limit: None };
        }
    }
}
