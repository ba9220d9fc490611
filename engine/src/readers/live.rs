//! Reads that hold a snapshot for long. The write-ahead log cannot be emptied past the oldest of them, so none may hold one for
//! ever, and when the log has grown too large the oldest are ended.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use super::super::{
    cancel::{Cancel, Interruption},
    connection::Config,
};
use super::snapshot::HeldSnapshot;

/// How often the reads and the log are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// A read is not ended for the log's sake before it is this old: younger ones keep little of it.
const YOUNG: Duration = Duration::from_secs(1);

/// The reads that hold a snapshot, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct LiveReads(Mutex<Vec<Weak<LiveRead>>>);

/// A read that holds a snapshot until this is dropped.
#[derive(Debug)]
pub(super) struct LiveRead {
    since: Instant,
    what: What,
}

#[derive(Debug)]
enum What {
    /// A request that runs by itself.
    Request(Cancel),
    /// A session's transaction.
    Snapshot(Arc<HeldSnapshot>),
}

impl LiveReads {
    /// Looks after a request until the returned value is dropped.
    pub(super) fn request(&self, cancel: &Cancel) -> Arc<LiveRead> {
        self.add(What::Request(cancel.clone()))
    }

    /// Looks after a session's transaction until the returned value is dropped.
    pub(super) fn snapshot(&self, snapshot: Arc<HeldSnapshot>) -> Arc<LiveRead> {
        self.add(What::Snapshot(snapshot))
    }

    fn add(&self, what: What) -> Arc<LiveRead> {
        let read = Arc::new(LiveRead { since: Instant::now(), what });
        let mut reads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reads.retain(|read| read.strong_count() > 0); // at most one a connection of the pool is left
        reads.push(Arc::downgrade(&read));
        read
    }

    fn list(&self) -> Vec<Arc<LiveRead>> {
        let reads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reads.iter().filter_map(Weak::upgrade).collect()
    }
}

impl LiveRead {
    fn end(&self, reason: Interruption) {
        tracing::warn!(age = ?self.since.elapsed(), "ending a read: {}", reason.error().message);
        match &self.what {
            What::Request(cancel) => {
                cancel.give_up(reason);
            }
            What::Snapshot(snapshot) => snapshot.end(reason),
        }
    }
}

/// Ends reads that are too old, and while the log is too large the oldest. Runs until the readers are dropped. The next commits
/// empty the log then: SQLite checkpoints after each, as far as the oldest read allows.
pub(super) async fn look_after(reads: Weak<LiveReads>, config: Config) {
    let log = PathBuf::from(format!("{}-wal", config.path.display()));
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let Some(reads) = reads.upgrade().map(|reads| reads.list()) else { return };
        if reads.is_empty() {
            continue;
        }
        for read in reads.iter().filter(|read| read.since.elapsed() >= config.snapshot_timeout) {
            read.end(Interruption::SnapshotTime);
        }
        // One a look: the log may be small enough without it.
        if let Some(oldest) = reads.iter().find(|read| read.since.elapsed() >= YOUNG)
            && std::fs::metadata(&log).is_ok_and(|log| log.len() > config.max_wal_bytes)
        {
            oldest.end(Interruption::WalSize);
        }
    }
}
