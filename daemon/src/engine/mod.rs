//! The engine: the only place that knows SQLite.
//!
//! A [`Database`] has one [`writer`], which commits many clients' batches together, and a pool of [`readers`]. What a
//! statement may do is decided by its [`policy`]; what ends it early, by [`cancel`].

mod cancel;
mod connection;
mod error;
mod functions;
mod meta;
mod policy;
mod readers;
mod result_code;
mod run;
mod sqlite3;
mod sqlite3_function;
mod statement;
#[cfg(test)]
mod tests;
mod writer;

use std::{path::Path, time::Duration};

pub(crate) use cancel::{Cancel, CancelOnDrop, Interruption};
pub(crate) use connection::{Config, Synchronous, prepare_path};
pub(crate) use error::{Error, Kind};
pub(crate) use meta::MAX_REQUEST_ID_BYTES;
pub(crate) use readers::{ShortReads, Snapshot};
pub(crate) use run::{RowSink, RowValues};
pub(crate) use statement::{
    Answer, Batch, BatchResult, Column, Mode, RequestId, Statement, StatementResult, Value, ValueRef,
};
pub(crate) use writer::{PendingAnswer, WriteTransaction, shutting_down};

use readers::Readers;
use writer::Writer;

/// A database file that this process owns.
#[derive(Debug)]
pub(crate) struct Database {
    config: Config,
    writer: Writer,
    readers: Readers,
}

impl Database {
    /// Opens the database; the file is made if it is not there.
    pub(crate) fn open(config: Config) -> Result<Self, Error> {
        let writer = Writer::start(&config)?;
        let readers = Readers::open(&config)?;
        Ok(Self { config, writer, readers })
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.config.path
    }

    /// How long a write transaction may wait for its session.
    pub(crate) fn transaction_idle_timeout(&self) -> Duration {
        self.config.transaction_idle_timeout
    }

    /// The newest committed revision.
    pub(crate) fn revision(&self) -> u64 {
        self.writer.revision()
    }

    /// Whether the batch consists of reads only, and so is for [`Database::read`].
    pub(crate) fn is_read(&self, batch: &Batch) -> bool {
        self.readers.can_run(batch)
    }

    /// For short reads here and now, without waiting for anything.
    pub(crate) fn short_reads(&self) -> ShortReads<'_> {
        // The revision is taken before the snapshot, so that the snapshot has at least this revision.
        self.readers.short_reads(self.revision())
    }

    /// Runs a batch of reads.
    pub(crate) async fn read(&self, batch: Batch, cancel: Cancel) -> Result<BatchResult, Error> {
        let revision = self.revision();
        self.readers.batch(batch, cancel, revision).await
    }

    /// Puts a batch into the writer's queue. The answer comes when it is committed.
    pub(crate) async fn submit(&self, batch: Batch, cancel: Cancel) -> Result<PendingAnswer, Error> {
        self.writer.submit(batch, cancel).await
    }

    /// Runs one statement that reads, and hands its rows to a sink.
    pub(crate) async fn query(
        &self,
        statement: Statement,
        cancel: Cancel,
        sink: Box<dyn RowSink + Send>,
    ) -> Result<(), Error> {
        self.readers.query(statement, cancel, sink).await
    }

    /// Opens a transaction that writes and holds the writer.
    pub(crate) async fn begin_write(&self, cancel: Cancel) -> Result<WriteTransaction, Error> {
        self.writer.begin(cancel).await
    }

    /// Opens a transaction that reads one snapshot.
    pub(crate) async fn begin_read(&self, cancel: &Cancel) -> Result<Snapshot, Error> {
        self.readers.snapshot(cancel).await
    }

    /// Finishes what is in the writer's queue, checkpoints and closes. Blocks until that is done.
    pub(crate) fn close(&self) {
        self.readers.close();
        self.writer.close();
    }
}

/// The version of SQLite that is linked in.
pub(crate) fn sqlite_version() -> &'static str {
    rusqlite::version()
}
