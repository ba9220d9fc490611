//! A session's read transaction: one snapshot of the database for as long as it is held.

use tokio::sync::OwnedSemaphorePermit;

use super::{
    super::{
        cancel::Cancel,
        error::Error,
        meta,
        run::RowSink,
        statement::{Batch, BatchResult, Statement},
    },
    Reader, interact, read_all, run_query,
};

/// An open snapshot. Dropping it ends it: the pool rolls back what it takes back.
#[derive(Debug)]
pub(crate) struct Snapshot {
    reader: Reader,
    revision: u64,
    max_answer_bytes: usize,
    _permit: OwnedSemaphorePermit,
}

impl Snapshot {
    pub(super) async fn open(
        reader: Reader,
        permit: OwnedSemaphorePermit,
        max_answer_bytes: usize,
    ) -> Result<Self, Error> {
        let revision = interact(&reader, |connection| {
            connection.run("BEGIN;")?;
            // BEGIN alone takes no snapshot; the first read does.
            meta::revision(&connection.sqlite)
        })
        .await?;
        Ok(Self { reader, revision, max_answer_bytes, _permit: permit })
    }

    /// The revision that the snapshot shows.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Runs a batch of reads on the snapshot.
    pub(crate) async fn execute(&self, batch: Batch, cancel: Cancel) -> Result<BatchResult, Error> {
        let (revision, max_answer_bytes) = (self.revision, self.max_answer_bytes);
        interact(&self.reader, move |connection| {
            connection.watch.begin(&cancel, None);
            let result = read_all(connection, &batch, max_answer_bytes, revision);
            connection.watch.end();
            result
        })
        .await
    }

    /// Runs one statement on the snapshot and hands its rows to a sink.
    pub(crate) async fn query(
        &self,
        statement: Statement,
        cancel: Cancel,
        mut sink: Box<dyn RowSink + Send>,
    ) -> Result<(), Error> {
        interact(&self.reader, move |connection| {
            connection.watch.begin(&cancel, None);
            let outcome = run_query(connection, &statement, &mut *sink);
            connection.watch.end();
            outcome
        })
        .await
    }
}
