//! The engine of SkylineDB: the only part that knows SQLite.
//!
//! A [`Database`] has one writer, which commits many clients' batches together, and a pool of readers. What a statement may
//! do is decided by its policy; what ends it early, by its [`Cancel`].

mod bytecode;
mod cancel;
mod collector;
mod connection;
mod error;
mod functions;
mod ledger;
mod lock_holders;
mod long_sql;
mod meta;
mod policy;
mod readers;
mod result_code;
mod run;
mod sqlite3;
mod sqlite3_fts5;
mod sqlite3_function;
mod statement;
mod temp_files;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

pub use cancel::{Cancel, CancelOnDrop, Interruption};
pub use connection::{Config, SchemaGeneration, Synchronous, prepare_path};
pub use error::{Error, Kind};
pub use ledger::{Half, Hold, Ledger};
pub use meta::MAX_REQUEST_ID_BYTES;
pub use readers::{Read, Route, ShortReads, Snapshot};
pub use run::{RowSink, RowValues};
pub use statement::{Answer, Batch, BatchResult, Column, Mode, RequestId, Statement, StatementResult, Value, ValueRef};
pub use temp_files::TempFiles;
pub use writer::{PendingAnswer, WriteTransaction, shutting_down};

use readers::Readers;
use writer::Writer;

/// A database file that this process owns.
#[derive(Debug)]
pub struct Database {
    config: Config,
    writer: Writer,
    readers: Arc<Readers>,
}

impl Database {
    /// Opens the database; the file is made if it is not there.
    pub fn open(config: Config) -> Result<Self, Error> {
        let writer = Writer::start(&config)?;
        let readers = Arc::new(Readers::open(&config)?);
        Ok(Self { config, writer, readers })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.config.path
    }

    /// What messages take of the memory.
    pub fn ledger(&self) -> &Ledger {
        &self.config.ledger
    }

    /// How long a write transaction may wait for its session.
    pub fn transaction_idle_timeout(&self) -> Duration {
        self.config.transaction_idle_timeout
    }

    /// The newest committed revision.
    pub fn revision(&self) -> u64 {
        self.writer.revision()
    }

    /// Where a batch is run.
    pub fn route(&self, batch: &Batch) -> Route {
        self.readers.route(batch)
    }

    /// For short reads here and now, without waiting for anything.
    pub fn short_reads(&self) -> ShortReads<'_> {
        // The revision is taken before the snapshot, so that the snapshot has at least this revision.
        self.readers.short_reads(self.revision())
    }

    /// How many requests wait for a connection to read with.
    pub fn waiting_reads(&self) -> Arc<AtomicUsize> {
        Arc::clone(self.readers.waiting())
    }

    /// Runs a batch in the pool, as long as it only reads. Answers in time, whatever the statements do.
    pub async fn read(&self, batch: Batch, cancel: Cancel) -> Result<Read, Error> {
        let (readers, revision, own) = (Arc::clone(&self.readers), self.revision(), cancel.clone());
        cancel.in_time(async move { readers.batch(batch, own, revision).await }).await
    }

    /// Has the pool compile the long texts of statements that are for the writer, and refuses those that take long.
    pub async fn look_at_long<S>(&self, statements: S, cancel: &Cancel) -> Result<S, Error>
    where
        S: AsRef<[Statement]> + Send + 'static,
    {
        if !long_sql::has_long(statements.as_ref()) {
            return Ok(statements);
        }
        let (readers, own) = (Arc::clone(&self.readers), cancel.clone());
        cancel.in_time(async move { readers.look_at_long(statements, own).await }).await
    }

    /// Puts a batch into the writer's queue, in the order of the calls. The answer comes when it is committed, or when its
    /// time is up.
    pub fn submit(&self, batch: Batch, cancel: Cancel) -> PendingAnswer {
        self.writer.submit(batch, cancel)
    }

    /// Runs one statement that reads, and hands its rows to a sink. Answers in time; the sink may live on a little.
    pub async fn query(
        &self,
        statement: Statement,
        cancel: Cancel,
        sink: Box<dyn RowSink + Send>,
    ) -> Result<(), Error> {
        let (readers, own) = (Arc::clone(&self.readers), cancel.clone());
        cancel.in_time(async move { readers.query(statement, own, sink).await }).await
    }

    /// Opens a transaction that writes and holds the writer.
    pub async fn begin_write(&self, cancel: Cancel) -> Result<WriteTransaction, Error> {
        self.writer.begin(cancel).await
    }

    /// Opens a transaction that reads one snapshot.
    pub async fn begin_read(&self, cancel: &Cancel) -> Result<Snapshot, Error> {
        let (readers, own) = (Arc::clone(&self.readers), cancel.clone());
        cancel.in_time(async move { readers.snapshot(&own).await }).await
    }

    /// Waits until the database file is found to be truncated. From then on every request fails, and nothing is to be done but
    /// to end the daemon.
    pub async fn failure(&self) -> Error {
        sqlite3::sigbus::struck().await
    }

    /// Ends when the database can no longer be written though it was not closed, with the reason. Otherwise never.
    pub async fn failed(&self) -> String {
        self.writer.failed().await
    }

    /// Finishes what is in the writer's queue, checkpoints and closes. Blocks until that is done.
    pub fn close(&self) {
        self.readers.close();
        self.writer.close();
    }
}

/// The version of SQLite that is linked in.
#[must_use]
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}
