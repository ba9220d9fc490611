//! A session's write transaction: it holds the writer until it commits, rolls back, goes away, or is cut because it
//! waits or lasts too long.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    super::{
        cancel::{Cancel, Interruption},
        error::{Error, Kind},
        run::{self, Access, RowSink, Stop},
        statement::{Answer, Batch, BatchResult, Statement},
    },
    Job,
    batch::{Outcome, Terms},
    shutting_down,
    thread::WriterThread,
};

/// How long an open transaction may keep the writer from noticing that the daemon ends.
const CLOSING_LOOK: Duration = Duration::from_millis(100);

/// The session's side of an open transaction. Dropping it rolls back.
#[derive(Debug)]
pub(crate) struct WriteTransaction {
    operations: SyncSender<Operation>,
    cut: Arc<OnceLock<Error>>,
    revision: u64,
}

/// A transaction in the writer's queue.
#[derive(Debug)]
pub(super) struct Opening {
    operations: Receiver<Operation>,
    cut: Arc<OnceLock<Error>>,
    cancel: Cancel,
    opened: oneshot::Sender<Result<u64, Error>>,
}

enum Operation {
    Execute {
        batch: Batch,
        cancel: Cancel,
        reply: oneshot::Sender<Result<Answer, Error>>,
    },
    Query {
        statement: Statement,
        cancel: Cancel,
        sink: Box<dyn RowSink + Send>,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    Commit {
        reply: oneshot::Sender<Result<u64, Error>>,
    },
    Rollback {
        reply: oneshot::Sender<Result<(), Error>>,
    },
}

/// A transaction's two ends, and the place where the news of its opening will arrive.
pub(super) fn open(cancel: Cancel) -> (WriteTransaction, Opening, oneshot::Receiver<Result<u64, Error>>) {
    // One place is enough: a session sends the next operation when the last one is answered.
    let (sender, operations) = sync_channel(1);
    let (opened, news) = oneshot::channel();
    let cut = Arc::default();
    let transaction = WriteTransaction { operations: sender, cut: Arc::clone(&cut), revision: 0 };
    (transaction, Opening { operations, cut, cancel, opened }, news)
}

impl WriteTransaction {
    /// Waits until the writer has come to this transaction.
    pub(super) async fn opened(mut self, news: oneshot::Receiver<Result<u64, Error>>) -> Result<Self, Error> {
        self.revision = news.await.map_err(|_| shutting_down())??;
        Ok(self)
    }

    /// The revision that the transaction starts from.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Runs a batch in a savepoint of the transaction.
    pub(crate) async fn execute(&self, batch: Batch, cancel: Cancel) -> Result<BatchResult, Error> {
        match self.ask(|reply| Operation::Execute { batch, cancel, reply }).await? {
            Answer::Fresh(result) => Ok(result),
            Answer::Replayed(_) => Err(Error::internal("running a batch in a transaction: it has a stored answer")),
        }
    }

    /// Runs one statement that reads, and sees what the transaction has written.
    pub(crate) async fn query(
        &self,
        statement: Statement,
        cancel: Cancel,
        sink: Box<dyn RowSink + Send>,
    ) -> Result<(), Error> {
        self.ask(|reply| Operation::Query { statement, cancel, sink, reply }).await
    }

    /// Commits. Returns the revision that the transaction became.
    pub(crate) async fn commit(&self) -> Result<u64, Error> {
        self.ask(|reply| Operation::Commit { reply }).await
    }

    /// Rolls back. One that was cut is rolled back already.
    pub(crate) async fn roll_back(&self) -> Result<(), Error> {
        match self.ask(|reply| Operation::Rollback { reply }).await {
            Err(_) if self.cut.get().is_some() => Ok(()),
            outcome => outcome,
        }
    }

    async fn ask<T>(&self, operation: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Operation) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        // The writer that has ended this transaction has said why before it let go of the other end.
        let cut = || self.cut.get().cloned().unwrap_or_else(shutting_down);
        self.operations.try_send(operation(reply)).map_err(|_| cut())?;
        answer.await.map_err(|_| cut())?
    }
}

impl WriterThread {
    /// Serves one session until its transaction is over.
    pub(super) fn transaction(&mut self, opening: Opening) {
        let Opening { operations, cut, cancel, opened } = opening;
        if opened.is_closed() || cancel.interruption().is_some() {
            return;
        }
        if let Err(error) = self.begin() {
            let _ = opened.send(Err(error));
            return;
        }
        if opened.send(Ok(self.committed_revision())).is_ok() {
            self.serve(&operations, &cut);
        }
        self.roll_back();
        self.detach_all();
    }

