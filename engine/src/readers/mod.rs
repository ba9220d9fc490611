//! The read path: a deadpool pool of connections that cannot write, short reads on the thread that asks, and what is known of
//! statements' texts, which says where each is run.

mod facts;
mod inline;
mod live;
mod pool;
mod snapshot;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use deadpool::managed::{Pool, PoolError, Timeouts};
use deadpool_sqlite::Runtime;
use tokio::sync::Semaphore;

use self::{
    facts::{Facts, begins_as_a_write},
    inline::{Fingerprint, Inline},
    live::LiveReads,
    pool::{Reader, ReaderManager, on_thread},
};
pub use facts::Route;
pub use inline::ShortReads;
pub use snapshot::Snapshot;

use super::{
    cancel::{Cancel, Interruption},
    collector::{Budget, Collector},
    connection::{Config, GuardedConnection},
    error::{Error, Kind},
    long_sql,
    run::{self, Access, RowSink, Stop},
    statement::{Batch, BatchResult, Mode, Statement, StatementResult},
};

/// How long a read waits for a free connection before it is refused.
const READER_WAIT: Duration = Duration::from_secs(30);

/// When a client that found every connection taken should come again.
const READERS_BUSY_RETRY_AFTER: Duration = Duration::from_millis(100);

/// The readers of a database.
#[derive(Debug)]
pub(super) struct Readers {
    pool: Pool<ReaderManager>,
    inline: Arc<Inline>,
    facts: Arc<Facts>,
    live: Arc<LiveReads>,
    /// Requests that wait for a connection.
    waiting: Arc<AtomicUsize>,
    /// Snapshots that sessions hold, at most as many as there are readers beside them: they may be held for long, and
    /// must not take the last connection.
    snapshots: Arc<Semaphore>,
    /// Long texts of SQL that are compiled, or run: some take a minute to compile and cannot be stopped, and must not take the
    /// connections that others need.
    long_texts: Arc<Semaphore>,
    max_answer_bytes: usize,
}

/// What a batch turned out to be that was to be read.
#[derive(Debug)]
pub enum Read {
    /// It has only read.
    Done(BatchResult),
    /// It is for the writer: a statement of it writes, or needs what an earlier one makes.
    Writes(Batch),
}

