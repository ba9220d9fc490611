//! Short reads, run on the very thread that asks: a point read takes some microseconds, and to hand it to another thread
//! and back takes several times that. A read that turns out to be long is stopped and run again by the pool, where it may
//! take its time; it is remembered, so that next time it goes there at once.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, TryLockError,
        atomic::{AtomicU64, Ordering},
    },
    thread::available_parallelism,
    time::{Duration, Instant},
};

use rusqlite::ffi;

use super::super::{
    cancel::{Cancel, Interruption},
    connection::{Config, GuardedConnection},
    error::Error,
    statement::Statement,
};

/// How long a read may keep a thread of the runtime from its other work. A hundred point reads take as long; a read that is
/// stopped has cost this much for nothing.
const INLINE_TIME: Duration = Duration::from_micros(200);

/// Statements that are remembered as long. Two that fall on one place only make each other be tried again.
const REMEMBERED: usize = 1_024;

/// Connections for short reads.
#[derive(Debug)]
pub(super) struct Inline {
    /// One for each thread of the runtime: so many can be at it at once.
    connections: Box<[Mutex<GuardedConnection>]>,
    /// The fingerprints of statements that took long.
    long: Box<[AtomicU64]>,
}

/// Which statements these are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fingerprint(u64);

impl Inline {
    pub(super) fn open(config: &Config) -> Result<Self, Error> {
        let threads = available_parallelism().map_or(1, usize::from);
        let connections = (0..threads).map(|_| GuardedConnection::open_impatient_reader(config).map(Mutex::new));
        Ok(Self {
            connections: connections.collect::<Result<_, _>>()?,
            long: (0..REMEMBERED).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// Runs a read here and now. `None` if it is, or turns out to be, for the pool.
    pub(super) fn run<T>(
        &self,
        fingerprint: Fingerprint,
        cancel: &Cancel,
        read: impl FnOnce(&GuardedConnection) -> Result<T, Error>,
    ) -> Option<Result<T, Error>> {
        if self.place(fingerprint).load(Ordering::Relaxed) == fingerprint.0 {
            return None;
        }
        let connection = self.connections.iter().find_map(|connection| match connection.try_lock() {
            Ok(connection) => Some(connection),
            // A read has panicked on it. That was in SQLite's caller, and the statement was reset as it went.
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        })?;
        connection.watch.begin(cancel, Some((Instant::now() + INLINE_TIME, Interruption::InlineTime)));
        let outcome = catch_unwind(AssertUnwindSafe(|| read(&connection)));
        let interruption = connection.watch.end();
        if connection.in_transaction() && connection.run("ROLLBACK;").is_err() {
            return None;
        }
        let is_long =
            interruption == Some(Interruption::InlineTime) || matches!(&outcome, Ok(Err(error)) if error.is_not_now());
        match outcome {
            _ if is_long => {
                self.place(fingerprint).store(fingerprint.0, Ordering::Relaxed);
                None
            }
            // Another process recovers or rebuilds the log: the pool's connections wait for it.
            Ok(Err(error)) if error.sqlite_code & 0xff == ffi::SQLITE_BUSY => None,
            Ok(outcome) => Some(outcome),
            Err(_) => Some(Err(Error::internal("reading (a panic)"))),
        }
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

impl Fingerprint {
    pub(super) fn of<'s>(statements: impl IntoIterator<Item = &'s Statement>) -> Self {
        let mut hasher = DefaultHasher::new();
        statements.into_iter().for_each(|statement| statement.sql.hash(&mut hasher));
        Self(hasher.finish())
    }
}