    fn serve(&mut self, operations: &Receiver<Operation>, cut: &OnceLock<Error>) {
        let deadline = Instant::now() + self.config.transaction_timeout;
        let idle = self.config.transaction_idle_timeout;
        let mut writes = false;
        let mut idle_until = Instant::now() + idle;
        loop {
            let now = Instant::now();
            // Asked before each operation, for one may be waiting already: a session that keeps sending must not hold up
            // the daemon's end, and COMMIT must not come after the news that the time was up.
            let end = match now {
                // The daemon is about to end, and has waited for this transaction as long as it was told to.
                _ if self.is_closing() => Some(shutting_down()),
                _ if now >= deadline => Some(Interruption::TransactionTime.error()),
                _ if now >= idle_until => Some(idle_too_long(idle)),
                _ => None,
            };
            if let Some(error) = end {
                tracing::warn!(%error, "cut a session's transaction");
                let _ = cut.set(error);
                return;
            }
            let wait = (idle_until.min(deadline) - now).min(CLOSING_LOOK);
            let operation = match operations.recv_timeout(wait) {
                Ok(operation) => operation,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => continue,
            };
            match operation {
                Operation::Execute { batch, cancel, reply } => {
                    let outcome = self.execute(batch, cancel, deadline);
                    let is_lost = !self.is_open();
                    if is_lost {
                        let _ = cut.set(lost(outcome.as_ref().err()));
                    }
                    let outcome = outcome.map(|(answer, wrote)| {
                        writes |= wrote;
                        answer
                    });
                    let _ = reply.send(outcome);
                    if is_lost {
                        return;
                    }
                }
                Operation::Query { statement, cancel, mut sink, reply } => {
                    let outcome = self.query(&statement, &cancel, deadline, &mut *sink);
                    let is_lost = !self.is_open();
                    if is_lost {
                        let _ = cut.set(lost(outcome.as_ref().err()));
                    }
                    let _ = reply.send(outcome);
                    if is_lost {
                        return;
                    }
                }
                Operation::Commit { reply } => {
                    let revision = self.committed_revision() + u64::from(writes);
                    let outcome = self.commit(revision);
                    if let Err(error) = &outcome {
                        tracing::warn!(%error, "a session's commit failed; its transaction is rolled back");
                        if error.kind == Kind::DataLoss || error.kind == Kind::Exhausted {
                            self.give_up_connection();
                        }
                    }
                    self.roll_back();
                    let _ = reply.send(outcome.map(|()| revision));
                    return;
                }
                Operation::Rollback { reply } => {
                    self.roll_back();
                    let _ = reply.send(Ok(()));
                    return;
                }
            }
            idle_until = Instant::now() + idle;
        }
    }

    fn execute(&mut self, batch: Batch, cancel: Cancel, deadline: Instant) -> Result<(Answer, bool), Error> {
        let terms = Terms {
            access: Access::Alone,
            checks_deferred_keys: false,
            revision: 0,
            max_answer_bytes: self.config.max_answer_bytes,
            limit: Some((deadline, Interruption::TransactionTime)),
            condemned: &[],
        };
        let (reply, _) = oneshot::channel();
        match self.run_batch(&Job { batch, cancel, reply, _bytes: None }, &terms) {
            Outcome::Done(done) => Ok((done.answer, done.writes)),
            Outcome::Failed(error) | Outcome::TransactionLost(_, error) => Err(error),
            Outcome::Needs(_) => Err(Error::new(
                Kind::Precondition,
                "OUTSIDE_TRANSACTION",
                "the statement cannot run inside a transaction; send it as a batch of its own, outside of one",
            )),
            Outcome::TooLong => Err(Interruption::TransactionTime.error()),
        }
    }

    fn query(
        &mut self,
        statement: &Statement,
        cancel: &Cancel,
        deadline: Instant,
        sink: &mut dyn RowSink,
    ) -> Result<(), Error> {
        let connection = self.connection()?;
        connection.watch.begin(cancel, Some((deadline, Interruption::TransactionTime)));
        // The sink is the service's; what goes wrong in it must not end the writer.
        let run = || run::run(connection, statement, Access::Read, sink);
        let Ok(outcome) = catch_unwind(AssertUnwindSafe(run)) else {
            self.give_up_connection();
            return Err(Error::internal("running a query in a transaction (a panic)"));
        };
        connection.watch.end();
        match outcome {
            Ok(_) => Ok(()),
            Err(Stop::Failed(error)) => Err(error.at(0)),
            Err(Stop::Needs(access)) => Err(run::not_for_readers(access)),
        }
    }
}

fn idle_too_long(idle: Duration) -> Error {
    Error::new(
        Kind::Aborted,
        "TRANSACTION_IDLE",
        format!(
            "the transaction was rolled back because no request came for {idle:?} (--transaction-idle-timeout); everybody \
             else's writes wait for it"
        ),
    )
}

fn lost(cause: Option<&Error>) -> Error {
    let cause = cause.map_or_else(String::new, |error| format!(": {}", error.message));
    Error::new(
        Kind::Aborted,
        "TRANSACTION_LOST",
        format!("the transaction was rolled back as a whole by an earlier statement{cause}; begin a new one"),
    )
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Operation")
    }
}
