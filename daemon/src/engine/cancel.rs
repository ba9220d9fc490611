//! How a running statement is ended before its end: by its client's going, by a deadline, by a limit.
//!
//! SQLite calls the progress handler every so many operations; it looks at the connection's `Watch`. This is preferred to
//! `sqlite3_interrupt`, which could hit the next statement when the one it was meant for has just ended.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use rusqlite::Connection;

use super::{
    error::{Error, Kind},
    temp_files,
};

/// How many virtual machine operations pass between two looks: some 10 to 50 µs, so that the look itself is not felt.
const OPERATIONS_BETWEEN_LOOKS: i32 = 1_000;

/// A request's wish to go on: taken back by its client's going or by its deadline.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancel {
    gone: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

/// Takes the wish back when it is dropped: held by whatever the client's waiting keeps alive.
#[derive(Debug)]
pub(crate) struct CancelOnDrop(Arc<AtomicBool>);

/// Why a statement was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interruption {
    /// Nobody waits for the answer any more.
    ClientGone,
    /// The request's deadline.
    Deadline,
    /// The session's transaction has used up its time.
    TransactionTime,
    /// The others of the group have waited long enough for this batch: it will be run again on its own.
    GroupTime,
    /// The runtime's thread has no more time for this read: it will be run again where it may take long.
    InlineTime,
}

/// What the progress handler of one connection looks at.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch(Arc<Mutex<Watched>>);

#[derive(Debug, Default)]
struct Watched {
    cancel: Option<Cancel>,
    limit: Option<(Instant, Interruption)>,
    interruption: Option<Interruption>,
    is_paused: bool,
}

impl Cancel {
    /// A wish that ends at a deadline, if there is one.
    pub(crate) fn at(deadline: Option<Instant>) -> Self {
        Self { gone: Arc::default(), deadline }
    }

    /// The guard that takes this wish back.
    pub(crate) fn on_drop(&self) -> CancelOnDrop {
        CancelOnDrop(Arc::clone(&self.gone))
    }

    /// The deadline.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Why the request should not go on, if so.
    pub(crate) fn interruption(&self) -> Option<Interruption> {
        if self.gone.load(Ordering::Relaxed) {
            Some(Interruption::ClientGone)
        } else if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            Some(Interruption::Deadline)
        } else {
            None
        }
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Interruption {
    /// The error that the request gets.
    pub(crate) fn error(self) -> Error {
        match self {
            Self::ClientGone => Error::new(Kind::Cancelled, "CANCELLED", "the request was cancelled by its client"),
            Self::Deadline => Error::new(
                Kind::DeadlineExceeded,
                "DEADLINE_EXCEEDED",
                "the request's deadline has passed; nothing of it was kept",
            ),
            Self::TransactionTime => Error::new(
                Kind::Aborted,
                "TRANSACTION_TIMEOUT",
                "the transaction was rolled back because it took longer than the daemon allows \
                 (--transaction-timeout); everybody else's writes wait for it",
            ),
            Self::GroupTime => Error::internal("a long batch was to be run on its own"),
            Self::InlineTime => Error::internal("a long read was to be run elsewhere"),
        }
    }
}

impl Watch {
    /// Installs this watch as the connection's progress handler.
    pub(super) fn install(&self, connection: &Connection) -> rusqlite::Result<()> {
        let watch = self.clone();
        connection.progress_handler(OPERATIONS_BETWEEN_LOOKS, Some(move || watch.look()))
    }

    /// From now on, what runs belongs to this request and may also run up to a limit.
    pub(super) fn begin(&self, cancel: &Cancel, limit: Option<(Instant, Interruption)>) {
        *self.watched() = Watched { cancel: Some(cancel.clone()), limit, ..Watched::default() };
    }

    /// From now on, what runs is not to be interrupted. Why the last request was, if it was.
    pub(super) fn end(&self) -> Option<Interruption> {
        std::mem::take(&mut *self.watched()).interruption
    }

    /// Why the running request has been interrupted, if it has.
    pub(super) fn interruption(&self) -> Option<Interruption> {
        self.watched().interruption
    }

    /// Whether the running request is to end. SQLite asks every so many operations of one statement; between statements,
    /// which may be many and short, whoever runs them asks.
    pub(super) fn is_over(&self) -> Option<Interruption> {
        self.look();
        self.interruption()
    }

    /// Whether to let everything run on, because the daemon's own statements are at work.
    pub(super) fn pause(&self, is_paused: bool) {
        self.watched().is_paused = is_paused;
    }

    fn look(&self) -> bool {
        let mut watched = self.watched();
        if watched.is_paused {
            return false;
        }
        let interruption = watched.cancel.as_ref().and_then(Cancel::interruption).or_else(|| {
            watched.limit.filter(|(instant, _)| Instant::now() >= *instant).map(|(_, interruption)| interruption)
        });
        watched.interruption = interruption;
        interruption.is_some() || temp_files::is_over()
    }

    fn watched(&self) -> std::sync::MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
