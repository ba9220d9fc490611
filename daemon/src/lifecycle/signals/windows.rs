//! What ends the daemon on Windows: Ctrl-C and Ctrl-Break, the console's closing, and the user's or the machine's end.

use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlLogoff, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_logoff, ctrl_shutdown,
};

/// The console's events.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: CtrlC,
    r#break: CtrlBreak,
    close: CtrlClose,
    logoff: CtrlLogoff,
    shutdown: CtrlShutdown,
}

impl Signals {
    /// Listens from now on, so that no event is lost or ends the daemon.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: ctrl_c()?,
            r#break: ctrl_break()?,
            close: ctrl_close()?,
            logoff: ctrl_logoff()?,
            shutdown: ctrl_shutdown()?,
        })
    }

    /// The name of the next one.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.r#break.recv() => "Ctrl-Break",
            _ = self.close.recv() => "the console closes",
            _ = self.logoff.recv() => "the user logs off",
            _ = self.shutdown.recv() => "Windows shuts down",
        }
    }
}
