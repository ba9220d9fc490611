//! A session's transaction: a snapshot of a reader's, or the writer itself.

use std::{sync::Arc, time::Duration};

use skylinedb::proto::v1::{self as proto, TransactionKind, session_response::Response};
use skylinedb_engine::{Batch, Cancel, Database, Error, Kind, Snapshot, Statement, WriteTransaction};

use super::{
    super::{Limits, ROWS_UNTAKEN, Service, query::Patience, translate},
    ordered::Doing,
};
use crate::lifecycle::Work;

/// An open transaction. Dropping it rolls back.
pub(super) struct Transaction {
    state: State,
    /// What the drain waits for.
    work: Option<Work>,
}

#[derive(Clone)]
enum State {
    Read(Arc<Snapshot>),
    Write(Arc<WriteTransaction>),
    /// Ended by the daemon for this reason, which every request gets until the client ends it, too.
    Cut(Error),
}

impl Transaction {
    /// Opens a transaction.
    pub(super) async fn begin(database: Arc<Database>, kind: TransactionKind, cancel: Cancel) -> Result<Self, Error> {
        let state = match kind {
            TransactionKind::Write => State::Write(Arc::new(database.begin_write(cancel).await?)),
            TransactionKind::Read | TransactionKind::Unspecified => {
                State::Read(Arc::new(database.begin_read(&cancel).await?))
            }
        };
        Ok(Self { state, work: None })
    }

    /// The same transaction, for which the drain waits.
    pub(super) fn with_work(self, work: Option<Work>) -> Self {
        Self { work, ..self }
    }

    /// The revision that it starts from.
    pub(super) fn revision(&self) -> u64 {
        match &self.state {
            State::Read(snapshot) => snapshot.revision(),
            State::Write(transaction) => transaction.revision(),
            State::Cut(_) => 0,
        }
    }

    /// How long it may wait for its next request; a write transaction's own limit is the writer's business.
    pub(super) fn idle_limit(&self, limits: &Limits) -> Option<Duration> {
        matches!(self.state, State::Read(_)).then_some(limits.snapshot_idle)
    }

    /// Ends it because no request came.
    pub(super) fn cut_as_idle(&mut self) {
        self.work = None;
        self.state = State::Cut(Error::new(
            Kind::Aborted,
            "TRANSACTION_IDLE",
            "the read transaction was ended because no request came for too long (--snapshot-idle-timeout): it keeps the \
             write-ahead log from shrinking",
        ));
    }

    /// Runs a batch in it.
    pub(super) fn execute(
        &self,
        database: Arc<Database>,
        batch: Batch,
        cancel: Cancel,
    ) -> impl Future<Output = Result<Response, Error>> + Send + 'static {
        let state = self.state.clone();
        async move {
            let result = match state {
                State::Read(snapshot) => snapshot.execute(batch, cancel).await?,
                State::Write(transaction) => {
                    let batch = database.look_at_long(batch, &cancel).await?;
                    transaction.execute(batch, cancel).await?
                }
                State::Cut(error) => return Err(error),
            };
            Ok(Response::Execute(translate::execute_response(result)))
        }
    }

    /// Starts a query in it.
    pub(super) fn query(&self, service: &Service, statement: Statement, cancel: &Cancel) -> Doing {
        let own = cancel.clone();
        match self.state.clone() {
            State::Read(snapshot) => {
                let waiting = Some(service.database.waiting_reads());
                let patience = Patience { untaken: ROWS_UNTAKEN, waiting };
                Doing::Rows(Service::rows(cancel, patience, service.ledger(), move |sink| async move {
                    snapshot.query(statement, own, sink).await
                }))
            }
            State::Write(transaction) => {
                // The writer waits for this client's taking of rows, as it waits for its next request: as long, too.
                let patience = Patience { untaken: service.database.transaction_idle_timeout(), waiting: None };
                let database = Arc::clone(&service.database);
                Doing::Rows(Service::rows(cancel, patience, service.ledger(), move |sink| async move {
                    let [statement] = database.look_at_long([statement], &own).await?;
                    transaction.query(statement, own, sink).await
                }))
            }
            State::Cut(error) => Doing::known(Err(error)),
        }
    }
}

/// Keeps what the transaction wrote.
pub(super) async fn commit(transaction: Option<Transaction>, cancel: Cancel) -> Result<Response, Error> {
    // It stays work in hand until its answer is known: the drain waits for that.
    let open = transaction.ok_or_else(none_open)?;
    let revision = match &open.state {
        State::Read(snapshot) => snapshot.revision(),
        State::Write(transaction) => transaction.commit(cancel).await?,
        State::Cut(error) => return Err(error.clone()),
    };
    Ok(Response::Commit(proto::CommitResponse { revision }))
}

/// Undoes what the transaction wrote.
pub(super) async fn roll_back(transaction: Option<Transaction>, cancel: Cancel) -> Result<Response, Error> {
    match transaction.map(|open| open.state) {
        Some(State::Read(_) | State::Cut(_)) => {}
        Some(State::Write(transaction)) => transaction.roll_back(cancel).await?,
        None => return Err(none_open()),
    }
    Ok(Response::Rollback(proto::RollbackResponse {}))
}

pub(super) fn already_open() -> Error {
    Error::new(
        Kind::Precondition,
        "TRANSACTION_OPEN",
        "the session has a transaction already; commit it or roll it back, or use another session",
    )
}

fn none_open() -> Error {
    Error::new(Kind::Precondition, "NO_TRANSACTION", "the session has no transaction; begin one first")
}
