//! A session's request, translated and taken on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use skylinedb::proto::v1::{self as proto, TransactionKind, session_request::Request as Kinds};
use skylinedb_engine::{Batch, Cancel, Error, Kind, Route, Statement};

use super::super::{Service, messages::Arrival};
use crate::lifecycle::Work;

/// A request that may be run.
pub(super) struct Request {
    pub(super) id: u64,
    /// Whether it is as a call of its own.
    pub(super) independent: bool,
    pub(super) cancel: Cancel,
    /// `None` within a transaction, which is work in hand itself.
    pub(super) work: Option<Work>,
    pub(super) action: Action,
}

/// What a request asks for.
pub(super) enum Action {
    /// A batch for the writer, outside of a transaction.
    Write(Batch),
    /// Any other batch.
    Execute(Batch, Route),
    Query(Statement),
    Begin(TransactionKind),
    Commit,
    Rollback,
    Ping(proto::PingRequest),
    /// The request was given up before it was accepted.
    Cancelled,
}

impl Request {
    /// Translates a request and takes it on.
    pub(super) fn accept(
        request: proto::SessionRequest,
        arrival: Arrival,
        time: Instant,
        client: Option<Arc<str>>,
        service: &Service,
        in_transaction: bool,
    ) -> Result<Self, Error> {
        let in_transaction = in_transaction && !request.independent;
        let deadline = match request.timeout_ms {
            0 => None,
            milliseconds => time.checked_add(Duration::from_millis(milliseconds.into())),
        };
        let work = if in_transaction { None } else { Some(service.begin_work()?) };
        let kind = request.request.ok_or_else(|| {
            Error::new(Kind::Invalid, "NO_REQUEST", "the message has no request that this daemon knows; set one")
        })?;
        let action = match kind {
            Kinds::Execute(request) => {
                let batch = service.batch(request, arrival)?;
                match in_transaction {
                    true if batch.request.is_some() => {
                        return Err(Error::new(
                            Kind::Invalid,
                            "REQUEST_ID_IN_TRANSACTION",
                            "a batch within a transaction cannot have a request_id: whether it is kept is for COMMIT to say",
                        ));
                    }
                    true => Action::Execute(batch, Route::Pool),
                    false => match service.database.route(&batch) {
                        Route::Writer => Action::Write(batch),
                        route => Action::Execute(batch, route),
                    },
                }
            }
            Kinds::Query(request) => Action::Query(service.query_statement(request, arrival)?),
            Kinds::Begin(request) => {
                service.check_database(&request.database)?;
                Action::Begin(match TransactionKind::try_from(request.kind) {
                    Ok(kind) => kind,
                    Err(_) => {
                        return Err(Error::new(
                            Kind::Invalid,
                            "UNKNOWN_TRANSACTION_KIND",
                            format!("there is no transaction kind {}", request.kind),
                        ));
                    }
                })
            }
            Kinds::Commit(_) => Action::Commit,
            Kinds::Rollback(_) => Action::Rollback,
            Kinds::Ping(request) => Action::Ping(request),
            Kinds::Cancel(_) => Action::Cancelled,
        };
        if request.independent && matches!(action, Action::Begin(_) | Action::Commit | Action::Rollback) {
            return Err(Error::new(
                Kind::Invalid,
                "NOT_INDEPENDENT",
                "a transaction is the session's: begin, commit and rollback cannot be independent",
            ));
        }
        Ok(Self {
            id: request.id,
            independent: request.independent,
            cancel: Cancel::of(client, deadline),
            work,
            action,
        })
    }
}
