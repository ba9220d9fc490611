//! One stream to the daemon that carries many requests, which are sent without waiting for each other. Sessions use it, and
//! the client does so for ordinary requests.

mod receiver;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use skylinedb_local::Endpoint;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::Status;

use crate::{
    connector::{self, Grpc},
    error::{DatabaseError, Error},
    proto::v1::{self as proto, session_request::Request, session_response::Response},
};
pub(crate) use receiver::Place;
use receiver::{Recipient, State, Waiter, Waiting, broken, receive};

/// Requests that wait to be sent. Whoever wants to send more waits, too.
const WAITING_REQUESTS: usize = 1_024;

/// Parts of a query's answer that wait to be taken; then the daemon waits.
const WAITING_ROWS: usize = 2;

/// How much longer than its time limit a request is waited for: the daemon's own answer, which says more, should win.
const LATE: Duration = Duration::from_millis(250);

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
        let answers = connector::answered(answers, &endpoint).await?;
        Ok(Self::over(requests, answers, endpoint))
    }

    fn over<A>(requests: mpsc::Sender<proto::SessionRequest>, answers: A, endpoint: Endpoint) -> Self
    where
        A: Stream<Item = Result<proto::SessionResponse, Status>> + Unpin + Send + 'static,
    {
        let state = Arc::new(State::default());
        tokio::spawn(receive(answers, Arc::downgrade(&state)));
        Self { requests, state, endpoint, next_id: AtomicU64::new(1) }
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn ask(
        &self,
        request: Request,
        place: Place,
        timeout: Option<Duration>,
    ) -> Result<Response, Error> {
        within(timeout, async {
            let (sender, answer) = oneshot::channel();
            let id = self.send(request, place, timeout, Recipient::One(sender)).await?;
            let mut ticket = Ticket { pipeline: self, id, is_answered: false };
            let answer = answer.await;
            ticket.is_answered = true;
            self.understand(answer.unwrap_or_else(|_| Err(broken("the session has ended"))))
        })
        .await
    }

    /// Sends a query; its answer comes in parts.
    pub(crate) async fn ask_for_rows(
        self: &Arc<Self>,
        request: proto::QueryRequest,
        timeout: Option<Duration>,
    ) -> Result<Parts, Error> {
        let (sender, answer) = mpsc::channel(WAITING_ROWS);
        let id = self.send(Request::Query(request), Place::InOrder, timeout, Recipient::Rows(sender)).await?;
        Ok(Parts { answer, pipeline: Arc::clone(self), id, is_complete: false })
    }

    /// Has the daemon undo the open transaction, before anything that is sent after this. Nobody waits for the answer, and
    /// it does no harm if no transaction is open.
    pub(crate) fn roll_back(&self) {
        let mut waiting = self.state.waiting();
        match self.requests.try_reserve() {
            Ok(permit) => {
                // The end of the stream rolls back, too.
                let _ = self.push(&mut waiting, permit, rollback(), Place::InOrder, None, Recipient::Nobody);
            }
            Err(_) => waiting.owes_rollback = true,
        }
    }

    /// Whether no more answers will come.
    pub(crate) fn has_ended(&self) -> bool {
        self.state.waiting().end.is_some()
    }

    async fn send(
        &self,
        request: Request,
        place: Place,
        timeout: Option<Duration>,
        to: Recipient,
    ) -> Result<u64, Error> {
        loop {
            let Ok(permit) = self.requests.reserve().await else {
                return Err(self.unsent(&self.state.ended().await).await);
            };
            // Under one lock, so that requests and those who wait are in the same order.
            let sent = {
                let mut waiting = self.state.waiting();
                if std::mem::take(&mut waiting.owes_rollback) {
                    // An end is seen in the next round.
                    let _ = self.push(&mut waiting, permit, rollback(), Place::InOrder, None, Recipient::Nobody);
                    continue;
                }
                self.push(&mut waiting, permit, request, place, timeout, to)
            };
            return match sent {
                Ok(id) => Ok(id),
                Err(end) => Err(self.unsent(&end).await),
            };
        }
    }

    fn push(
        &self,
        waiting: &mut Waiting,
        permit: mpsc::Permit<'_, proto::SessionRequest>,
        request: Request,
        place: Place,
        timeout: Option<Duration>,
        to: Recipient,
    ) -> Result<u64, Status> {
        if let Some(end) = &waiting.end {
            return Err(end.clone());
        }
        let timeout_ms = timeout.map_or(0, |timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX).max(1));
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        waiting.waiters.push_back(Waiter { id, place, to });
        let independent = place == Place::Independent;
        permit.send(proto::SessionRequest { id, timeout_ms, independent, request: Some(request) });
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

    /// The error for a request that was not sent, because the stream had ended before.
    async fn unsent(&self, end: &Status) -> Error {
        match self.error(end) {
            Error::ConnectionLost { endpoint, .. } => connector::unsent(&endpoint).await,
            other => other,
        }
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

/// Gives the work up on this side, should the daemon not have done so in time.
pub(crate) async fn within<T>(
    timeout: Option<Duration>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match timeout {
        None => work.await,
        Some(timeout) => {
            tokio::time::timeout(timeout.saturating_add(LATE), work).await.unwrap_or_else(|_| Err(Error::late()))
        }
    }
}

fn rollback() -> Request {
    Request::Rollback(proto::RollbackRequest {})
}

#[cfg(test)]
mod tests;
