//! The rows of a query on their way from SQLite's thread to the client: messages of some 64 KiB through a channel that
//! holds two of them. So a million rows need no more memory than a thousand, and a client that is slow slows SQLite down.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use skylinedb::{proto::v1 as proto, wire::EncodedRows};
use skylinedb_engine::{
    Cancel, Column, Error, Half, Hold, Interruption, Kind, RowSink, RowValues, ShortReads, Statement,
};
use tokio::{
    runtime::Handle,
    sync::mpsc::{
        Receiver, Sender,
        error::{SendTimeoutError, TrySendError},
    },
};

use super::{messages, translate};

/// Rows in one message: large enough that a message's own cost does not count, small enough that the first rows come soon.
const CHUNK_BYTES: usize = 64 << 10;

/// How long a client may leave rows untaken while others wait for a connection to read with.
const UNTAKEN_WHEN_WANTED: Duration = Duration::from_secs(2);

/// How often a query that waits for its client looks whether it must end.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How long rows wait for their part of the ledger: longer than it takes until those are ended who do not take theirs.
const COUNT_WAIT: Duration = Duration::from_secs(10);

/// Takes all the rows of a query that is run here and now, if they are few.
#[derive(Default)]
pub(super) struct OneChunk {
    chunk: proto::QueryResponse,
}

/// The engine's end: collects rows and sends them.
pub(super) struct ChunkSink {
    chunks: Sender<Counted>,
    rows: EncodedRows,
    cancel: Cancel,
    answers: Half,
    patience: Patience,
}

/// How long a query waits for a client that does not take its rows.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    /// How long a chunk may be left untaken.
    pub(super) untaken: Duration,
    /// Requests that wait for the connection which the query holds, and others like it. While there are any, a chunk may
    /// be left untaken for [`UNTAKEN_WHEN_WANTED`] only.
    pub(super) waiting: Option<Arc<AtomicUsize>>,
}

/// A chunk and its part of the ledger.
pub(super) type Counted = (proto::QueryResponse, Hold);

/// The client's end: chunk after chunk, then the query's own end. Dropping it
/// has the query end with its next chunk.
pub(super) struct RowChunks {
    chunks: Receiver<Counted>,
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
        Some(outcome.and_then(|()| {
            let bytes = chunk.chunk.rows.len_bytes();
            messages::count_made(bytes, bytes)?;
            Ok(chunk.chunk)
        }))
    }
}

impl RowSink for OneChunk {
    fn columns(&mut self, columns: Vec<Column>) -> Result<(), Error> {
        self.chunk.columns = translate::columns(columns);
        Ok(())
    }

    fn row(&mut self, row: &RowValues<'_>) -> Result<(), Error> {
        // What is more than a chunk is not copied here, for it is not sent from here.
        let mut bytes = 0;
        let few = row.iter().map(translate::value).take_while(|value| {
            bytes += value.content_bytes();
            bytes <= CHUNK_BYTES
        });
        self.chunk.rows.push(few);
        if bytes > CHUNK_BYTES || self.chunk.rows.len_bytes() > CHUNK_BYTES { Err(Error::not_now()) } else { Ok(()) }
    }
}

impl ChunkSink {
    pub(super) fn new(chunks: Sender<Counted>, cancel: Cancel, patience: Patience, answers: Half) -> Self {
        Self { chunks, rows: EncodedRows::default(), cancel, answers, patience }
    }

    fn send(&self, chunk: proto::QueryResponse) -> Result<(), Error> {
        let hold = self.count(chunk.rows.len_bytes())?;
        match self.chunks.try_send((chunk, hold)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(Interruption::ClientGone.error()),
            Err(TrySendError::Full(chunk)) => self.wait_and_send(chunk),
        }
    }

    fn count(&self, bytes: usize) -> Result<Hold, Error> {
        self.answers.try_hold(bytes).or_else(|_| {
            let wait = self.patience.untaken.min(COUNT_WAIT);
            let wait = self
                .cancel
                .deadline()
                .map_or(wait, |deadline| wait.min(deadline.saturating_duration_since(Instant::now())));
            let held = Handle::current().block_on(self.answers.hold_within(bytes, wait));
            held.map_err(|error| self.cancel.interruption().map_or(error, Interruption::error))
        })
    }

    fn wait_and_send(&self, chunk: Counted) -> Result<(), Error> {
        let begin = Instant::now();
        let mut unsent = chunk;
        loop {
            let sent = Handle::current().block_on(self.chunks.send_timeout(unsent, LOOK_INTERVAL));
            unsent = match sent {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Closed(_)) => return Err(Interruption::ClientGone.error()),
                Err(SendTimeoutError::Timeout(unsent)) => unsent,
            };
            if let Some(interruption) = self.cancel.interruption() {
                return Err(interruption.error());
            }
            let waited = begin.elapsed();
            let is_wanted = waited >= UNTAKEN_WHEN_WANTED && self.patience.is_wanted();
            if is_wanted || waited >= self.patience.untaken {
                return Err(not_taken(waited));
            }
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

impl Patience {
    fn is_wanted(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.load(Ordering::Relaxed) > 0)
    }
}

fn not_taken(waited: Duration) -> Error {
    Error::new(
        Kind::Aborted,
        "ROWS_NOT_TAKEN",
        format!(
            "the query was ended because its client has not taken the rows for {:.0} s; a client that takes longer for some \
             rows should fetch them first, or read in smaller parts",
            waited.as_secs_f64()
        ),
    )
}

impl RowChunks {
    pub(super) fn new(chunks: Receiver<Counted>, query: BoxFuture<'static, Result<(), Error>>) -> Self {
        Self { chunks, query: Some(query), outcome: Ok(()) }
    }

    /// The next chunk; `None` after the last one.
    pub(super) async fn next(&mut self) -> Result<Option<proto::QueryResponse>, Error> {
        loop {
            let Some(query) = &mut self.query else {
                // The query has ended, and with it the sink: what is left in the channel is all there is. One that was given up
                // may still hold the sink, because SQLite cannot be stopped everywhere.
                let chunk = if self.outcome.is_err() { self.chunks.try_recv().ok() } else { self.chunks.recv().await };
                return match chunk {
                    Some(chunk) => Ok(Some(made(chunk))),
                    None => std::mem::replace(&mut self.outcome, Ok(())).map(|()| None),
                };
            };
            tokio::select! {
                biased;
                Some(chunk) = self.chunks.recv() => return Ok(Some(made(chunk))),
                outcome = query => {
                    self.outcome = outcome;
                    self.query = None;
                }
            }
        }
    }
}

fn made((chunk, hold): Counted) -> proto::QueryResponse {
    messages::made(hold, chunk.rows.len_bytes());
    chunk
}
