//! A session's side of its write transaction: what it has the writer do, one operation after the other.

use std::sync::{
    Arc, OnceLock,
    mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
};

use super::{
    super::{
        cancel::{Cancel, Interruption},
        error::{Error, Kind},
        run::RowSink,
        statement::{Answer, Batch, BatchResult, Statement},
    },
    reply::{self, Pending, Received, Reply},
    shutting_down,
};

/// Operations of one transaction that wait for the writer. A session sends the next one when the last one is answered; but
/// one that was given up is answered while the writer may still be at work on it.
const MAX_OPERATIONS: usize = 64;

/// The session's side of an open transaction. Dropping it rolls back.
#[derive(Debug)]
pub struct WriteTransaction {
    operations: SyncSender<Operation>,
    cut: Arc<OnceLock<Error>>,
    revision: u64,
}

/// A transaction in the writer's queue.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) operations: Receiver<Operation>,
    /// Why the transaction has ended, for the session to hear.
    pub(super) cut: Arc<OnceLock<Error>>,
    pub(super) opened: Reply<u64>,
}

/// What a session asks for within its transaction.
pub(super) enum Operation {
    Execute { batch: Batch, reply: Reply<Answer> },
    Query { statement: Statement, sink: Box<dyn RowSink + Send>, reply: Reply<()> },
    Commit { reply: Reply<u64> },
    Rollback { reply: Reply<()> },
}

/// A transaction's two ends, and the place where the news of its opening will arrive.
pub(super) fn open(cancel: Cancel) -> (WriteTransaction, Opening, Received<u64>) {
    let (sender, operations) = sync_channel(MAX_OPERATIONS);
    let cut = Arc::<OnceLock<Error>>::default();
    let (opened, news) = reply::channel(cancel, Some(Arc::clone(&cut)));
    let transaction = WriteTransaction { operations: sender, cut: Arc::clone(&cut), revision: 0 };
    (transaction, Opening { operations, cut, opened }, news)
}

impl WriteTransaction {
    /// Waits until the writer has come to this transaction.
    pub(super) async fn opened(mut self, news: Pending<u64>) -> Result<Self, Error> {
        self.revision = news.await?;
        Ok(self)
    }

    /// The revision that the transaction starts from.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Runs a batch in a savepoint of the transaction. As with all operations, the answer comes in time, though the writer may
    /// still be at work; then nothing of the batch is kept.
    pub async fn execute(&self, batch: Batch, cancel: Cancel) -> Result<BatchResult, Error> {
        match self.ask(cancel, |reply| Operation::Execute { batch, reply }).await? {
            Answer::Fresh(result) => Ok(result),
            Answer::Replayed(_) => Err(Error::internal("running a batch in a transaction: it has a stored answer")),
        }
    }

    /// Runs one statement that reads, and sees what the transaction has written.
    pub async fn query(
        &self,
        statement: Statement,
        cancel: Cancel,
        sink: Box<dyn RowSink + Send>,
    ) -> Result<(), Error> {
        self.ask(cancel, |reply| Operation::Query { statement, sink, reply }).await
    }

    /// Commits, once the operations before it have ended. Returns the revision that the transaction became. If it is given up
    /// before that, the transaction is rolled back.
    pub async fn commit(&self, cancel: Cancel) -> Result<u64, Error> {
        self.ask(cancel, |reply| Operation::Commit { reply }).await
    }

    /// Rolls back. One that was cut is rolled back already.
    pub async fn roll_back(&self, cancel: Cancel) -> Result<(), Error> {
        match self.ask(cancel, |reply| Operation::Rollback { reply }).await {
            Err(_) if self.cut.get().is_some() => Ok(()),
            outcome => outcome,
        }
    }

    async fn ask<T>(&self, cancel: Cancel, operation: impl FnOnce(Reply<T>) -> Operation) -> Result<T, Error> {
        let (reply, answer) = reply::channel(cancel, Some(Arc::clone(&self.cut)));
        match self.operations.try_send(operation(reply)) {
            Ok(()) => answer.in_time().await,
            Err(TrySendError::Full(_)) => Err(too_many_operations()),
            // The writer that has ended this transaction has said why before it let go of the other end.
            Err(TrySendError::Disconnected(_)) => Err(self.cut.get().cloned().unwrap_or_else(shutting_down)),
        }
    }
}

impl Operation {
    /// Gives the operation back unless it was given up while it waited; that is its answer then. A COMMIT stays: the
    /// transaction's end depends on it.
    pub(super) fn unless_given_up(self) -> Option<Self> {
        match self {
            Self::Execute { batch, reply } => still_wanted(reply).map(|reply| Self::Execute { batch, reply }),
            Self::Query { statement, sink, reply } => {
                still_wanted(reply).map(|reply| Self::Query { statement, sink, reply })
            }
            end @ (Self::Commit { .. } | Self::Rollback { .. }) => Some(end),
        }
    }
}

fn still_wanted<T>(reply: Reply<T>) -> Option<Reply<T>> {
    match reply.cancel().interruption().map(Interruption::error) {
        Some(error) => {
            reply.send(Err(error));
            None
        }
        None => Some(reply),
    }
}

fn too_many_operations() -> Error {
    Error::new(
        Kind::Exhausted,
        "TRANSACTION_BUSY",
        format!(
            "{MAX_OPERATIONS} requests of the transaction were given up and still wait for the writer, which is at work on \
             an earlier one; nothing of this one was run"
        ),
    )
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Operation")
    }
}
