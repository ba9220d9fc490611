//! The writer's thread: takes requests in their order, owns the connection, and opens it anew when it is in doubt.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::mpsc::{self, error::TryRecvError};

use super::{
    super::{
        cancel::Cancel,
        connection::{Config, GuardedConnection},
        error::{self, Error},
        meta,
        sqlite3::sigbus,
        statement::Batch,
    },
    Job, Request,
    batch::{self, Outcome, Terms},
    doubt::{CommitFailure, Doubt},
    fault::{Faults, Stage},
    group::Bounds,
    waiting::Waiting,
};

/// How long the thread looks for another request before it sleeps.
const SPIN_TIME: Duration = Duration::from_micros(100);

/// The state of the writer's thread.
pub(super) struct WriterThread {
    /// `None` while the database cannot be opened.
    pub(super) connection: Option<GuardedConnection>,
    /// A failed commit of which it is not known whether it was kept.
    pub(super) doubt: Option<Doubt>,
    pub(super) config: Config,
    /// What bounds a group.
    pub(super) bounds: Bounds,
    requests: mpsc::Receiver<Request>,
    /// Requests that were taken from the queue but come after what is being done.
    held: VecDeque<Request>,
    /// The newest committed revision, for everybody to see.
    committed_revision: Arc<AtomicU64>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) faults: Faults,
}

impl WriterThread {
    pub(super) fn new(
        connection: GuardedConnection,
        config: Config,
        bounds: Bounds,
        requests: mpsc::Receiver<Request>,
        committed_revision: Arc<AtomicU64>,
        waiting: Arc<Waiting>,
        faults: Faults,
    ) -> Self {
        Self {
            connection: Some(connection),
            doubt: None,
            config,
            bounds,
            requests,
            held: VecDeque::new(),
            committed_revision,
            waiting,
            faults,
        }
    }

    /// Serves requests until the last sender has gone and the queue is empty; then checkpoints. A panic ends what is being
    /// done, which is answered as it unwinds, and nothing else.
    pub(super) fn run(mut self) {
        while let Some(request) = self.held.pop_front().or_else(|| self.next_request()) {
            let serve = || match request {
                Request::Batch(job) => self.group(job),
                Request::Transaction(opening) => self.transaction(opening),
            };
            if catch_unwind(AssertUnwindSafe(serve)).is_err() {
                // Even this may panic: where the connection is broken, or the log.
                let _ = catch_unwind(AssertUnwindSafe(|| self.give_up_connection()));
                let say = || tracing::error!("the writer has panicked; it goes on with a new connection");
                let _ = catch_unwind(AssertUnwindSafe(say));
            }
            self.waiting.release();
            let _ = self.faults.at(Stage::Thread);
        }
        if sigbus::check().is_err() {
            return;
        }
        let last = || match self.connection() {
            Ok(connection) => checkpoint(connection),
            Err(error) => tracing::warn!(%error, "cannot checkpoint the write-ahead log"),
        };
        let _ = catch_unwind(AssertUnwindSafe(last));
    }

