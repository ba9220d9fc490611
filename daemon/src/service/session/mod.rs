//! A session: many requests on one stream, run and answered in their order, and transactions over several of them.
//!
//! There is no task behind it: whoever polls the stream of answers (the connection) does the session's work. So a client
//! that takes no answers has no requests run, and one that goes away takes everything with it.

mod independent;
mod ordered;
mod request;
mod transaction;

use std::{collections::VecDeque, sync::Arc, time::Instant};

use futures_util::FutureExt as _;
use skylinedb::proto::v1::{self as proto, session_request::Request as RequestKind, session_response::Response};
use skylinedb_engine::{Error, Interruption, ShortReads, shutting_down};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::{
    Service, dispatch,
    messages::{self, Arrival},
    query::OneChunk,
    status::{self, grpc_status},
    translate,
};
use independent::Independent;
use ordered::Ordered;
use request::{Action, Request};

/// Requests of a session that are taken from the connection before they are run; so many batches, too, may be with the
/// writer at once, so that they share its commits.
const MAX_TAKEN: usize = 256;

/// What the requests that are taken may take of the memory; a single one may be larger.
const MAX_TAKEN_BYTES: usize = 256 << 10;

/// How much of large answers may wait until the client takes them, before further short reads are run.
const MAX_READY_BYTES: usize = 1 << 20;

/// Reads that are run one after the other before the connection gets its turn again: some 100 µs.
const MAX_READS_AT_ONCE: usize = 32;

/// The state of one session. A request that was taken is answered at once if it is a short read that need not wait.
/// Otherwise it is for `ordered` or, if the client has said so, for `independent`.
pub(super) struct Session {
    service: Service,
    requests: Streaming<proto::SessionRequest>,
    /// Whether the client has sent its last request, or one that cannot be read.
    is_complete: bool,
    /// Why no further request can be read. Said last: what is with the writer may be committed at this moment, and the client
    /// must not take this for its answer.
    broken: Option<Status>,
    /// When the daemon drains, and when it gives up waiting for what is in hand. The session's own: it looks with every answer, and
    /// all sessions would look at one lock.
    draining: CancellationToken,
    cut: CancellationToken,
    /// Whether it has.
    is_cut: bool,
    /// Requests as they came, with the time of their arrival.
    taken: VecDeque<(Instant, Arrival, proto::SessionRequest)>,
    taken_bytes: usize,
    /// A request that was accepted but cannot go further yet.
    held: Option<Request>,
    ordered: Ordered,
    independent: Independent,
    /// Whose session it is.
    client: Option<Arc<str>>,
    /// Answers that are to be sent.
    ready: VecDeque<proto::SessionResponse>,
    _permit: OwnedSemaphorePermit,
}

/// What a session has waited for.
enum Event {
    Answer(proto::SessionResponse),
    Request(Result<Option<proto::SessionRequest>, Status>),
    Idle,
}

impl Session {
    pub(super) fn new(
        service: Service,
        requests: Streaming<proto::SessionRequest>,
        permit: OwnedSemaphorePermit,
        client: Option<Arc<str>>,
    ) -> Self {
        let (draining, cut) = (service.lifecycle.draining().child_token(), service.lifecycle.cut().child_token());
        Self {
            service,
            requests,
            is_complete: false,
            broken: None,
            draining,
            cut,
            is_cut: false,
            taken: VecDeque::new(),
            taken_bytes: 0,
            held: None,
            ordered: Ordered::default(),
            independent: Independent::default(),
            client,
            ready: VecDeque::new(),
            _permit: permit,
        }
    }

    /// The next answer; `None` when all is answered and the client has ended the stream.
    pub(super) async fn next(&mut self) -> Option<Result<proto::SessionResponse, Status>> {
        if let Some(answer) = self.ready.pop_front() {
            return Some(Ok(answer));
        }
        if !self.is_cut {
            let cut = self.cut.clone();
            if let Some(answer) = cut.run_until_cancelled(self.next_answer()).await {
                return answer.transpose();
            }
            self.is_cut = true;
            self.ordered.give_up(Interruption::ShuttingDown);
            self.independent.give_up(Interruption::ShuttingDown);
        }
        // What is with the writer may be committed at this moment: its answers are waited for, and they come soon.
        if !self.independent.is_empty() {
            return Some(Ok(self.independent.next().await));
        }
        if !self.ordered.is_idle() {
            return Some(Ok(self.ordered.next().await));
        }
        self.ordered = Ordered::default();
        Some(Err(grpc_status(shutting_down())))
    }

    async fn next_answer(&mut self) -> Result<Option<proto::SessionResponse>, Status> {
        loop {
            self.advance();
            if let Some(answer) = self.ready.pop_front() {
                return Ok(Some(answer));
            }
            let is_idle = self.ordered.is_idle() && self.independent.is_empty();
            if is_idle && self.is_complete {
                return self.broken.take().map_or(Ok(None), Err);
            }
            match self.event(is_idle).await? {
                Event::Answer(answer) => return Ok(Some(answer)),
                Event::Request(request) => {
                    self.take(request);
                    self.take_what_has_come();
                }
                Event::Idle => self.ordered.cut_as_idle(),
            }
        }
    }

