//! One stream to the daemon that carries many requests: they are sent without waiting for each other, and answered in
//! their order. Sessions use it, and the client does so for ordinary calls.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::{
    connector::Grpc,
    endpoint::Endpoint,
    error::{DatabaseError, Error},
    proto::v1::{self as proto, session_request::Request, session_response::Response},
};

/// Requests that wait to be sent. Whoever wants to send more waits, too.
const WAITING_REQUESTS: usize = 1_024;

/// Parts of a query's answer that wait to be taken; then the daemon waits.
const WAITING_ROWS: usize = 2;

/// One stream.
#[derive(Debug)]
pub(crate) struct Pipeline {
    requests: mpsc::Sender<proto::SessionRequest>,
    state: Arc<State>,
    endpoint: Endpoint,
    next_id: AtomicU64,
}

/// A request's place in the stream. Dropping it before the answer is there has the daemon give the request up.
#[derive(Debug)]
struct Ticket<'p> {
    pipeline: &'p Pipeline,
    id: u64,
    is_answered: bool,
}

#[derive(Debug, Default)]
struct State {
    waiting: Mutex<Waiting>,
    /// Told when `Waiting::end` is set.
    ended: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Who waits for an answer, in the order of their requests.
    waiters: VecDeque<Waiter>,
    /// Why no more answers will come.
    end: Option<Status>,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    since: Instant,
    to: Recipient,
}

#[derive(Debug)]
enum Recipient {
    One(oneshot::Sender<Result<Response, Status>>),
    Rows(mpsc::Sender<Result<Response, Status>>),
    Nobody,
}

/// The answer to a query, part by part.
#[derive(Debug)]
pub(crate) struct Parts {
    answer: mpsc::Receiver<Result<Response, Status>>,
    pipeline: Arc<Pipeline>,
    id: u64,
    is_complete: bool,
}

impl Pipeline {
    /// Opens a stream.
    pub(crate) async fn open(mut grpc: Grpc, endpoint: Endpoint) -> Result<Self, Error> {
        let (requests, outgoing) = mpsc::channel(WAITING_REQUESTS);
        let answers = grpc.session(ReceiverStream::new(outgoing)).await;
        let answers = answers.map_err(|status| Error::from_status(&status, &endpoint))?.into_inner();
        let state = Arc::new(State::default());
        tokio::spawn(receive(answers, Arc::downgrade(&state)));
        Ok(Self { requests, state, endpoint, next_id: AtomicU64::new(1) })
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn ask(&self, request: Request, timeout: Option<Duration>) -> Result<Response, Error> {
        let (sender, answer) = oneshot::channel();
        let id = self.send(request, timeout, Recipient::One(sender)).await?;
        let mut ticket = Ticket { pipeline: self, id, is_answered: false };
        let answer = answer.await;
        ticket.is_answered = true;
        self.understand(answer.unwrap_or_else(|_| Err(Status::unavailable("the session has ended"))))
    }

    /// Sends a query; its answer comes in parts.
    pub(crate) async fn ask_for_rows(
        self: &Arc<Self>,
        request: proto::QueryRequest,
        timeout: Option<Duration>,
    ) -> Result<Parts, Error> {
        let (sender, answer) = mpsc::channel(WAITING_ROWS);
        let id = self.send(Request::Query(request), timeout, Recipient::Rows(sender)).await?;
        Ok(Parts { answer, pipeline: Arc::clone(self), id, is_complete: false })
    }

    /// Sends a request whose answer nobody waits for. Whether there was room for it.
    pub(crate) fn tell(&self, request: Request) -> bool {
        let Ok(permit) = self.requests.try_reserve() else { return false };
        self.send_by(permit, request, None, Recipient::Nobody).is_ok()
    }

    /// Whether no more answers will come.
    pub(crate) fn has_ended(&self) -> bool {
        self.state.waiting().end.is_some()
    }

    /// Requests that are not answered yet, and since when the first of them is waiting.
    pub(crate) fn load(&self) -> (usize, Option<Instant>) {
        let waiting = self.state.waiting();
        (waiting.waiters.len(), waiting.waiters.front().map(|waiter| waiter.since))
    }

    async fn send(&self, request: Request, timeout: Option<Duration>, to: Recipient) -> Result<u64, Error> {
        let Ok(permit) = self.requests.reserve().await else { return Err(self.error(&self.state.ended().await)) };
        self.send_by(permit, request, timeout, to).map_err(|status| self.error(&status))
    }

    fn send_by(
        &self,
        permit: mpsc::Permit<'_, proto::SessionRequest>,
        request: Request,
        timeout: Option<Duration>,
        to: Recipient,
    ) -> Result<u64, Status> {
        let timeout_ms = timeout.map_or(0, |timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX).max(1));
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        // Under one lock, so that requests and those who wait are in the same order.
        let mut waiting = self.state.waiting();
        if let Some(end) = &waiting.end {
            return Err(end.clone());
        }
        waiting.waiters.push_back(Waiter { id, since: Instant::now(), to });
        permit.send(proto::SessionRequest { id, timeout_ms, request: Some(request) });
        Ok(id)
    }