    /// The next request; `None` when the last sender has gone and the queue is empty. A client that writes one row after
    /// another comes again soon: to be there then saves putting this thread to sleep and waking it.
    fn next_request(&mut self) -> Option<Request> {
        let until = Instant::now() + SPIN_TIME;
        loop {
            match self.requests.try_recv() {
                Ok(request) => return Some(request),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) if Instant::now() >= until => return self.requests.blocking_recv(),
                // Not a mere spin: whoever else has work on this core comes first.
                Err(TryRecvError::Empty) => std::thread::yield_now(),
            }
        }
    }

    /// Whether nobody can send requests any more, because the database is being closed.
    pub(super) fn is_closing(&self) -> bool {
        self.requests.is_closed()
    }

    /// The next batch, if one is waiting. Anything else that waits is kept for later.
    pub(super) fn next_waiting_batch(&mut self) -> Option<Job> {
        match self.held.pop_front().or_else(|| self.requests.try_recv().ok())? {
            Request::Batch(job) => Some(job),
            transaction @ Request::Transaction(_) => {
                self.held.push_front(transaction);
                None
            }
        }
    }

    /// The connection, opened anew if it was given up. There is none while a failed commit is in doubt.
    pub(super) fn connection(&mut self) -> Result<&GuardedConnection, Error> {
        if self.connection.is_none() {
            let (connection, revision) = open(&self.config, self.committed_revision())?;
            self.mark(&connection)?;
            self.doubt = None;
            self.committed_revision.fetch_max(revision, Ordering::AcqRel);
            self.connection = Some(connection);
        }
        self.connection.as_ref().ok_or_else(|| Error::internal("opening the database"))
    }

    /// Closes a connection whose state is in doubt; the next use opens a new one.
    pub(super) fn give_up_connection(&mut self) {
        self.connection = None;
    }

    /// Whether a transaction is open.
    pub(super) fn is_open(&self) -> bool {
        self.connection.as_ref().is_some_and(GuardedConnection::in_transaction)
    }

    /// Lets go of every file that was attached.
    pub(super) fn detach_all(&mut self) {
        if let Some(connection) = &self.connection
            && let Err(error) = connection.detach_all()
        {
            tracing::warn!(%error, "cannot detach a file; opening the database anew");
            self.give_up_connection();
        }
    }

    /// Opens a transaction that holds the database's write lock.
    pub(super) fn begin(&mut self) -> Result<(), Error> {
        sigbus::check()?;
        self.faults.at(Stage::Begin)?;
        if let Err(error) = self.connection() {
            return Err(self.still_in_doubt(error));
        }
        if self.begin_with_revision()? {
            return Ok(());
        }
        // Another program has removed the daemon's own table.
        let revision = self.committed_revision() + 1;
        tracing::warn!(
            revision,
            "another program has removed skylinedb_meta, the daemon's own table, or its row; making it again"
        );
        let made = self.connection().and_then(|connection| meta::create_in_transaction(connection, revision - 1));
        if let Err(error) = made {
            self.roll_back();
            return Err(error);
        }
        if let Err(failure) = self.commit(revision) {
            return Err(self.judge(failure, revision).into_error());
        }
        if self.begin_with_revision()? {
            return Ok(());
        }
        self.roll_back();
        Err(Error::internal("making skylinedb_meta again"))
    }

    /// Opens a transaction. Returns whether the revision is there.
    fn begin_with_revision(&mut self) -> Result<bool, Error> {
        let connection = self.connection()?;
        if let Err(error) = connection.run("BEGIN IMMEDIATE;") {
            return Err(error::locked_by_another_process(error, &self.config.path));
        }
        match meta::find_revision(&connection.sqlite) {
            Ok(Some(revision)) => {
                // Another program may have written it: a revision must never go back.
                self.committed_revision.fetch_max(revision, Ordering::AcqRel);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error) => {
                self.roll_back();
                Err(error)
            }
        }
    }

    /// Rolls back, if there is something to roll back.
    pub(super) fn roll_back(&mut self) {
        if let Some(connection) = &self.connection
            && connection.in_transaction()
            && let Err(error) = connection.run("ROLLBACK;")
        {
            tracing::error!(%error, "cannot roll back; opening the database anew");
            self.give_up_connection();
        }
    }

    /// Commits the open transaction, which has become this revision. What has failed is for [`WriterThread::judge`].
    pub(super) fn commit(&mut self, revision: u64) -> Result<(), CommitFailure> {
        let failure = |is_tried| move |error| CommitFailure { error, is_tried };
        let is_new = revision != self.committed_revision();
        let connection = self.connection().map_err(failure(false))?;
        if is_new {
            meta::set_revision(connection, revision).map_err(failure(false))?;
        }
        // What it has written may come from what is no longer in the file.
        sigbus::check().map_err(failure(false))?;
        self.faults.at(Stage::Commit).map_err(failure(true))?;
        let connection = self.connection().map_err(failure(false))?;
        let changes_schema = connection.changes_schema.replace(false);
        if changes_schema {
            connection.schema.advance();
        }
        let committed = connection.run("COMMIT;");
        if changes_schema {
            connection.schema.advance();
        }
        committed.and_then(|()| sigbus::check()).map_err(failure(true))?;
        self.committed_revision.store(revision, Ordering::Release);
        let _ = self.faults.at(Stage::Committed);
        Ok(())
    }

    /// The newest committed revision.
    pub(super) fn committed_revision(&self) -> u64 {
        self.committed_revision.load(Ordering::Acquire)
    }

    /// Runs a batch; a panic in it is its own failure and nobody else's.
    pub(super) fn run_batch(&mut self, batch: &Batch, cancel: &Cancel, terms: &Terms<'_>) -> Outcome {
        if let Err(error) = self.connection() {
            return Outcome::Failed(error);
        }
        let Some(connection) = &self.connection else {
            return Outcome::Failed(Error::internal("opening the database"));
        };
        let run = || {
            self.faults.at(Stage::Batch).map_or_else(Outcome::Failed, |()| batch::run(connection, batch, cancel, terms))
        };
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
            self.give_up_connection();
            Outcome::TransactionLost(None, Error::internal("running the batch (a panic)"))
        })
    }
}

/// Opens the connection that writes. Returns the revision of the database, too; a database without one begins at `revision`.
pub(super) fn open(config: &Config, revision: u64) -> Result<(GuardedConnection, u64), Error> {
    let opened = GuardedConnection::open_writer(config).and_then(|connection| {
        let revision = meta::create(&connection, revision)?;
        Ok((connection, revision))
    });
    opened.map_err(|error| error::locked_by_another_process(error, &config.path))
}

/// Moves the write-ahead log into the database file and empties it.
pub(super) fn checkpoint(connection: &GuardedConnection) {
    let outcome = connection
        .as_daemon(|sqlite| sqlite.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)));
    match outcome {
        Ok(0) => tracing::info!("checkpointed the write-ahead log"),
        Ok(_) => {
            tracing::warn!(
                "the write-ahead log is not empty: another process is reading the database; nothing is lost"
            );
        }
        Err(error) => tracing::warn!(%error, "cannot checkpoint the write-ahead log; nothing is lost"),
    }
}
