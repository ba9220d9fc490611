//! The thread that ends the daemon when it must end, whatever its other threads do.
//!
//! It has a runtime of its own, receives the signals, and measures how long the drain and what follows may take. A clean end comes before
//! that. If it does not, because a thread is stuck, this thread ends the process; the kernel then frees the locks.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    process,
    sync::mpsc,
    thread,
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, sleep_until},
};

use super::{Lifecycle, Signal, Signals, parts};
use crate::logging;

/// How long the end may take beside the work in hand: clients take their last answers, and the write-ahead log is emptied. One that could
/// not be emptied in time is recovered by the next start.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// The same, if the daemon is to end at once (`shutdown --force`, a second signal): with the process's own end less than 2 s in all.
const HURRIED_CLOSE_TIME: Duration = Duration::from_millis(1_800);

/// A supervisor that panics is started again once.
const ATTEMPTS: usize = 2;

/// How long the daemon may take to close.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    close: Duration,
    hurried_close: Duration,
}

const BOUNDS: Bounds = Bounds { close: CLOSE_TIME, hurried_close: HURRIED_CLOSE_TIME };

/// Starts the thread, and returns when it listens for signals.
pub(crate) fn supervise(lifecycle: &Lifecycle) -> io::Result<()> {
    let lifecycle = lifecycle.clone();
    let (started, is_started) = mpsc::channel();
    thread::Builder::new().name("supervisor".into()).spawn(move || {
        let (runtime, mut signals) = match listen() {
            Ok(listening) => listening,
            Err(error) => return drop(started.send(Err(error))),
        };
        let _ = started.send(Ok(()));
        supervise_on(&runtime, &lifecycle, BOUNDS, async || signals.next().await);
        end_now();
    })?;
    is_started.recv().unwrap_or_else(|_| Err(io::Error::other("the supervisor's thread has ended")))
}

fn listen() -> io::Result<(Runtime, Signals)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let signals = {
        let _entered = runtime.enter();
        Signals::listen()?
    };
    Ok((runtime, signals))
}

/// Returns when the process must end now.
fn supervise_on(
    runtime: &Runtime,
    lifecycle: &Lifecycle,
    bounds: Bounds,
    mut next_signal: impl AsyncFnMut() -> Signal,
) {
    for _ in 0..ATTEMPTS {
        let watch = || runtime.block_on(watch(lifecycle, bounds, &mut next_signal));
        match catch_unwind(AssertUnwindSafe(watch)) {
            Ok(()) => return,
            Err(panic) => lifecycle.fail(&format!("the supervisor has panicked: {}", parts::text(panic.as_ref()))),
        }
    }
}

/// Begins the drain at a signal and ends it in time. Returns when the daemon should have ended long ago.
async fn watch(lifecycle: &Lifecycle, bounds: Bounds, next_signal: &mut impl AsyncFnMut() -> Signal) {
    tokio::select! {
        biased;
        () = lifecycle.draining.cancelled() => {}
        signal = next_signal() => lifecycle.drain_at(signal),
    }
    let begin = Instant::now();
    tokio::select! {
        biased;
        () = lifecycle.cut.cancelled() => {}
        signal = next_signal() => {
            tracing::warn!("{} again: cutting the work in hand short", signal.name);
            lifecycle.hurry();
        }
        grace = lifecycle.grace_is_over() => {
            if !lifecycle.work.is_empty() {
                tracing::warn!("work in hand is not done after {grace:?} (--drain-timeout): cutting it short");
            }
        }
    }
    lifecycle.cut.cancel();
    let cut = Instant::now();
    let mut wishes = lifecycle.wish.subscribe();
    let mut hurried = None;
    loop {
        let grace = wishes.borrow_and_update().grace;
        if grace == Some(Duration::ZERO) {
            hurried.get_or_insert_with(Instant::now);
        }
        let unhurried = later(begin, grace.unwrap_or(lifecycle.times.drain)).max(cut);
        let end =
            hurried.map_or_else(|| later(unhurried, bounds.close), |hurried| later(hurried, bounds.hurried_close));
        tokio::select! {
            () = sleep_until(end) => return,
            Ok(()) = wishes.changed() => {}
            signal = next_signal() => {
                tracing::warn!("{} again: ending soon", signal.name);
                lifecycle.hurry();
            }
        }
    }
}