    /// Waits for what comes first: an answer, another request, or the end of patience with a session that is idle.
    async fn event(&mut self, is_idle: bool) -> Result<Event, Status> {
        let takes_more = self.takes_more();
        // An open transaction is work in hand: it may be brought to its end.
        let may_end = is_idle && !self.ordered.is_in_transaction();
        let idle_limit = if is_idle { self.ordered.idle_limit(&self.service.limits) } else { None };
        tokio::select! {
            biased;
            answer = self.independent.next(), if !self.independent.is_empty() => Ok(Event::Answer(answer)),
            answer = self.ordered.next(), if !self.ordered.is_idle() => Ok(Event::Answer(answer)),
            request = self.requests.message(), if takes_more => Ok(Event::Request(request)),
            () = self.draining.cancelled(), if may_end => Err(grpc_status(shutting_down())),
            () = tokio::time::sleep(idle_limit.unwrap_or_default()), if idle_limit.is_some() => Ok(Event::Idle),
        }
    }

    fn takes_more(&self) -> bool {
        !self.is_complete && self.taken.len() < MAX_TAKEN && self.taken_bytes < MAX_TAKEN_BYTES
    }

    /// Takes the requests that are there without waiting, so that short reads can share a snapshot.
    fn take_what_has_come(&mut self) {
        while self.takes_more()
            && let Some(request) = self.requests.message().now_or_never()
        {
            self.take(request);
        }
    }

    fn take(&mut self, request: Result<Option<proto::SessionRequest>, Status>) {
        match request {
            Err(status) => {
                self.broken = Some(dispatch::in_own_words(status, self.service.limits.message_bytes));
                self.is_complete = true;
            }
            Ok(None) => self.is_complete = true,
            Ok(Some(proto::SessionRequest { request: Some(RequestKind::Cancel(cancel)), .. })) => {
                self.cancel(cancel.id);
            }
            Ok(Some(request)) => {
                let arrival = messages::take_arrival();
                self.taken_bytes += arrival.memory_bytes;
                self.taken.push_back((Instant::now(), arrival, request));
            }
        }
    }

    /// Gives up a request that is not answered yet.
    fn cancel(&mut self, id: u64) {
        self.ordered.cancel(id);
        self.independent.cancel(id);
        if let Some(held) = self.held.as_ref().filter(|held| held.id == id) {
            drop(held.cancel.on_drop());
        }
        for (.., taken) in self.taken.iter_mut().filter(|(.., taken)| taken.id == id) {
            taken.request = Some(RequestKind::Cancel(proto::CancelRequest { id }));
        }
    }

    /// Brings the requests that were taken as far as they can go now.
    fn advance(&mut self) {
        loop {
            self.answer_short_reads();
            let Some(request) = self.held.take() else { return };
            let stays = if request.independent {
                self.independent.start(&self.service, request)
            } else {
                self.ordered.start(&self.service, request)
            };
            if stays.is_some() {
                self.held = stays;
                return;
            }
        }
    }

    /// Accepts requests and answers them, up to the first that is no short read, or has to wait; that one is held.
    fn answer_short_reads(&mut self) {
        let mut reads = self.service.database.short_reads();
        for _ in 0..MAX_READS_AT_ONCE {
            // What is running may open or end the transaction, and so decides what a request in order is.
            let waits = |request: &proto::SessionRequest| !request.independent && self.ordered.is_running();
            if self.held.is_some()
                || self.ready.len() >= MAX_TAKEN
                || messages::made_bytes() >= MAX_READY_BYTES
                || self.taken.front().is_none_or(|(.., request)| waits(request))
            {
                return;
            }
            let Some((time, mut arrival, request)) = self.taken.pop_front() else { return };
            self.taken_bytes -= arrival.memory_bytes;
            let (id, may_be_answered) = (request.id, request.independent || self.ordered.may_answer());
            let client = self.client.clone();
            let accepted = if let Some(refused) = arrival.refused.take() {
                Err(refused)
            } else {
                Request::accept(request, arrival, time, client, &self.service, self.ordered.is_in_transaction())
            };
            let answer = match accepted {
                Err(error) => Some(Err(error)),
                Ok(request) => {
                    let now = if may_be_answered {
                        answer_now(&self.service, &mut reads, &request, self.taken.is_empty())
                    } else {
                        None
                    };
                    if now.is_none() {
                        self.held = Some(request);
                    }
                    now
                }
            };
            match answer {
                None => return,
                Some(answer) if may_be_answered => self.ready.push_back(response(id, answer)),
                Some(answer) => self.ordered.answer_later(response(id, answer)),
            }
        }
    }
}

/// The answer to a request that is short.
fn answer_now(
    service: &Service,
    reads: &mut ShortReads<'_>,
    request: &Request,
    is_last: bool,
) -> Option<Result<Response, Error>> {
    match &request.action {
        Action::Execute(batch, route) => {
            let result = reads.batch(batch, *route, &request.cancel, is_last)?;
            Some(result.map(|result| Response::Execute(translate::execute_response(result))))
        }
        Action::Query(statement) => {
            Some(OneChunk::answer(reads, statement, &request.cancel, is_last)?.map(Response::Query))
        }
        Action::Ping(request) => Some(service.pong(request).map(Response::Ping)),
        _ => None,
    }
}

fn response(id: u64, answer: Result<Response, Error>) -> proto::SessionResponse {
    let answer = answer.unwrap_or_else(|error| Response::Error(status::message(error)));
    proto::SessionResponse { id, more: false, response: Some(answer) }
}
