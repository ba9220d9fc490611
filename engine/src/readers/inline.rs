//! Short reads, run on the very thread that asks: a point read takes some microseconds, and to hand it to another thread
//! and back takes several times that. A read that turns out to be long is stopped and run again by the pool, where it may
//! take its time; it is remembered, so that next time it goes there at once.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::ffi;

use super::super::{
    cancel::{Cancel, Interruption},
    connection::{Config, GuardedConnection},
    error::Error,
    run::{ROW_TOO_LARGE, RowSink, STATEMENT_TOO_LARGE},
    statement::{Batch, BatchResult, Statement},
};
use super::facts::{Facts, Route};

/// How long a read may keep a thread of the runtime from its other work. A hundred point reads take as long; a read that is
/// stopped has cost this much for nothing.
const INLINE_TIME: Duration = Duration::from_micros(200);

/// A longer batch is for the pool.
const INLINE_MAX_BYTES: usize = 64 << 10;

/// Statements that are remembered as long. Two that fall on one place only make each other be tried again.
const REMEMBERED: usize = 1_024;

/// Connections for short reads.
#[derive(Debug)]
pub(super) struct Inline {
    /// One for each thread of the runtime: so many can be at it at once.
    connections: Arc<[Mutex<GuardedConnection>]>,
    /// The fingerprints of statements that took long.
    long: Box<[AtomicU64]>,
}

/// Which statements these are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fingerprint(u64);

impl Inline {
    pub(super) fn open(config: &Config) -> Result<Self, Error> {
        let connections = 0..config.inline_readers;
        let connections = connections.map(|_| GuardedConnection::open_impatient_reader(config).map(Mutex::new));
        Ok(Self {
            connections: connections.collect::<Result<_, _>>()?,
            long: (0..REMEMBERED).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// A connection for reads here and now; `None` if all are busy, or have to read the schema again: that may take long, and
    /// is done by another thread.
    fn connection(&self) -> Option<MutexGuard<'_, GuardedConnection>> {
        self.connections.iter().enumerate().find_map(|(index, connection)| {
            let connection = match connection.try_lock() {
                Ok(connection) => connection,
                // A read has panicked on it. That was in SQLite's caller, and the statement was reset as it went.
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return None,
            };
            if connection.has_newest_schema() {
                return Some(connection);
            }
            drop(connection);
            let connections = Arc::clone(&self.connections);
            tokio::task::spawn_blocking(move || {
                let connection = connections[index].lock().unwrap_or_else(PoisonError::into_inner);
                if let Err(error) = connection.refresh_schema() {
                    tracing::debug!(%error, "short reads cannot read the schema");
                }
            });
            None
        })
    }

    /// Takes note of how long the pool took for a read.
    pub(super) fn learn(&self, fingerprint: Fingerprint, took: Duration) {
        if took < INLINE_TIME / 2 {
            let place = self.place(fingerprint);
            let _ = place.compare_exchange(fingerprint.0, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn place(&self, Fingerprint(hash): Fingerprint) -> &AtomicU64 {
        #[allow(clippy::cast_possible_truncation, reason = "any part of a hash is as good as the whole")]
        let number = hash as usize % REMEMBERED;
        &self.long[number]
    }
}

/// Some short reads, one after the other, on one snapshot: to open one costs as much as a point read.
#[derive(Debug)]
pub struct ShortReads<'i> {
    inline: &'i Inline,
    facts: &'i Facts,
    revision: u64,
    max_answer_bytes: usize,
    connection: Option<MutexGuard<'i, GuardedConnection>>,
}

impl<'i> ShortReads<'i> {
    /// Reads that see at least this revision.
    pub(super) fn new(inline: &'i Inline, facts: &'i Facts, revision: u64, max_answer_bytes: usize) -> Self {
        Self { inline, facts, revision, max_answer_bytes, connection: None }
    }

    /// Runs a batch of reads. `None` if it is, or turns out to be, for the pool. `route` is the engine's for the batch; `is_last`
    /// says that no other read follows.
    pub fn batch(
        &mut self,
        batch: &Batch,
        route: Route,
        cancel: &Cancel,
        is_last: bool,
    ) -> Option<Result<BatchResult, Error>> {
        if route != Route::Now || batch.size_bytes > INLINE_MAX_BYTES {
            return None;
        }
        // A single statement has a snapshot of its own.
        let on_snapshot = !is_last || batch.statements.len() > 1;
        let (revision, max_answer_bytes) = (self.revision, self.max_answer_bytes);
        self.run(Fingerprint::of(&batch.statements), cancel, on_snapshot, |connection| {
            super::read_all(connection, batch, max_answer_bytes, revision)
        })
    }

    /// Runs one statement whose sink takes all its rows at once. `None` if it must be run by the pool, from the start.
    pub fn query(
        &mut self,
        statement: &Statement,
        cancel: &Cancel,
        is_last: bool,
        sink: &mut dyn RowSink,
    ) -> Option<Result<(), Error>> {
        if statement.size_bytes() > INLINE_MAX_BYTES || !self.facts.is_short(&statement.sql) {
            return None;
        }
        self.run(Fingerprint::of([statement]), cancel, !is_last, |connection| {
            super::run_query(connection, statement, sink)
        })
    }

    fn run<T>(
        &mut self,
        fingerprint: Fingerprint,
        cancel: &Cancel,
        on_snapshot: bool,
        read: impl FnOnce(&GuardedConnection) -> Result<T, Error>,
    ) -> Option<Result<T, Error>> {
        if self.inline.place(fingerprint).load(Ordering::Relaxed) == fingerprint.0 {
            return None;
        }
        if self.connection.is_none() {
            self.connection = self.inline.connection();
        }
        let connection = self.connection.as_ref()?;
        if on_snapshot && !connection.in_transaction() && connection.run("BEGIN;").is_err() {
            return None;
        }
        connection.watch.begin_short(cancel, Some((Instant::now() + INLINE_TIME, Interruption::InlineTime)));
        let outcome = catch_unwind(AssertUnwindSafe(|| read(connection)));
        let interruption = connection.watch.end();
        let is_long = interruption == Some(Interruption::InlineTime)
            || matches!(&outcome, Ok(Err(error)) if error.is_not_now() || is_over_inline_limit(error));
        match outcome {
            _ if is_long => {
                self.inline.place(fingerprint).store(fingerprint.0, Ordering::Relaxed);
                None
            }
            // Another process recovers or rebuilds the log: the pool's connections wait for it.
            Ok(Err(error)) if error.sqlite_code & 0xff == ffi::SQLITE_BUSY => None,
            Ok(outcome) => Some(outcome),
            Err(_) => Some(Err(Error::internal("reading (a panic)"))),
        }
    }
}

/// Whether a read needs more than a short one may have, which is less than any read may have.
fn is_over_inline_limit(error: &Error) -> bool {
    error.reason == STATEMENT_TOO_LARGE
        || error.reason == ROW_TOO_LARGE
        || error.sqlite_code & 0xff == ffi::SQLITE_TOOBIG
}

impl Drop for ShortReads<'_> {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection
            && connection.in_transaction()
            && let Err(error) = connection.run("ROLLBACK;")
        {
            tracing::warn!(%error, "cannot end a read's snapshot");
        }
    }
}

impl Fingerprint {
    pub(super) fn of<'s>(statements: impl IntoIterator<Item = &'s Statement>) -> Self {
        let mut hasher = DefaultHasher::new();
        statements.into_iter().for_each(|statement| statement.sql.hash(&mut hasher));
        Self(hasher.finish())
    }
}
