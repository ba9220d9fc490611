//! A session: many requests on one stream, run and answered in their order, and transactions over several of them.
//!
//! There is no task behind it: whoever polls the stream of answers (the connection) does the session's work. So a client
//! that takes no answers has no requests run, and one that goes away takes everything with it.

mod request;
mod transaction;

use std::{collections::VecDeque, sync::Arc, time::Instant};

use futures_util::future::BoxFuture;
use skylinedb::proto::v1::{self as proto, session_request::Request as RequestKind, session_response::Response};
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Status, Streaming};

use super::{Service, dispatch, query::RowChunks, status, translate};
use crate::{
    engine::{CancelOnDrop, Error, Interruption, PendingAnswer, shutting_down},
    lifecycle::Work,
};
use request::{Action, Request};
use transaction::Transaction;

/// Requests of a session that are taken from the connection before they are run; so many batches, too, may be with the
/// writer at once, so that they share its commits.
const MAX_TAKEN: usize = 256;

/// The state of one session. A request goes from `taken` to `pending` if it is for the writer, and otherwise, once nothing
/// is pending, to `running`.
pub(super) struct Session {
    service: Service,
    requests: Streaming<proto::SessionRequest>,
    /// Whether the client has sent its last request.
    is_complete: bool,
    /// Requests as they came, with the time of their arrival.
    taken: VecDeque<(Instant, proto::SessionRequest)>,
    /// What is answered next: batches that are with the writer, and what is known to fail.
    pending: VecDeque<Pending>,
    /// A request that must wait until the writer has done what is pending: it could not see it otherwise.
    held: Option<Request>,
    running: Option<Running>,
    transaction: Option<Transaction>,
    _permit: OwnedSemaphorePermit,
}

enum Pending {
    Answered(proto::SessionResponse),
    AtWriter { id: u64, answer: PendingAnswer, gone: Option<CancelOnDrop>, _work: Option<Work> },
}

/// The one request that is being run.
struct Running {
    id: u64,
    doing: Doing,
    gone: Option<CancelOnDrop>,
    work: Option<Work>,
}

