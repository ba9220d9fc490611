//! The receiving end of a stream: who waits for an answer, and how it gets there.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

use crate::proto::v1::{self as proto, session_response::Response};

#[derive(Debug, Default)]
pub(super) struct State {
    waiting: Mutex<Waiting>,
    /// Told when `Waiting::end` is set.
    ended: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Who waits for an answer, in the order of their requests.
    pub(super) waiters: VecDeque<Waiter>,
    /// Why no more answers will come.
    pub(super) end: Option<Status>,
    /// Whether a rollback must be sent before anything else is.
    pub(super) owes_rollback: bool,
}

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) id: u64,
    pub(super) place: Place,
    pub(super) to: Recipient,
}

/// Which answer is a request's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It comes after the answers to all that were sent earlier in order.
    InOrder,
    /// It comes when it is done.
    Independent,
}

#[derive(Debug)]
pub(super) enum Recipient {
    One(oneshot::Sender<Result<Response, Status>>),
    Rows(mpsc::Sender<Result<Response, Status>>),
    Nobody,
}

/// Brings each answer to whoever waits for it, until the stream ends or nobody can send on it any more.
pub(super) async fn receive<A>(mut answers: A, state: Weak<State>)
where
    A: Stream<Item = Result<proto::SessionResponse, Status>> + Unpin,
{
    let end = loop {
        let answer = match answers.next().await {
            Some(Ok(answer)) => answer,
            None => break broken("the daemon has ended the session"),
            Some(Err(status)) => break status,
        };
        let Some(state) = state.upgrade() else { return };
        let Some(response) = answer.response else { break broken("an answer without content") };
        let rows = {
            let mut waiting = state.waiting();
            let Some(number) = waiting.waiters.iter().position(|waiter| waiter.id == answer.id) else {
                break broken("an answer to no request");
            };
            let may_overtake = waiting.waiters[number].place == Place::Independent;
            if !may_overtake && waiting.waiters.range(..number).any(|waiter| waiter.place == Place::InOrder) {
                break broken("an answer to another request than the next one");
            }
            match (&waiting.waiters[number].to, answer.more) {
                (Recipient::Rows(rows), true) => Some(rows.clone()),
                (_, true) => None,
                (_, false) => match waiting.waiters.remove(number).map(|waiter| waiter.to) {
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
    let mut queries = Vec::new();
    for waiter in waiters {
        match waiter.to {
            Recipient::One(one) => drop(one.send(Err(end.clone()))),
            Recipient::Rows(rows) => queries.push(rows),
            Recipient::Nobody => {}
        }
    }
    // They come last: whose rows nobody takes should hold up nobody else.
    for rows in queries {
        let _ = rows.send(Err(end.clone())).await;
    }
}

impl State {
    pub(super) fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no more answers will come, and tells why.
    pub(super) async fn ended(&self) -> Status {
        loop {
            let ended = self.ended.notified();
            if let Some(end) = self.waiting().end.clone() {
                return end;
            }
            ended.await;
        }
    }
}

/// The end of a stream that the daemon has given no status for: with a source, it is not taken for the daemon's answer.
pub(super) fn broken(why: &'static str) -> Status {
    let mut status = Status::unavailable(why);
    status.set_source(Arc::new(io::Error::other(why)));
    status
}