    /// Has the daemon give up a request. It is not answered itself.
    fn cancel(&self, id: u64) {
        let cancel =
            proto::SessionRequest { request: Some(Request::Cancel(proto::CancelRequest { id })), ..Default::default() };
        // If there is no room, the request is done or runs into its limits: it is not wanted, but does no harm.
        let _ = self.requests.try_send(cancel);
    }

    fn understand(&self, answer: Result<Response, Status>) -> Result<Response, Error> {
        match answer {
            Ok(Response::Error(error)) => Err(DatabaseError::from_proto(error).into()),
            Ok(response) => Ok(response),
            Err(status) => Err(self.error(&status)),
        }
    }

    fn error(&self, status: &Status) -> Error {
        Error::from_status(status, &self.endpoint)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.pipeline.cancel(self.id);
        }
    }
}

impl Parts {
    /// The next part, or `None` after the last.
    pub(crate) fn poll_next(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Response, Error>>> {
        self.answer.poll_recv(context).map(|part| {
            self.is_complete |= part.is_none();
            part.map(|part| self.pipeline.understand(part))
        })
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        if !self.is_complete {
            self.pipeline.cancel(self.id);
        }
    }
}

impl State {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no more answers will come, and tells why.
    async fn ended(&self) -> Status {
        loop {
            let ended = self.ended.notified();
            if let Some(end) = self.waiting().end.clone() {
                return end;
            }
            ended.await;
        }
    }
}

/// Brings each answer to whoever waits for it, until the stream ends or nobody can send on it any more.
async fn receive(mut answers: Streaming<proto::SessionResponse>, state: Weak<State>) {
    let end = loop {
        let answer = match answers.message().await {
            Ok(Some(answer)) => answer,
            Ok(None) => break Status::unavailable("the daemon has ended the session"),
            Err(status) => break status,
        };
        let Some(state) = state.upgrade() else { return };
        let Some(response) = answer.response else { break Status::internal("an answer without content") };
        let rows = {
            let mut waiting = state.waiting();
            match waiting.waiters.front() {
                Some(waiter) if waiter.id == answer.id => {}
                _ => break Status::internal("an answer to another request than the next one"),
            }
            match (waiting.waiters.front().map(|waiter| &waiter.to), answer.more) {
                (Some(Recipient::Rows(rows)), true) => Some(rows.clone()),
                (_, true) => None,
                (_, false) => match waiting.waiters.pop_front().map(|waiter| waiter.to) {
                    Some(Recipient::One(one)) => {
                        let _ = one.send(Ok(response)); // it may be that nobody wants it any more
                        continue;
                    }
                    Some(Recipient::Rows(rows)) => Some(rows),
                    Some(Recipient::Nobody) | None => None,
                },
            }
        };
        if let Some(rows) = rows {
            let _ = rows.send(Ok(response)).await;
        }
    };
    let Some(state) = state.upgrade() else { return };
    let waiters = {
        let mut waiting = state.waiting();
        waiting.end = Some(end.clone());
        std::mem::take(&mut waiting.waiters)
    };
    state.ended.notify_waiters();
    for waiter in waiters {
        match waiter.to {
            Recipient::One(one) => drop(one.send(Err(end.clone()))),
            Recipient::Rows(rows) => drop(rows.send(Err(end.clone())).await),
            Recipient::Nobody => {}
        }
    }
}
