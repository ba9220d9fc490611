//! A session's read transaction: one snapshot of the database for as long as it is held.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::OwnedSemaphorePermit;

use super::{
    super::{
        cancel::{Cancel, Interruption},
        connection::GuardedConnection,
        error::{Error, Kind},
        meta,
        run::RowSink,
        statement::{Batch, BatchResult, Statement},
    },
    live::{LiveRead, LiveReads},
    pool::{Reader, keeping},
    read_all, run_query,
};

/// An open snapshot. Dropping it ends it.
#[derive(Debug)]
pub struct Snapshot {
    held: Arc<HeldSnapshot>,
    revision: u64,
    max_answer_bytes: usize,
    _live: Arc<LiveRead>,
}

/// The snapshot itself, which may be ended before its session ends it.
#[derive(Debug)]
pub(super) struct HeldSnapshot {
    /// Locked by the request that runs. `None` once the snapshot has been ended.
    reader: Mutex<Option<Reader>>,
    /// The request that runs.
    running: Mutex<Option<Cancel>>,
    /// Why it has ended before its session ended it.
    ended: OnceLock<Error>,
    _permit: OwnedSemaphorePermit,
}

impl Snapshot {
    pub(super) async fn open(
        reader: Reader,
        permit: OwnedSemaphorePermit,
        max_answer_bytes: usize,
        live: &LiveReads,
    ) -> Result<Self, Error> {
        let (reader, revision) = keeping(reader, |connection| {
            connection.run("BEGIN;")?;
            // BEGIN alone takes no snapshot; the first read does.
            meta::revision(&connection.sqlite)
        })
        .await?;
        let held = Arc::new(HeldSnapshot {
            reader: Mutex::new(Some(reader)),
            running: Mutex::default(),
            ended: OnceLock::new(),
            _permit: permit,
        });
        let live = live.snapshot(Arc::clone(&held));
        Ok(Self { held, revision, max_answer_bytes, _live: live })
    }

    /// The revision that the snapshot shows.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Runs a batch of reads on the snapshot.
    pub async fn execute(&self, batch: Batch, cancel: Cancel) -> Result<BatchResult, Error> {
        let (revision, max_answer_bytes) = (self.revision, self.max_answer_bytes);
        self.run(cancel, move |connection| read_all(connection, &batch, max_answer_bytes, revision)).await
    }

    /// Runs one statement on the snapshot and hands its rows to a sink.
    pub async fn query(
        &self,
        statement: Statement,
        cancel: Cancel,
        mut sink: Box<dyn RowSink + Send>,
    ) -> Result<(), Error> {
        self.run(cancel, move |connection| run_query(connection, &statement, &mut *sink)).await
    }

    /// Runs something on the snapshot, after what still runs there. Its request is answered in time, whatever runs.
    async fn run<T: Send + 'static>(
        &self,
        cancel: Cancel,
        run: impl FnOnce(&GuardedConnection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (held, own) = (Arc::clone(&self.held), cancel.clone());
        let work = tokio::task::spawn_blocking(move || held.run(&own, run));
        cancel.in_time(async { work.await.unwrap_or_else(|_| Err(Error::internal("reading (a panic)"))) }).await
    }
}

impl HeldSnapshot {
    fn run<T>(&self, cancel: &Cancel, run: impl FnOnce(&GuardedConnection) -> Result<T, Error>) -> Result<T, Error> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        *self.running() = Some(cancel.clone());
        let outcome = match (&*reader, cancel.interruption()) {
            (_, Some(interruption)) => Err(interruption.error()),
            (None, _) => Err(self.ended.get().cloned().unwrap_or_else(super::super::shutting_down)),
            (Some(connection), None) => {
                connection.watch.begin(cancel, None);
                let outcome = run(connection);
                connection.watch.end();
                // An I/O error or too little memory ends a transaction: the next statement would see another snapshot.
                if !connection.in_transaction() {
                    let _ = self.ended.set(lost(outcome.as_ref().err()));
                }
                outcome
            }
        };
        *self.running() = None;
        if self.ended.get().is_some() {
            reader.take();
        }
        outcome
    }

    /// Ends the snapshot: at once, or with the request that runs, which is interrupted.
    pub(super) fn end(&self, reason: Interruption) {
        if self.ended.set(reason.error()).is_err() {
            return;
        }
        if let Some(running) = &*self.running() {
            running.give_up(reason);
        }
        if let Ok(mut reader) = self.reader.try_lock() {
            reader.take();
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Cancel>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lost(cause: Option<&Error>) -> Error {
    let cause = cause.map_or_else(String::new, |error| format!(": {}", error.message));
    Error::new(
        Kind::Aborted,
        "TRANSACTION_LOST",
        format!("the read transaction was ended by an earlier statement{cause}; begin a new one"),
    )
}
