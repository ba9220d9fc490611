//! A session's write transaction: it holds the writer until it commits, rolls back, goes away, or is cut because it
//! waits or lasts too long.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    super::{
        cancel::{Cancel, Interruption},
        error::{Error, Kind},
        run::{self, Access, RowSink, Stop},
        statement::{Answer, Batch, Statement},
    },
    batch::{Outcome, Terms},
    doubt::Verdict,
    operation::{Opening, Operation},
    reply::{Reply, writer_failed},
    shutting_down,
    thread::WriterThread,
    waiting::Task,
};

/// How long an open transaction may keep the writer from noticing that the daemon ends.
const CLOSING_LOOK: Duration = Duration::from_millis(100);

/// Has the session hear of a panic that ends its transaction.
struct CutByPanic(Arc<OnceLock<Error>>);

/// What a transaction has come to.
enum Next {
    /// Another operation.
    Operation,
    /// Its end.
    End,
}

impl WriterThread {
    /// Serves one session until its transaction is over.
    pub(super) fn transaction(&mut self, opening: Opening) {
        let Opening { operations, cut, opened } = opening;
        let _cut_by_panic = CutByPanic(Arc::clone(&cut));
        let cancel = opened.cancel().clone();
        if opened.is_closed() {
            return;
        }
        self.waiting.end(&cancel);
        if let Some(interruption) = cancel.interruption() {
            opened.send(Err(interruption.error()));
            return;
        }
        self.waiting.hold(Task::Begin, &cancel);
        if let Err(error) = self.begin() {
            opened.send(Err(error));
            return;
        }
        self.waiting.goes_on(Task::Transaction);
        if opened.send(Ok(self.committed_revision())) {
            self.serve(&operations, &cut, &cancel);
        }
        self.roll_back();
        self.detach_all();
    }

    fn serve(&mut self, operations: &Receiver<Operation>, cut: &OnceLock<Error>, session: &Cancel) {
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
                tracing::warn!(client = session.client(), %error, "cut a session's transaction");
                let _ = cut.set(error);
                return;
            }
            let wait = (idle_until.min(deadline) - now).min(CLOSING_LOOK);
            let operation = match operations.recv_timeout(wait) {
                Ok(operation) => operation,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => continue,
            };
            if let Some(operation) = operation.unless_given_up()
                && matches!(self.operate(operation, cut, deadline, &mut writes), Next::End)
            {
                return;
            }
            idle_until = Instant::now() + idle;
        }
    }

    fn operate(&mut self, operation: Operation, cut: &OnceLock<Error>, deadline: Instant, writes: &mut bool) -> Next {
        match operation {
            Operation::Execute { batch, reply } => {
                let outcome = self.execute(&batch, reply.cancel(), deadline).map(|(answer, wrote)| {
                    *writes |= wrote;
                    answer
                });
                self.answer(reply, outcome, cut)
            }
            Operation::Query { statement, mut sink, reply } => {
                let outcome = self.query(&statement, reply.cancel(), deadline, &mut *sink);
                self.answer(reply, outcome, cut)
            }
            Operation::Commit { reply } => {
                let outcome = self.commit_transaction(reply.cancel(), *writes);
                self.roll_back();
                reply.send(outcome);
                Next::End
            }
            Operation::Rollback { reply } => {
                self.roll_back();
                reply.send(Ok(()));
                Next::End
            }
        }
    }

    /// Answers an operation; the transaction may have ended by it.
    fn answer<T>(&self, reply: Reply<T>, outcome: Result<T, Error>, cut: &OnceLock<Error>) -> Next {
        let is_lost = !self.is_open();
        if is_lost {
            let _ = cut.set(lost(outcome.as_ref().err()));
        }
        reply.send(outcome);
        if is_lost { Next::End } else { Next::Operation }
    }

    fn execute(&mut self, batch: &Batch, cancel: &Cancel, deadline: Instant) -> Result<(Answer, bool), Error> {
        let terms = Terms {
            access: Access::Alone,
            is_sessions: true,
            revision: 0,
            max_answer_bytes: self.config.max_answer_bytes,
            limit: Some((deadline, Interruption::TransactionTime)),
            patience: None,
            kept: self.bounds.kept,
            condemned: &[],
        };
        match self.run_batch(batch, cancel, &terms) {
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

    fn commit_transaction(&mut self, cancel: &Cancel, writes: bool) -> Result<u64, Error> {
        cancel.begin_commit().map_err(Interruption::error)?;
        let revision = self.committed_revision() + u64::from(writes);
        self.waiting.goes_on(Task::Commit(1));
        let Err(failure) = self.commit(revision) else { return Ok(revision) };
        tracing::warn!(client = cancel.client(), error = %failure.error, "a session's commit failed");
        let verdict = self.judge(failure, revision);
        if let Verdict::Undone(_) = verdict {
            cancel.commit_undone();
        }
        Err(verdict.into_error())
    }
}

impl Drop for CutByPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.0.set(writer_failed(false));
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
