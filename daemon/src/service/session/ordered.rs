//! Requests of a session that are run and answered in their order, and its transaction.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use skylinedb::proto::v1::{self as proto, session_response::Response};
use skylinedb_engine::{CancelOnDrop, Error, Interruption, PendingAnswer};

use super::{
    super::{Limits, Service, query::RowChunks, translate},
    MAX_TAKEN,
    request::{Action, Request},
    response,
    transaction::{self, Transaction},
};
use crate::lifecycle::Work;

/// What is under way, in order: first what is running, then what is pending.
#[derive(Default)]
pub(super) struct Ordered {
    /// The one request that is being run.
    running: Option<Running>,
    /// Batches that are with the writer, and answers that come after theirs.
    pending: VecDeque<Pending>,
    transaction: Option<Transaction>,
}

enum Pending {
    Answered(proto::SessionResponse),
    AtWriter { id: u64, answer: PendingAnswer, gone: Option<CancelOnDrop>, _work: Option<Work> },
}

struct Running {
    id: u64,
    doing: Doing,
    gone: Option<CancelOnDrop>,
    work: Option<Work>,
}

pub(super) enum Doing {
    Rows(RowChunks),
    Begin(BoxFuture<'static, Result<Transaction, Error>>),
    Other(BoxFuture<'static, Result<Response, Error>>),
}

impl Ordered {
    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none() && self.pending.is_empty()
    }

    /// Whether a request is being run that is not a batch for the writer.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether a request may be answered at once: it comes after all that is under way, and sees what they do.
    pub(super) fn may_answer(&self) -> bool {
        self.is_idle() && self.transaction.is_none()
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// How long the session may wait for its next request.
    pub(super) fn idle_limit(&self, limits: &Limits) -> Option<Duration> {
        self.transaction.as_ref().and_then(|transaction| transaction.idle_limit(limits))
    }

    /// Ends the transaction because no request came.
    pub(super) fn cut_as_idle(&mut self) {
        self.transaction.iter_mut().for_each(Transaction::cut_as_idle);
    }

    /// Puts an answer behind those that are still to come.
    pub(super) fn answer_later(&mut self, answer: proto::SessionResponse) {
        self.pending.push_back(Pending::Answered(answer));
    }

    /// Starts a request; gives it back if it has to wait until what is under way is done.
    pub(super) fn start(&mut self, service: &Service, request: Request) -> Option<Request> {
        if self.running.is_some() || self.pending.len() >= MAX_TAKEN {
            return Some(request);
        }
        match request {
            Request { id, action: Action::Write(batch), cancel, work, .. } => {
                let gone = Some(cancel.on_drop());
                let answer = service.database.submit(batch, cancel);
                self.pending.push_back(Pending::AtWriter { id, answer, gone, _work: work });
                None
            }
            // It would not see what the writer has yet to do.
            request if !self.pending.is_empty() => Some(request),
            request => {
                self.running = Some(self.run(service, request));
                None
            }
        }
    }

    /// Gives up a request.
    pub(super) fn cancel(&mut self, id: u64) {
        if let Some(running) = self.running.as_mut().filter(|running| running.id == id) {
            running.gone = None;
        }
        for pending in &mut self.pending {
            if let Pending::AtWriter { id: at_writer, gone, .. } = pending
                && *at_writer == id
            {
                *gone = None;
            }
        }
    }

    /// Gives up all that is under way, for a reason that is not its client's.
    pub(super) fn give_up(&mut self, reason: Interruption) {
        let running = self.running.iter_mut().map(|running| &mut running.gone);
        let pending = self.pending.iter_mut().filter_map(|pending| match pending {
            Pending::AtWriter { gone, .. } => Some(gone),
            Pending::Answered(_) => None,
        });
        running.chain(pending).filter_map(Option::take).for_each(|gone| gone.give_up(reason));
    }

    /// The next answer; never when idle. It may be given up at any point and asked for again.
    pub(super) async fn next(&mut self) -> proto::SessionResponse {
        if let Some(running) = &mut self.running {
            let id = running.id;
            let answer = match &mut running.doing {
                Doing::Rows(chunks) => match chunks.next().await {
                    Ok(Some(chunk)) => {
                        return proto::SessionResponse { more: true, ..response(id, Ok(Response::Query(chunk))) };
                    }
                    Ok(None) => Ok(Response::Query(proto::QueryResponse::default())),
                    Err(error) => Err(error),
                },
                Doing::Begin(begun) => begun.await.map(|begun| {
                    let revision = begun.revision();
                    self.transaction = Some(begun.with_work(running.work.take()));
                    Response::Begin(proto::BeginResponse { revision })
                }),
                Doing::Other(done) => done.await,
            };
            self.running = None;
            return response(id, answer);
        }
        let answer = match self.pending.front_mut() {
            Some(Pending::AtWriter { id, answer, .. }) => {
                let answer = translate::answer(answer.await);
                response(*id, answer.map(Response::Execute))
            }
            Some(Pending::Answered(answer)) => std::mem::take(answer),
            None => std::future::pending().await,
        };
        self.pending.pop_front();
        answer
    }

    fn run(&mut self, service: &Service, request: Request) -> Running {
        let Request { id, cancel, work, action, .. } = request;
        let gone = Some(cancel.on_drop());
        let doing = match action {
            Action::Query(statement) => match &self.transaction {
                None => Doing::Rows(service.query_rows(statement, &cancel)),
                Some(transaction) => transaction.query(service, statement, &cancel),
            },
            Action::Execute(batch, _) | Action::Write(batch) => match &self.transaction {
                None => {
                    let service = service.clone();
                    Doing::other(async move { service.execute_batch(batch, cancel).await.map(Response::Execute) })
                }
                Some(transaction) => Doing::other(transaction.execute(Arc::clone(&service.database), batch, cancel)),
            },
            Action::Begin(_) if self.transaction.is_some() => Doing::known(Err(transaction::already_open())),
            Action::Begin(kind) => {
                Doing::Begin(Box::pin(Transaction::begin(Arc::clone(&service.database), kind, cancel)))
            }
            Action::Commit => Doing::other(transaction::commit(self.transaction.take(), cancel)),
            Action::Rollback => Doing::other(transaction::roll_back(self.transaction.take(), cancel)),
            Action::Ping(request) => Doing::known(service.pong(&request).map(Response::Ping)),
            Action::Cancelled => Doing::known(Err(Interruption::ClientGone.error())),
        };
        Running { id, doing, gone, work }
    }
}

impl Doing {
    fn other(work: impl Future<Output = Result<Response, Error>> + Send + 'static) -> Self {
        Self::Other(Box::pin(work))
    }

    pub(super) fn known(outcome: Result<Response, Error>) -> Self {
        Self::other(std::future::ready(outcome))
    }
}
