//! How a request is ended before its end: its client disconnects or cancels it, its deadline passes, a limit is reached.
//!
//! [`Cancel`] is one request's state, shared by the task that waits for the answer and the thread that runs it. [`watch`]
//! ends what runs on a connection; [`in_time`] answers the client even if that takes a while.

mod in_time;
mod watch;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::task::AtomicWaker;

pub(super) use in_time::InTime;
pub(super) use watch::{Patience, Watch};

use super::error::{Error, Kind};

/// One request's state: wanted, given up for a reason, or about to be committed. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// [`WANTED`], [`COMMITTING`], or the [`Interruption`] for which it was given up, as a number.
    step: AtomicU8,
    /// Whether its giving up came too late, because its commit had begun.
    is_late: AtomicBool,
    deadline: Option<Instant>,
    /// Who has sent it, for logs and errors.
    client: Option<Arc<str>>,
    /// Where it is on its way through the writer: [`WAITING`], [`TAKEN`] or [`OUTSIDE`]; 0 on any other way.
    turn: AtomicU8,
    /// The task that waits for the answer.
    waiting: AtomicWaker,
}

const WANTED: u8 = 0;
const COMMITTING: u8 = 1;

/// It waits for the writer.
const WAITING: u8 = 1;
/// The writer has taken it on.
const TAKEN: u8 = 2;
/// The writer runs it outside of transactions, where it commits itself.
const OUTSIDE: u8 = 3;

/// Gives the request up when it is dropped: held by what ends with the client's waiting.
#[derive(Debug)]
pub struct CancelOnDrop(Cancel);

/// Why a request was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Interruption {
    /// The client has disconnected or cancelled the request.
    ClientGone = 2,
    /// The request's deadline.
    Deadline,
    /// The daemon shuts down and does not wait any longer.
    ShuttingDown,
    /// The session's transaction has used up its time.
    TransactionTime,
    /// The batch has held the writer for too long while others wait.
    BatchTime,
    /// The read has held its snapshot for too long.
    SnapshotTime,
    /// The read is one of the oldest that keep the write-ahead log from being emptied, and the log is too large.
    WalSize,
    /// The others of the group have waited long enough for this batch: it will be run again on its own.
    GroupTime,
    /// The runtime's thread has no more time for this read: it will be run again where it may take long.
    InlineTime,
}

impl Cancel {
    /// A request with a deadline, if there is one.
    #[cfg(test)]
    pub(crate) fn at(deadline: Option<Instant>) -> Self {
        Self(Arc::new(State { deadline, ..State::default() }))
    }

    /// A request of this client (a text such as `process 4711 (python3), uid 1000`).
    #[must_use]
    pub fn of(client: Option<Arc<str>>, deadline: Option<Instant>) -> Self {
        Self(Arc::new(State { deadline, client, ..State::default() }))
    }

    /// The guard that gives this request up.
    #[must_use]
    pub fn on_drop(&self) -> CancelOnDrop {
        CancelOnDrop(self.clone())
    }

    /// The deadline.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// Who has sent the request, as far as is known.
    #[must_use]
    pub fn client(&self) -> &str {
        self.0.client.as_deref().unwrap_or("an unknown client")
    }

    /// Gives the request up. From then on it is not committed, and the task that waits for it is woken. Returns false if that comes
    /// too late because its commit has begun; the reason of an earlier call stays.
    pub(crate) fn give_up(&self, reason: Interruption) -> bool {
        let exchanged = self.0.step.compare_exchange(WANTED, reason as u8, Ordering::AcqRel, Ordering::Acquire);
        let is_late = exchanged == Err(COMMITTING);
        if is_late {
            self.0.is_late.store(true, Ordering::Release);
        }
        self.0.waiting.wake();
        !is_late
    }

