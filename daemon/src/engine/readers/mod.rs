//! The read path: a deadpool pool of connections that cannot write, and the router that tells reads from writes.

mod inline;
mod manager;
mod router;
mod snapshot;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use deadpool::managed::{Object, Pool, PoolError, Timeouts};
use deadpool_sqlite::{InteractError, Runtime};
use tokio::sync::Semaphore;

use self::{
    inline::{Fingerprint, Inline},
    manager::ReaderManager,
    router::Router,
};
pub(crate) use inline::ShortReads;
pub(crate) use snapshot::Snapshot;

use super::{
    cancel::{Cancel, Interruption},
    collector::{Budget, Collector},
    connection::{Config, GuardedConnection},
    error::{Error, Kind},
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
    router: Arc<Router>,
    /// Snapshots that sessions hold, at most as many as there are readers beside them: they may be held for long, and
    /// must not take the last connection.
    snapshots: Arc<Semaphore>,
    max_answer_bytes: usize,
}

/// A connection of the pool, in hand.
type Reader = Object<ReaderManager>;

impl Readers {
    /// Readers of the database, which must exist. Connections are opened when they are needed.
    pub(super) fn open(config: &Config) -> Result<Self, Error> {
        let pool = Pool::builder(ReaderManager::new(config.clone()))
            .max_size(config.readers * 2)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| Error::internal(format_args!("making the pool of readers: {error}")))?;
        Ok(Self {
            pool,
            inline: Arc::new(Inline::open(config)?),
            router: Arc::new(Router::new(GuardedConnection::open_reader(config)?)),
            snapshots: Arc::new(Semaphore::new(config.readers)),
            max_answer_bytes: config.max_answer_bytes,
        })
    }

    /// Whether a batch consists of reads only, as SQLite sees it. A batch of which a statement does not compile is not:
    /// it may need what an earlier statement makes, and the writer gives the true error otherwise.
    pub(super) fn can_run(&self, batch: &Batch) -> bool {
        batch.statements.iter().all(|statement| self.router.is_read(&statement.sql))
    }

    /// For short reads here and now, which see at least this revision.
    pub(super) fn short_reads(&self, revision: u64) -> ShortReads<'_> {
        ShortReads::new(&self.inline, revision, self.max_answer_bytes)
    }

    /// Runs a batch of reads on one snapshot.
    pub(super) async fn batch(&self, batch: Batch, cancel: Cancel, revision: u64) -> Result<BatchResult, Error> {
        let reader = self.reader(&cancel).await?;
        let (max_answer_bytes, inline) = (self.max_answer_bytes, Arc::clone(&self.inline));
        interact(&reader, move |connection| {
            let begin = Instant::now();
            connection.watch.begin(&cancel, None);
            // A single statement has a snapshot of its own.
            let opened = if batch.statements.len() > 1 { connection.run("BEGIN;") } else { Ok(()) };
            let result = opened.and_then(|()| read_all(connection, &batch, max_answer_bytes, revision));
            connection.watch.end();
            inline.learn(Fingerprint::of(&batch.statements), begin.elapsed());
            // An I/O error may have ended it already, and is what the client should hear of.
            if connection.in_transaction() {
                connection.run("ROLLBACK;")?;
            }
            result
        })
        .await
    }

    /// Runs one statement and hands its rows to a sink, which may make it wait.
    pub(super) async fn query(
        &self,
        statement: Statement,
        cancel: Cancel,
        mut sink: Box<dyn RowSink + Send>,
    ) -> Result<(), Error> {
        let reader = self.reader(&cancel).await?;
        let inline = Arc::clone(&self.inline);
        interact(&reader, move |connection| {
            let begin = Instant::now();
            connection.watch.begin(&cancel, None);
            let outcome = run_query(connection, &statement, &mut *sink);
            connection.watch.end();
            inline.learn(Fingerprint::of([&statement]), begin.elapsed());
            outcome
        })
        .await
    }

    /// Opens a snapshot that a session holds for as long as it likes.
    pub(super) async fn snapshot(&self, cancel: &Cancel) -> Result<Snapshot, Error> {
        let permit = Arc::clone(&self.snapshots).try_acquire_owned().map_err(|_| {
            Error::new(
                Kind::Exhausted,
                "TOO_MANY_SNAPSHOTS",
                "every place for a read transaction is taken (--readers); end one, or read without a transaction",
            )
            .retry_after(READERS_BUSY_RETRY_AFTER)
        })?;
        Snapshot::open(self.reader(cancel).await?, permit, self.max_answer_bytes).await
    }

    /// Closes the connections that are not in use, and gives out no more.
    pub(super) fn close(&self) {
        self.pool.close();
    }

    async fn reader(&self, cancel: &Cancel) -> Result<Reader, Error> {
        let now = tokio::time::Instant::now();
        let wait = cancel
            .deadline()
            .map_or(READER_WAIT, |deadline| READER_WAIT.min(deadline.saturating_duration_since(now.into_std())));
        let timeouts = Timeouts { wait: Some(wait), create: None, recycle: None };
        self.pool.timeout_get(&timeouts).await.map_err(|error| match error {
            PoolError::Timeout(_) => cancel.interruption().map_or_else(readers_busy, Interruption::error),
            PoolError::Backend(error) => error,
            PoolError::Closed => super::shutting_down(),
            other => Error::internal(format_args!("taking a reader: {other}")),
        })
    }
}

/// Runs something on a reader's connection, on a thread where waiting is allowed.
async fn interact<T: Send + 'static>(
    reader: &Reader,
    run: impl FnOnce(&mut GuardedConnection) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    reader.interact(run).await.unwrap_or_else(|error| match error {
        InteractError::Panic(_) => Err(Error::internal("reading (a panic)")),
        InteractError::Cancelled => Err(super::shutting_down()),
    })
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
    let mut budget = Budget::new(connection, max_answer_bytes);
    let mut results = Vec::with_capacity(batch.statements.len());
    for (index, statement) in batch.statements.iter().enumerate() {
        if let Some(interruption) = connection.watch.is_over() {
            return Err(interruption.error().at(index));
        }
        let used_bytes = budget.used_bytes();
        let result = read(connection, statement, &mut budget).map_err(|error| error.at(index));
        if result.is_err() {
            budget.go_back_to(used_bytes);
        }
        let interruption = connection.watch.interruption();
        if batch.mode == Mode::Atomic || interruption.is_some() {
            results.push(Ok(result?));
        } else {
            results.push(result);
        }
    }
    Ok(BatchResult { results, revision, hold: budget.into_hold() })
}

fn read(connection: &GuardedConnection, statement: &Statement, budget: &mut Budget) -> Result<StatementResult, Error> {
    budget.add_statement()?;
    let mut collector = Collector::new(budget);
    run::run(connection, statement, Access::Read, &mut collector).map_err(failure)?;
    Ok(collector.into_result(StatementResult::default()))
}

fn failure(stop: Stop) -> Error {
    match stop {
        Stop::Failed(error) => error,
        Stop::Needs(_) => run::not_for_readers(),
    }
}

fn readers_busy() -> Error {
    Error::new(
        Kind::Exhausted,
        "READERS_BUSY",
        format!(
            "every reader has been busy for {READER_WAIT:?}, with long queries or with clients that do not take their rows; \
             try again, or start the daemon with more --readers"
        ),
    )
    .retry_after(READERS_BUSY_RETRY_AFTER)
}