impl Readers {
    /// Readers of the database, which must exist. Connections are opened when they are needed.
    pub(super) fn open(config: &Config) -> Result<Self, Error> {
        let pool = Pool::builder(ReaderManager::new(config.clone()))
            .max_size(config.readers * 2)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| Error::internal(format_args!("making the pool of readers: {error}")))?;
        let live = Arc::new(LiveReads::default());
        tokio::spawn(live::look_after(Arc::downgrade(&live), config.clone()));
        Ok(Self {
            pool,
            inline: Arc::new(Inline::open(config)?),
            facts: Arc::new(Facts::new(config.schema.clone())),
            live,
            waiting: Arc::default(),
            snapshots: Arc::new(Semaphore::new(config.readers)),
            long_texts: Arc::new(Semaphore::new((config.readers / 2).max(1))),
            max_answer_bytes: config.max_answer_bytes,
        })
    }

    /// Where a batch is run.
    pub(super) fn route(&self, batch: &Batch) -> Route {
        self.facts.route(batch)
    }

    /// How many requests wait for a connection.
    pub(super) fn waiting(&self) -> &Arc<AtomicUsize> {
        &self.waiting
    }

    /// For short reads here and now, which see at least this revision.
    pub(super) fn short_reads(&self, revision: u64) -> ShortReads<'_> {
        ShortReads::new(&self.inline, &self.facts, revision, self.max_answer_bytes)
    }

    /// Runs a batch on one snapshot, as long as its statements only read. The results see at least this revision.
    pub(super) async fn batch(&self, batch: Batch, cancel: Cancel, revision: u64) -> Result<Read, Error> {
        let reader = self.reader(&batch.statements, &cancel).await?;
        let (max_answer_bytes, inline) = (self.max_answer_bytes, Arc::clone(&self.inline));
        let (facts, live) = (Arc::clone(&self.facts), self.live.request(&cancel));
        let read = move |connection: &GuardedConnection| {
            let _live = live;
            let begin = Instant::now();
            connection.watch.begin(&cancel, None);
            if long_sql::has_long(&batch.statements) {
                let looked = long_sql::look_at(connection, &batch.statements);
                if looked.is_err() || is_for_writer(&batch) {
                    connection.watch.end();
                    return looked.map(|()| Read::Writes(batch));
                }
            }
            // A single statement has a snapshot of its own.
            let opened = if batch.statements.len() > 1 { connection.run("BEGIN;") } else { Ok(()) };
            let result = opened
                .map_err(Stop::Failed)
                .and_then(|()| try_read_all(connection, &batch, max_answer_bytes, revision, true));
            inline.learn(Fingerprint::of(&batch.statements), begin.elapsed());
            facts.learn(connection, &batch.statements);
            connection.watch.end();
            match result {
                Ok(result) => Ok(Read::Done(result)),
                Err(Stop::Needs(_)) => Ok(Read::Writes(batch)),
                Err(Stop::Failed(error)) => Err(error),
            }
        };
        on_thread(reader, read).await
    }

    /// Compiles the long texts of statements, and gives them back unless one takes too long.
    pub(super) async fn look_at_long<S>(&self, statements: S, cancel: Cancel) -> Result<S, Error>
    where
        S: AsRef<[Statement]> + Send + 'static,
    {
        let reader = self.reader(statements.as_ref(), &cancel).await?;
        let look = move |connection: &GuardedConnection| {
            connection.watch.begin(&cancel, None);
            let looked = long_sql::look_at(connection, statements.as_ref());
            connection.watch.end();
            looked.map(|()| statements)
        };
        on_thread(reader, look).await
    }

    /// Runs one statement and hands its rows to a sink, which may make it wait.
    pub(super) async fn query(
        &self,
        statement: Statement,
        cancel: Cancel,
        mut sink: Box<dyn RowSink + Send>,
    ) -> Result<(), Error> {
        let reader = self.reader(std::slice::from_ref(&statement), &cancel).await?;
        let inline = Arc::clone(&self.inline);
        let (facts, live) = (Arc::clone(&self.facts), self.live.request(&cancel));
        let read = move |connection: &GuardedConnection| {
            let _live = live;
            let begin = Instant::now();
            connection.watch.begin(&cancel, None);
            let outcome = run_query(connection, &statement, &mut *sink);
            drop(sink); // the client has all rows now
            inline.learn(Fingerprint::of([&statement]), begin.elapsed());
            facts.learn(connection, std::slice::from_ref(&statement));
            connection.watch.end();
            outcome
        };
        on_thread(reader, read).await
    }

    /// Opens a snapshot that a session holds.
    pub(super) async fn snapshot(&self, cancel: &Cancel) -> Result<Snapshot, Error> {
        let permit = Arc::clone(&self.snapshots).try_acquire_owned().map_err(|_| {
            Error::new(
                Kind::Exhausted,
                "TOO_MANY_SNAPSHOTS",
                "every place for a read transaction is taken (--readers); end one, or read without a transaction",
            )
            .retry_after(READERS_BUSY_RETRY_AFTER)
        })?;
        Snapshot::open(self.reader(&[], cancel).await?, permit, self.max_answer_bytes, &self.live).await
    }

    /// Closes the connections that are not in use, and gives out no more.
    pub(super) fn close(&self) {
        self.pool.close();
    }

    /// A connection for these statements.
    async fn reader(&self, statements: &[Statement], cancel: &Cancel) -> Result<Reader, Error> {
        let now = tokio::time::Instant::now();
        let until = cancel.deadline().map_or(now + READER_WAIT, |deadline| (now + READER_WAIT).min(deadline.into()));
        let busy = |who: Busy| cancel.interruption().map_or_else(|| who.error(), |why| who.while_waiting(why));
        let long_text = if long_sql::has_long(statements) {
            let permit = tokio::time::timeout_at(until, Arc::clone(&self.long_texts).acquire_owned()).await;
            Some(permit.map_err(|_| busy(Busy::LongTexts))?.map_err(|_| super::shutting_down())?)
        } else {
            None
        };
        let wait = until.saturating_duration_since(tokio::time::Instant::now());
        let timeouts = Timeouts { wait: Some(wait), create: None, recycle: None };
        let _waiting = Waiting::begin(&self.waiting);
        let object = self.pool.timeout_get(&timeouts).await;
        object.map(|object| Reader::new(object, long_text)).map_err(|error| match error {
            PoolError::Timeout(_) => busy(Busy::Readers),
            PoolError::Backend(error) => error,
            PoolError::Closed => super::shutting_down(),
            other => Error::internal(format_args!("taking a reader: {other}")),
        })
    }
}