    /// Marks the request as about to be committed: from then on it cannot be given up. Returns why not if it was given up
    /// before. A deadline that has passed unnoticed does not count.
    pub fn begin_commit(&self) -> Result<(), Interruption> {
        match self.0.step.compare_exchange(WANTED, COMMITTING, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) | Err(COMMITTING) => Ok(()),
            Err(step) => Err(Interruption::of(step)),
        }
    }

    /// Takes [`Cancel::begin_commit`] back: the commit did not take place, and is tried again or not at all.
    pub fn commit_undone(&self) {
        let _ = self.0.step.compare_exchange(COMMITTING, WANTED, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Whether it is about to be committed, or has been.
    pub(super) fn is_committing(&self) -> bool {
        self.0.step.load(Ordering::Acquire) == COMMITTING
    }

    /// From now on the request waits for the writer.
    pub(super) fn begin_waiting(&self) {
        self.0.turn.store(WAITING, Ordering::Release);
    }

    /// Its waiting for the writer is over. Returns whether it was waiting: of two that say so, one is told.
    pub(super) fn end_waiting(&self) -> bool {
        self.0.turn.compare_exchange(WAITING, TAKEN, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Whether it waits for the writer.
    pub(super) fn is_waiting(&self) -> bool {
        self.0.turn.load(Ordering::Acquire) == WAITING
    }

    /// Whether from now on it is run outside of transactions, where what it does cannot be undone for its sake.
    pub(super) fn run_outside_transactions(&self, is_outside: bool) {
        self.0.turn.store(if is_outside { OUTSIDE } else { TAKEN }, Ordering::Release);
    }

    /// Whether it is run outside of transactions.
    pub(super) fn is_outside_transactions(&self) -> bool {
        self.0.turn.load(Ordering::Acquire) == OUTSIDE
    }

    /// Why the request must not go on, if so.
    #[must_use]
    pub fn interruption(&self) -> Option<Interruption> {
        match self.0.step.load(Ordering::Acquire) {
            WANTED if self.0.deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                Some(Interruption::Deadline)
            }
            WANTED | COMMITTING => None,
            step => Some(Interruption::of(step)),
        }
    }

    /// Whether the client waits no longer, though the request may be committed.
    fn is_over(&self) -> bool {
        self.0.is_late.load(Ordering::Acquire)
            || self.0.deadline.is_some_and(|deadline| Instant::now() >= deadline)
            || self.interruption().is_some()
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.give_up(Interruption::ClientGone);
    }
}

impl CancelOnDrop {
    /// Gives the request up for this reason.
    pub fn give_up(self, reason: Interruption) {
        self.0.give_up(reason);
    }
}

impl Interruption {
    const GIVEN_UP: [Self; 9] = [
        Self::ClientGone,
        Self::Deadline,
        Self::ShuttingDown,
        Self::TransactionTime,
        Self::BatchTime,
        Self::SnapshotTime,
        Self::WalSize,
        Self::GroupTime,
        Self::InlineTime,
    ];

    fn of(step: u8) -> Self {
        Self::GIVEN_UP.into_iter().find(|reason| *reason as u8 == step).unwrap_or(Self::ClientGone)
    }

    /// The error that the request gets.
    #[must_use]
    pub fn error(self) -> Error {
        match self {
            Self::ClientGone => Error::new(Kind::Cancelled, "CANCELLED", "the request was cancelled by its client"),
            Self::Deadline => Error::new(
                Kind::DeadlineExceeded,
                "DEADLINE_EXCEEDED",
                "the request's deadline has passed; nothing of it was kept",
            ),
            Self::ShuttingDown => super::shutting_down(),
            Self::TransactionTime => Error::new(
                Kind::Aborted,
                "TRANSACTION_TIMEOUT",
                "the transaction was rolled back because it took longer than the daemon allows \
                 (--transaction-timeout); everybody else's writes wait for it",
            ),
            Self::BatchTime => Error::new(
                Kind::Aborted,
                "BATCH_TIMEOUT",
                "the batch was rolled back because it took longer than the daemon allows while other writes wait \
                 (--batch-timeout); split it into smaller ones",
            ),
            Self::SnapshotTime => Error::new(
                Kind::Aborted,
                "SNAPSHOT_TIMEOUT",
                "the read was ended because it took longer than the daemon allows (--snapshot-timeout): it keeps the \
                 write-ahead log from being emptied",
            ),
            Self::WalSize => Error::new(
                Kind::Aborted,
                "WAL_TOO_LARGE",
                "the read was ended because the write-ahead log has grown past --max-wal-bytes, and this is one of the \
                 oldest reads that keep it from being emptied; read in smaller parts",
            ),
            Self::GroupTime => Error::internal("a long batch was to be run on its own"),
            Self::InlineTime => Error::internal("a long read was to be run elsewhere"),
        }
    }
}

/// How long a request that was given up may still take to answer by itself. After that its client is answered, though the
/// thread that runs it is still at work.
const LATE: Duration = Duration::from_millis(50);
