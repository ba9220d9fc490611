//! What ends the daemon on Windows: Ctrl-C and Ctrl-Break, the console's closing, and the user's or the machine's end; for a
//! service what the service control manager says.

use std::time::Duration;

use tokio::{
    signal::windows::{
        CtrlBreak, CtrlC, CtrlClose, CtrlLogoff, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_logoff,
        ctrl_shutdown,
    },
    sync::watch,
};

use super::super::Signal;
use crate::windows_service::control;

/// Windows waits 5 s for a program whose console closes or whose user logs off, and then ends it. Of these some are for emptying the
/// write-ahead log.
const LAST_SECONDS: Option<Duration> = Some(Duration::from_secs(3));

/// What is listened to.
#[derive(Debug)]
pub(crate) enum Signals {
    Console(Box<Console>),
    /// Why the service is to end. A service listens to no console: it would be told of every user who logs off.
    Service(watch::Receiver<Option<&'static str>>),
}

/// The console's events.
#[derive(Debug)]
pub(crate) struct Console {
    interrupt: CtrlC,
    r#break: CtrlBreak,
    close: CtrlClose,
    logoff: CtrlLogoff,
    shutdown: CtrlShutdown,
}

impl Signals {
    /// Listens from now on, so that no event is lost or ends the daemon. Only within a runtime.
    pub(crate) fn listen() -> std::io::Result<Self> {
        if let Some(ends) = control::ends() {
            return Ok(Self::Service(ends));
        }
        Ok(Self::Console(Box::new(Console {
            interrupt: ctrl_c()?,
            r#break: ctrl_break()?,
            close: ctrl_close()?,
            logoff: ctrl_logoff()?,
            shutdown: ctrl_shutdown()?,
        })))
    }

    /// The next one.
    pub(in super::super) async fn next(&mut self) -> Signal {
        match self {
            Self::Console(console) => console.next().await,
            Self::Service(ends) => {
                while ends.changed().await.is_ok() {
                    if let Some(why) = *ends.borrow_and_update() {
                        return Signal { name: why, limit: None }; // the manager waits as long as it is told to
                    }
                }
                std::future::pending().await
            }
        }
    }
}

impl Console {
    async fn next(&mut self) -> Signal {
        let (name, limit) = tokio::select! {
            _ = self.interrupt.recv() => ("Ctrl-C", None),
            _ = self.r#break.recv() => ("Ctrl-Break", None),
            _ = self.close.recv() => ("the console closes", LAST_SECONDS),
            _ = self.logoff.recv() => ("the user logs off", LAST_SECONDS),
            _ = self.shutdown.recv() => ("Windows shuts down", LAST_SECONDS),
        };
        Signal { name, limit }
    }
}