enum Doing {
    Rows(RowChunks),
    Begin(BoxFuture<'static, Result<Transaction, Error>>),
    Other(BoxFuture<'static, Result<Response, Error>>),
}

/// What a session has waited for.
enum Event {
    Answer(proto::SessionResponse),
    Request(Option<proto::SessionRequest>),
    Idle,
}

impl Session {
    pub(super) fn new(
        service: Service,
        requests: Streaming<proto::SessionRequest>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            service,
            requests,
            is_complete: false,
            taken: VecDeque::new(),
            pending: VecDeque::new(),
            held: None,
            running: None,
            transaction: None,
            _permit: permit,
        }
    }

    /// The next answer; `None` when all is answered and the client has ended the stream.
    pub(super) async fn next(&mut self) -> Option<Result<proto::SessionResponse, Status>> {
        let cut = self.service.lifecycle.cut().clone();
        if let Some(answer) = cut.run_until_cancelled(self.next_answer()).await {
            return answer.transpose();
        }
        self.running = None;
        self.transaction = None;
        Some(Err(shutting_down().into()))
    }

    async fn next_answer(&mut self) -> Result<Option<proto::SessionResponse>, Status> {
        loop {
            self.advance().await;
            let is_idle = self.running.is_none() && self.pending.is_empty();
            if is_idle && self.is_complete {
                return Ok(None);
            }
            match self.event(is_idle).await? {
                Event::Answer(answer) => return Ok(Some(answer)),
                Event::Request(Some(proto::SessionRequest { request: Some(RequestKind::Cancel(cancel)), .. })) => {
                    self.cancel(cancel.id);
                }
                Event::Request(Some(request)) => self.taken.push_back((Instant::now(), request)),
                Event::Request(None) => self.is_complete = true,
                Event::Idle => self.transaction.iter_mut().for_each(Transaction::cut_as_idle),
            }
        }
    }

    /// Brings the requests that were taken as far as they can go now.
    async fn advance(&mut self) {
        while self.running.is_none() && self.held.is_none() && self.pending.len() < MAX_TAKEN {
            let Some((arrival, request)) = self.taken.pop_front() else { break };
            let id = request.id;
            match Request::accept(request, arrival, &self.service, self.transaction.is_some()) {
                Ok(Request { action: Action::Write(batch), cancel, work, .. }) => {
                    let gone = Some(cancel.on_drop());
                    self.pending.push_back(match self.service.database.submit(batch, cancel).await {
                        Ok(answer) => Pending::AtWriter { id, answer, gone, _work: work },
                        Err(error) => Pending::Answered(response(id, Err(error))),
                    });
                }
                Ok(request) => match self.answer_now(&request) {
                    Some(answer) => self.pending.push_back(Pending::Answered(response(id, answer))),
                    None => self.held = Some(request),
                },
                Err(error) => self.pending.push_back(Pending::Answered(response(id, Err(error)))),
            }
            self.run_held();
        }
        self.run_held();
    }

    /// The answer to a read that is short and need not wait for anything.
    fn answer_now(&self, request: &Request) -> Option<Result<Response, Error>> {
        if self.transaction.is_some() || !self.pending.iter().all(|one| matches!(one, Pending::Answered(_))) {
            return None;
        }
        let (service, cancel) = (&self.service, &request.cancel);
        match &request.action {
            Action::Execute(batch) => {
                let result = service.database.read_now(batch, cancel)?;
                Some(result.map(|result| Response::Execute(translate::execute_response(result))))
            }
            Action::Query(statement) => Some(service.query_now(statement, cancel)?.map(Response::Query)),
            Action::Ping(request) => Some(service.pong(request).map(Response::Ping)),
            _ => None,
        }
    }

    fn run_held(&mut self) {
        if self.running.is_none() && self.pending.is_empty() {
            self.running = self.held.take().map(|request| self.run(request));
        }
    }

    /// Waits for what comes first: the next answer, another request, or the end of patience with a session that is idle.
    async fn event(&mut self, is_idle: bool) -> Result<Event, Status> {
        let takes_more = !self.is_complete && self.taken.len() < MAX_TAKEN;
        // An open transaction is work in hand: it may be brought to its end.
        let may_end = is_idle && self.transaction.is_none();
        let idle_limit =
            self.transaction.as_ref().filter(|_| is_idle).and_then(|one| one.idle_limit(&self.service.limits));
        tokio::select! {
            biased;
            answer = answer(&mut self.running, &mut self.pending, &mut self.transaction), if !is_idle => {
                Ok(Event::Answer(answer))
            }
            request = self.requests.message(), if takes_more => {
                let limit = self.service.limits.message_bytes;
                Ok(Event::Request(request.map_err(|status| dispatch::in_own_words(status, limit))?))
            }
            () = self.service.lifecycle.draining().cancelled(), if may_end => Err(shutting_down().into()),
            () = tokio::time::sleep(idle_limit.unwrap_or_default()), if idle_limit.is_some() => Ok(Event::Idle),
        }
    }

    /// Gives up a request that is not answered yet.
    fn cancel(&mut self, id: u64) {
        if let Some(running) = self.running.as_mut().filter(|running| running.id == id) {
            running.gone = None;
        }
        for pending in &mut self.pending {
            match pending {
                Pending::AtWriter { id: at_writer, gone, .. } if *at_writer == id => *gone = None,
                _ => {}
            }
        }
        if let Some(held) = self.held.as_ref().filter(|held| held.id == id) {
            drop(held.cancel.on_drop());
        }
        for (_, taken) in self.taken.iter_mut().filter(|(_, taken)| taken.id == id) {
            taken.request = Some(RequestKind::Cancel(proto::CancelRequest { id }));
        }
    }

    /// Runs a request that is not simply for the writer.
    fn run(&mut self, request: Request) -> Running {
        let Request { id, cancel, work, action } = request;
        let gone = Some(cancel.on_drop());
        let service = &self.service;
        let doing = match action {
            Action::Query(statement) => match &self.transaction {
                None => Doing::Rows(service.query_rows(statement, &cancel)),
                Some(transaction) => transaction.query(service, statement, &cancel),
            },
            Action::Execute(batch) | Action::Write(batch) => match &self.transaction {
                None => {
                    let service = service.clone();
                    Doing::other(async move { service.execute_batch(batch, cancel).await.map(Response::Execute) })
                }
                Some(transaction) => Doing::other(transaction.execute(batch, cancel)),
            },
            Action::Begin(_) if self.transaction.is_some() => Doing::known(Err(transaction::already_open())),
            Action::Begin(kind) => {
                Doing::Begin(Box::pin(Transaction::begin(Arc::clone(&service.database), kind, cancel)))
            }
            Action::Commit => Doing::other(transaction::commit(self.transaction.take())),
            Action::Rollback => Doing::other(transaction::roll_back(self.transaction.take())),
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

    fn known(outcome: Result<Response, Error>) -> Self {
        Self::other(std::future::ready(outcome))
    }
}

/// The next answer, of what is running or else of what is pending first. It may be given up at any point and asked for
/// again.
async fn answer(
    running: &mut Option<Running>,
    pending: &mut VecDeque<Pending>,
    transaction: &mut Option<Transaction>,
) -> proto::SessionResponse {
    if let Some(one) = running {
        let id = one.id;
        let answer = match &mut one.doing {
            Doing::Rows(chunks) => match chunks.next().await {
                Ok(Some(chunk)) => {
                    return proto::SessionResponse { more: true, ..response(id, Ok(Response::Query(chunk))) };
                }
                Ok(None) => Ok(Response::Query(proto::QueryResponse::default())),
                Err(error) => Err(error),
            },
            Doing::Begin(begun) => begun.await.map(|begun| {
                let revision = begun.revision();
                *transaction = Some(begun.with_work(one.work.take()));
                Response::Begin(proto::BeginResponse { revision })
            }),
            Doing::Other(done) => done.await,
        };
        *running = None;
        return response(id, answer);
    }
    let answer = match pending.front_mut() {
        Some(Pending::AtWriter { id, answer, .. }) => {
            let answer = translate::answer(answer.await.unwrap_or_else(|_| Err(shutting_down())));
            response(*id, answer.map(Response::Execute))
        }
        Some(Pending::Answered(answer)) => std::mem::take(answer),
        None => std::future::pending().await,
    };
    pending.pop_front();
    answer
}

fn response(id: u64, answer: Result<Response, Error>) -> proto::SessionResponse {
    let answer = answer.unwrap_or_else(|error| Response::Error(status::message(error)));
    proto::SessionResponse { id, more: false, response: Some(answer) }
}