/// A request that waits for a connection, until this is dropped.
struct Waiting<'c>(&'c AtomicUsize);

impl<'c> Waiting<'c> {
    fn begin(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a batch is for the writer, as far as its beginning tells.
fn is_for_writer(batch: &Batch) -> bool {
    batch.request.is_some() || batch.statements.first().is_some_and(|first| begins_as_a_write(&first.sql))
}

fn run_query(connection: &GuardedConnection, statement: &Statement, sink: &mut dyn RowSink) -> Result<(), Error> {
    run::run(connection, statement, Access::Read, sink).map(drop).map_err(|stop| failure(stop).at(0))
}

fn read_all(
    connection: &GuardedConnection,
    batch: &Batch,
    max_answer_bytes: usize,
    revision: u64,
) -> Result<BatchResult, Error> {
    try_read_all(connection, batch, max_answer_bytes, revision, false).map_err(failure)
}

/// Runs a batch as long as its statements only read. If it may be run by the writer, it stops at a statement that does not
/// compile: that may need what an earlier one makes.
fn try_read_all(
    connection: &GuardedConnection,
    batch: &Batch,
    max_answer_bytes: usize,
    revision: u64,
    may_write: bool,
) -> Result<BatchResult, Stop> {
    let mut budget = Budget::new(connection, max_answer_bytes);
    let mut results = Vec::with_capacity(batch.statements.len());
    for (index, statement) in batch.statements.iter().enumerate() {
        // The first is looked after while it runs: most batches have no other.
        if index > 0
            && let Some(interruption) = connection.watch.is_over()
        {
            return Err(Stop::Failed(interruption.error().at(index)));
        }
        budget.add_statement().map_err(|error| Stop::Failed(error.at(index)))?;
        let used_bytes = budget.used_bytes();
        let mut collector = Collector::new(&mut budget);
        let ran = run::run(connection, statement, Access::Read, &mut collector);
        let failed = match ran {
            Ok(_) => {
                results.push(Ok(collector.into_result(StatementResult::default())));
                continue;
            }
            Err(needs @ Stop::Needs(_)) if may_write => return Err(needs),
            Err(Stop::Failed(error)) if may_write && error.does_not_compile && batch.statements.len() > 1 => {
                return Err(Stop::Needs(Access::Shared));
            }
            Err(stop) => failure(stop).at(index),
        };
        budget.go_back_to(used_bytes);
        // An I/O error or too little memory ends the transaction: the next statement would see another snapshot.
        let has_lost_snapshot = batch.statements.len() > 1 && !connection.in_transaction();
        if batch.mode == Mode::Atomic || connection.watch.interruption().is_some() || has_lost_snapshot {
            return Err(Stop::Failed(failed));
        }
        results.push(Err(failed));
    }
    Ok(BatchResult { results, revision, hold: budget.into_hold() })
}

fn failure(stop: Stop) -> Error {
    match stop {
        Stop::Failed(error) => error,
        Stop::Needs(access) => run::not_for_readers(access),
    }
}

/// What a request waits for that has no connection yet.
#[derive(Clone, Copy)]
enum Busy {
    /// A connection.
    Readers,
    /// A place among the long texts.
    LongTexts,
}

impl Busy {
    /// The error of a request that has waited for too long.
    fn error(self) -> Error {
        let who = match self {
            Self::Readers => "every reader has been busy",
            Self::LongTexts => {
                "other statements with more than 32 KiB of SQL, which may have half of the readers, have been busy"
            }
        };
        Error::new(
            Kind::Exhausted,
            "READERS_BUSY",
            format!(
                "{who} for {READER_WAIT:?}, with long queries or with clients that do not take their rows; try again, or start \
                 the daemon with more --readers"
            ),
        )
        .retry_after(READERS_BUSY_RETRY_AFTER)
    }

    /// The error of a request that ended before.
    fn while_waiting(self, interruption: Interruption) -> Error {
        let error = interruption.error();
        let what = match self {
            Self::Readers => "a reader, and all were busy (--readers)",
            Self::LongTexts => {
                "other statements with more than 32 KiB of SQL, which may have half of the readers (--readers)"
            }
        };
        Error { message: format!("{}; it waited for {what}", error.message), ..error }
    }
}
