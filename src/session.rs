//! Sessions: many requests on one stream, and transactions over several of them.

use std::{sync::Arc, time::Duration};

use crate::{
    client::Pong,
    error::Error,
    params::Params,
    pipeline::{self, Pipeline, Place},
    proto::v1::{self as proto, session_request::Request, session_response::Response},
    result::{BatchResult, StatementResult},
    rows::Rows,
    statement::{Batch, Statement},
};

/// A session. Its requests are run and answered in their order, and each sees what those before it have written; they can
/// be sent without waiting for each other, by futures that are polled together. When it is dropped, an open transaction is
/// rolled back.
#[derive(Debug)]
pub struct Session {
    pipeline: Arc<Pipeline>,
    timeout: Option<Duration>,
}

/// What a transaction may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionKind {
    /// Reads of one unchanging snapshot; others go on writing meanwhile.
    Read,
    /// Reads and writes. Everybody else's writes wait until it ends; therefore the daemon cuts it when it is idle for 5 s
    /// or lasts for 60 s (unless it was told otherwise).
    Write,
}

/// An open transaction of a session. Dropping it without [`commit`](Transaction::commit) rolls it back.
#[derive(Debug)]
pub struct Transaction<'s> {
    session: &'s mut Session,
    revision: u64,
    is_over: bool,
}

impl Session {
    pub(crate) fn new(pipeline: Arc<Pipeline>, timeout: Option<Duration>) -> Self {
        Self { pipeline, timeout }
    }

    /// Runs one statement, read or write, in a transaction of its own.
    pub async fn execute(&self, sql: impl Into<String>, params: Params) -> Result<StatementResult, Error> {
        self.execute_batch(Batch::new().push(Statement::new(sql, params))).await?.into_single()
    }

    /// Runs a batch in a transaction of its own, within the session's transaction if there is one.
    pub async fn execute_batch(&self, batch: Batch) -> Result<BatchResult, Error> {
        execute(&self.pipeline, batch.into_proto(), Place::InOrder, self.timeout).await
    }

    /// Runs one statement that reads, and streams its rows. Later requests of the session are answered only when all rows
    /// are taken or given up: whoever waits for one of them must not be the one who is to take the rows.
    pub async fn query(&self, sql: impl Into<String>, params: Params) -> Result<Rows<'static>, Error> {
        let request = query(sql, params);
        pipeline::within(self.timeout, async {
            Rows::of_session(self.pipeline.ask_for_rows(request, self.timeout).await?).await
        })
        .await
    }

    /// Asks the daemon who it is.
    pub async fn ping(&self) -> Result<Pong, Error> {
        match self.pipeline.ask(Request::Ping(proto::PingRequest::default()), Place::InOrder, self.timeout).await? {
            Response::Ping(pong) => Ok(Pong::from_proto(pong)),
            _ => Err(unexpected("ping")),
        }
    }

    /// Opens a transaction.
    pub async fn transaction(&mut self, kind: TransactionKind) -> Result<Transaction<'_>, Error> {
        let kind = match kind {
            TransactionKind::Read => proto::TransactionKind::Read,
            TransactionKind::Write => proto::TransactionKind::Write,
        };
        let begin = proto::BeginRequest { database: String::new(), kind: kind.into() };
        // It is there before the answer is: whoever gives up waiting must not leave a transaction open that he does not know
        // of, because what he does next would be lost with it.
        let mut transaction = Transaction { session: self, revision: 0, is_over: false };
        match transaction
            .session
            .pipeline
            .ask(Request::Begin(begin), Place::InOrder, transaction.session.timeout)
            .await?
        {
            Response::Begin(opened) => {
                transaction.revision = opened.revision;
                Ok(transaction)
            }
            _ => Err(unexpected("begin")),
        }
    }
}

impl Transaction<'_> {
    /// The revision of the database that the transaction starts from.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Runs one statement. If it fails it is undone alone, and the transaction stays open.
    pub async fn execute(&mut self, sql: impl Into<String>, params: Params) -> Result<StatementResult, Error> {
        self.session.execute(sql, params).await
    }

    /// Runs a batch. If it fails it is undone alone, and the transaction stays open.
    pub async fn execute_batch(&mut self, batch: Batch) -> Result<BatchResult, Error> {
        self.session.execute_batch(batch).await
    }

    /// Runs one statement that reads and sees what the transaction has written. While there are rows to be taken, the
    /// transaction can do nothing else.
    pub async fn query(&mut self, sql: impl Into<String>, params: Params) -> Result<Rows<'_>, Error> {
        self.session.query(sql, params).await
    }

    /// Keeps what the transaction wrote. Returns the revision that it became: for a transaction without a write, the one
    /// that it started from.
    ///
    /// A commit that is given up while it is waited for may have been done or not; the transaction is over in any case.
    pub async fn commit(mut self) -> Result<u64, Error> {
        match self
            .session
            .pipeline
            .ask(Request::Commit(proto::CommitRequest {}), Place::InOrder, self.session.timeout)
            .await?
        {
            Response::Commit(committed) => {
                self.is_over = true;
                Ok(committed.revision)
            }
            _ => Err(unexpected("commit")),
        }
    }

    /// Undoes what the transaction wrote.
    pub async fn rollback(mut self) -> Result<(), Error> {
        match self
            .session
            .pipeline
            .ask(Request::Rollback(proto::RollbackRequest {}), Place::InOrder, self.session.timeout)
            .await?
        {
            Response::Rollback(_) => {
                self.is_over = true;
                Ok(())
            }
            _ => Err(unexpected("rollback")),
        }
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // After an error, too: the session's next request must not find the transaction open.
        if !self.is_over {
            self.session.pipeline.roll_back();
        }
    }
}

/// Runs a batch on a stream.
pub(crate) async fn execute(
    pipeline: &Pipeline,
    request: proto::ExecuteRequest,
    place: Place,
    timeout: Option<Duration>,
) -> Result<BatchResult, Error> {
    match pipeline.ask(Request::Execute(request), place, timeout).await? {
        Response::Execute(response) => Ok(BatchResult::from_proto(response)),
        _ => Err(unexpected("execute")),
    }
}

pub(crate) fn query(sql: impl Into<String>, params: Params) -> proto::QueryRequest {
    proto::QueryRequest { database: String::new(), statement: Some(Statement::new(sql, params).into_proto()) }
}

fn unexpected(what: &str) -> Error {
    Error::Protocol(format!("{what} was answered with something else"))
}
