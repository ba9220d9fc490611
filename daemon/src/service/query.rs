//! The rows of a query on their way from SQLite's thread to the client: messages of some 64 KiB through a channel that
//! holds two of them. So a million rows need no more memory than a thousand, and a client that is slow slows SQLite down.

use std::time::Duration;

use futures_util::future::BoxFuture;
use skylinedb::{proto::v1 as proto, wire::EncodedRows};
use tokio::{
    runtime::Handle,
    sync::mpsc::{Receiver, Sender, error::TrySendError},
};

use super::translate;
use crate::engine::{Cancel, Column, Error, Interruption, Kind, RowSink, RowValues, ShortReads, Statement};

/// Rows in one message: large enough that a message's own cost does not count, small enough that the first rows come soon.
const CHUNK_BYTES: usize = 64 << 10;

/// Takes all the rows of a query that is run here and now, if they are few.
#[derive(Default)]
pub(super) struct OneChunk {
    chunk: proto::QueryResponse,
}

/// The engine's end: collects rows and sends them.
pub(super) struct ChunkSink {
    chunks: Sender<proto::QueryResponse>,
    rows: EncodedRows,
    cancel: Cancel,
    /// How long the client may leave a chunk untaken.
    untaken: Duration,
}

/// The client's end: chunk after chunk, then the query's own end. Dropping it
/// has the query end with its next chunk.
pub(super) struct RowChunks {
    chunks: Receiver<proto::QueryResponse>,
    query: Option<BoxFuture<'static, Result<(), Error>>>,
    outcome: Result<(), Error>,
}

impl OneChunk {
    /// The whole answer to a query, if it is short; otherwise `None`.
    pub(super) fn answer(
        reads: &mut ShortReads<'_>,
        statement: &Statement,
        cancel: &Cancel,
        is_last: bool,
    ) -> Option<Result<proto::QueryResponse, Error>> {
        let mut chunk = Self::default();
        let outcome = reads.query(statement, cancel, is_last, &mut chunk)?;
        Some(outcome.map(|()| chunk.chunk))
    }
}

impl RowSink for OneChunk {
    fn columns(&mut self, columns: Vec<Column>) -> Result<(), Error> {
        self.chunk.columns = translate::columns(columns);
        Ok(())
    }

    fn row(&mut self, row: &RowValues<'_>) -> Result<(), Error> {
        self.chunk.rows.push(row.iter().map(translate::value));
        if self.chunk.rows.len_bytes() > CHUNK_BYTES { Err(Error::not_now()) } else { Ok(()) }
    }
}

impl ChunkSink {
    pub(super) fn new(chunks: Sender<proto::QueryResponse>, cancel: Cancel, untaken: Duration) -> Self {
        Self { chunks, rows: EncodedRows::default(), cancel, untaken }
    }

    fn send(&self, chunk: proto::QueryResponse) -> Result<(), Error> {
        match self.chunks.try_send(chunk) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(Interruption::ClientGone.error()),
            Err(TrySendError::Full(chunk)) => self.wait_and_send(chunk),
        }
    }

    fn wait_and_send(&self, chunk: proto::QueryResponse) -> Result<(), Error> {
        let until = tokio::time::Instant::now() + self.untaken;
        let until = self.cancel.deadline().map_or(until, |deadline| until.min(deadline.into()));
        match Handle::current().block_on(async { tokio::time::timeout_at(until, self.chunks.send(chunk)).await }) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Interruption::ClientGone.error()),
            Err(_) => Err(match self.cancel.interruption() {
                Some(interruption) => interruption.error(),
                None => Error::new(
                    Kind::Aborted,
                    "ROWS_NOT_TAKEN",
                    format!("nobody has taken the query's rows for {:?}, so it was ended", self.untaken),
                ),
            }),
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        let rows = std::mem::replace(&mut self.rows, EncodedRows::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8));
        self.send(proto::QueryResponse { columns: Vec::new(), rows })
    }
}

impl RowSink for ChunkSink {
    fn columns(&mut self, columns: Vec<Column>) -> Result<(), Error> {
        self.send(proto::QueryResponse { columns: translate::columns(columns), rows: EncodedRows::default() })
    }

    fn row(&mut self, row: &RowValues<'_>) -> Result<(), Error> {
        self.rows.push(row.iter().map(translate::value));
        row.check()?;
        if self.rows.len_bytes() >= CHUNK_BYTES { self.flush() } else { Ok(()) }
    }

    fn end(&mut self) -> Result<(), Error> {
        if self.rows.is_empty() { Ok(()) } else { self.flush() }
    }
}

impl RowChunks {
    pub(super) fn new(chunks: Receiver<proto::QueryResponse>, query: BoxFuture<'static, Result<(), Error>>) -> Self {
        Self { chunks, query: Some(query), outcome: Ok(()) }
    }

    /// The next chunk; `None` after the last one.
    pub(super) async fn next(&mut self) -> Result<Option<proto::QueryResponse>, Error> {
        loop {
            let Some(query) = &mut self.query else {
                // The query has ended, and with it the sink: what is left in the channel is all there is.
                return match self.chunks.recv().await {
                    Some(chunk) => Ok(Some(chunk)),
                    None => std::mem::replace(&mut self.outcome, Ok(())).map(|()| None),
                };
            };
            tokio::select! {
                biased;
                Some(chunk) = self.chunks.recv() => return Ok(Some(chunk)),
                outcome = query => {
                    self.outcome = outcome;
                    self.query = None;
                }
            }
        }
    }
}
