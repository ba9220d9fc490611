//! How the daemon ends: no new work (`draining`), until what is in hand is done or its time is up (`cut`), and then
//! nobody is connected any more (`closing`).

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// The three steps, and the work in hand that they wait for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lifecycle {
    /// No new work is taken.
    draining: CancellationToken,
    /// Work in hand is given up.
    cut: CancellationToken,
    /// Connections are closed once they have sent what they have.
    closing: CancellationToken,
    /// Requests in hand, and open transactions.
    work: TaskTracker,
}

/// Something that the drain waits for, until it is dropped.
#[derive(Debug)]
pub(crate) struct Work {
    _token: TaskTrackerToken,
}

impl Lifecycle {
    /// Takes on work; `None` when the daemon is going down.
    pub(crate) fn begin_work(&self) -> Option<Work> {
        // In this order: a drain that begins between the two waits for this work, which then finds that it is refused.
        let work = Work { _token: self.work.token() };
        (!self.is_draining()).then_some(work)
    }

    /// Ends the daemon.
    pub(crate) fn drain(&self) {
        self.draining.cancel();
    }

    /// Whether new work is refused.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// When new work is refused.
    pub(crate) fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// When work in hand is to be given up.
    pub(crate) fn cut(&self) -> &CancellationToken {
        &self.cut
    }

    /// When connections are to be closed.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Waits until the daemon is told to end (by a signal, or by `drain`), then until the work in hand is done, or cut
    /// because its time is up or a second signal comes.
    pub(crate) async fn run(&self, mut signals: Signals, drain_timeout: Duration) {
        tokio::select! {
            name = signals.next() => tracing::info!("{name}: shutting down"),
            () = self.draining.cancelled() => tracing::info!("shutting down as requested"),
        }
        self.draining.cancel();
        self.work.close();
        tokio::select! {
            () = self.work.wait() => {}
            name = signals.next() => tracing::warn!("{name} again: cutting the work in hand short"),
            () = tokio::time::sleep(drain_timeout) => {
                tracing::warn!("work in hand is not done after {drain_timeout:?} (--drain-timeout): cutting it short");
            }
        }
        self.cut.cancel();
        self.closing.cancel();
    }
}

/// The signals that end the daemon.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on, so that no signal is lost or kills the daemon.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