/// An instant so much later, or in a year: nothing takes longer.
pub(super) fn later(instant: Instant, duration: Duration) -> Instant {
    instant.checked_add(duration).unwrap_or_else(|| instant + Duration::from_hours(24 * 365))
}

fn end_now() -> ! {
    tracing::error!(
        "the daemon has not ended in its time, because one of its threads is stuck: ending it now. What was acknowledged is kept; the next \
         start recovers the write-ahead log"
    );
    logging::flush();
    process::exit(1);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    use super::{super::Times, *};

    const PATIENCE: Duration = Duration::from_mins(1);
    const ENDLESS: Duration = Duration::from_hours(1);
    const SHORT: Duration = Duration::from_millis(20);
    const SIGNAL: Signal = Signal { name: "a test", limit: None };

    /// A daemon all of whose threads are stuck in the middle of a request, and its supervisor.
    struct Stuck {
        lifecycle: Lifecycle,
        signals: UnboundedSender<Signal>,
        is_over: mpsc::Receiver<()>,
        _until_dropped: Sender<()>,
    }

    fn stuck(drain: Duration, bounds: Bounds) -> Stuck {
        let lifecycle = Lifecycle::new(Times { drain, idle: None });
        let (stuck, never) = channel::<()>();
        let running = lifecycle.clone();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            let _work = running.begin_work().expect("it does not drain yet");
            runtime.spawn(async move { running.run().await });
            runtime.block_on(async move { never.recv() }).expect_err("it is stuck until the test is over");
        });
        let (signals, mut received) = unbounded_channel();
        let (over, is_over) = mpsc::channel();
        let supervised = lifecycle.clone();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            let next = async || match received.recv().await {
                Some(signal) => signal,
                None => std::future::pending().await,
            };
            supervise_on(&runtime, &supervised, bounds, next);
            over.send(()).ok();
        });
        Stuck { lifecycle, signals, is_over, _until_dropped: stuck }
    }

    #[test]
    fn a_stuck_daemon_ends_when_its_drain_is_over() {
        let bounds = Bounds { close: SHORT, hurried_close: ENDLESS };
        let daemon = stuck(SHORT, bounds);
        daemon.signals.send(SIGNAL).expect("the supervisor");
        daemon.is_over.recv_timeout(PATIENCE).expect("the end");
        assert!(daemon.lifecycle.is_draining() && daemon.lifecycle.cut().is_cancelled());

        let daemon = stuck(SHORT, bounds);
        daemon.lifecycle.fail("injected");
        daemon.is_over.recv_timeout(PATIENCE).expect("the end");
    }

    #[test]
    fn a_second_signal_or_force_ends_a_stuck_daemon_soon() {
        let bounds = Bounds { close: ENDLESS, hurried_close: SHORT };
        for is_forced in [false, true] {
            let daemon = stuck(ENDLESS, bounds);
            daemon.signals.send(SIGNAL).expect("the supervisor");
            if is_forced {
                daemon.lifecycle.drain(Some(Duration::ZERO));
            } else {
                daemon.signals.send(SIGNAL).expect("the supervisor");
            }
            daemon.is_over.recv_timeout(PATIENCE).expect("the end");
        }
        // Also after the drain, when the database is being closed.
        let daemon = stuck(SHORT, bounds);
        daemon.signals.send(SIGNAL).expect("the supervisor");
        while !daemon.lifecycle.cut().is_cancelled() {
            thread::yield_now();
        }
        daemon.signals.send(SIGNAL).expect("the supervisor");
        daemon.is_over.recv_timeout(PATIENCE).expect("the end");
    }

    #[test]
    fn a_supervisor_that_panics_drains_the_daemon_and_still_ends_it() {
        let lifecycle = Lifecycle::new(Times { drain: SHORT, idle: None });
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut calls = 0;
        supervise_on(&runtime, &lifecycle, Bounds { close: SHORT, hurried_close: SHORT }, async || {
            calls += 1;
            assert!(calls > 1, "injected");
            std::future::pending().await
        });
        assert_eq!(lifecycle.failure(), Some("the supervisor has panicked: injected"));
        assert!(lifecycle.is_draining() && lifecycle.cut().is_cancelled());
    }
}
