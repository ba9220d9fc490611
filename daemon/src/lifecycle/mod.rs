//! How the daemon ends: no new work (`draining`), until what is in hand is done or its time is up (`cut`), and then
//! nobody is connected any more (`closing`). It ends when it is told to, when nobody has used it for long (`usage`), or when a part of it
//! has died (`parts`). A thread of its own sees to it that it does end (`supervisor`).

mod parts;
mod signals;
mod supervisor;
mod usage;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

use signals::Signals;
pub(crate) use supervisor::supervise;
pub(crate) use usage::ConnectionUse;
use usage::Usage;

/// The three steps, and the work in hand that they wait for.
#[derive(Clone, Debug)]
pub(crate) struct Lifecycle {
    /// No new work is taken.
    draining: CancellationToken,
    /// Work in hand is given up.
    cut: CancellationToken,
    /// Connections are closed once they have sent what they have.
    closing: CancellationToken,
    /// Requests in hand, and open transactions.
    work: TaskTracker,
    /// Why the daemon ends with an error, if it does.
    failure: Arc<OnceLock<String>>,
    usage: Arc<Usage>,
    /// What whoever has asked for the end wants of it.
    wish: watch::Sender<Wish>,
    times: Times,
}

/// How long the daemon waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// For work in hand, once it ends.
    pub(crate) drain: Duration,
    /// For somebody to use it; `None` waits for ever.
    pub(crate) idle: Option<Duration>,
}

/// How the daemon is to end.
#[derive(Clone, Copy, Debug, Default)]
struct Wish {
    /// How long work in hand may take; as the daemon was told when it started, if nobody says otherwise.
    grace: Option<Duration>,
}

/// A signal that ends the daemon.
#[derive(Clone, Copy, Debug)]
struct Signal {
    name: &'static str,
    /// How long the system lets work in hand go on; `None` if it does not mind.
    limit: Option<Duration>,
}

/// Something that the drain waits for, until it is dropped.
#[derive(Debug)]
pub(crate) struct Work {
    _token: TaskTrackerToken,
}

impl Lifecycle {
    pub(crate) fn new(times: Times) -> Self {
        Self {
            draining: CancellationToken::new(),
            cut: CancellationToken::new(),
            closing: CancellationToken::new(),
            work: TaskTracker::new(),
            failure: Arc::default(),
            usage: Arc::default(),
            wish: watch::Sender::default(),
            times,
        }
    }

    /// Takes on work; `None` when the daemon is going down.
    pub(crate) fn begin_work(&self) -> Option<Work> {
        // In this order: a drain that begins between the two waits for this work, which then finds that it is refused.
        let work = Work { _token: self.work.token() };
        (!self.is_draining()).then_some(work)
    }

    /// What a new connection marks its use of the daemon with.
    pub(crate) fn connection_use(&self) -> ConnectionUse {
        ConnectionUse::new(&self.usage)
    }

    /// Ends the daemon. Work in hand gets this long from now, or as the daemon was told when it started.
    pub(crate) fn drain(&self, grace: Option<Duration>) {
        if !self.is_draining() {
            tracing::info!("shutting down as requested");
        }
        self.wish.send_replace(Wish { grace });
        self.draining.cancel();
    }

    /// Ends the daemon because of a signal.
    fn drain_at(&self, signal: Signal) {
        tracing::info!("{}: shutting down", signal.name);
        if let Some(limit) = signal.limit {
            self.limit(limit);
        }
        self.draining.cancel();
    }

    /// Gives nothing more time.
    fn hurry(&self) {
        self.wish.send_replace(Wish { grace: Some(Duration::ZERO) });
    }

    /// Whether the daemon is to end at once.
    pub(crate) fn is_hurried(&self) -> bool {
        self.wish.borrow().grace == Some(Duration::ZERO)
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

    /// Waits until the daemon is to end, because it is idle or for another reason. Then waits until the work in hand is done, or cut by
    /// the supervisor.
    pub(crate) async fn run(&self) {
        self.part("watching for the end", async {
            tokio::select! {
                biased;
                () = self.draining.cancelled() => {}
                idle = self.usage.idle(self.times.idle) => {
                    tracing::info!("nobody has used the daemon for {idle:?} (--idle-timeout): shutting down");
                    self.draining.cancel();
                }
            }
        })
        .await;
        self.work.close();
        tokio::select! {
            () = self.work.wait() => {}
            () = self.cut.cancelled() => {}
        }
        self.cut.cancel();
        self.closing.cancel();
    }

    /// Gives work in hand no more than this long.
    fn limit(&self, limit: Duration) {
        self.wish.send_modify(|wish| wish.grace = Some(wish.grace.unwrap_or(self.times.drain).min(limit)));
    }

    /// Waits as long as work in hand may take. Whoever asks for the end again may change that.
    async fn grace_is_over(&self) -> Duration {
        let mut wishes = self.wish.subscribe();
        loop {
            let grace = wishes.borrow_and_update().grace.unwrap_or(self.times.drain);
            tokio::select! {
                () = sleep_until(supervisor::later(Instant::now(), grace)) => return grace,
                Ok(()) = wishes.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_system_that_does_not_wait_makes_the_drain_shorter_and_never_longer() {
        let seconds = Duration::from_secs;
        for (drain, limit, grace) in [(10, 3, 3), (2, 3, 2)] {
            let lifecycle = Lifecycle::new(Times { drain: seconds(drain), idle: None });
            lifecycle.limit(seconds(limit));
            assert_eq!(lifecycle.grace_is_over().await, seconds(grace));
        }
    }
}
