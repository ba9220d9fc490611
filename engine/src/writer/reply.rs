//! The way of an answer from the writer's thread to its client: in time, and true even if the thread breaks down.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    thread,
};

use tokio::sync::oneshot;

use super::{
    super::{
        cancel::{Cancel, InTime, Interruption},
        error::{Error, Kind},
    },
    shutting_down,
    waiting::Waiting,
};

/// The thread's end. If a panic drops it, the client gets that as its answer.
#[derive(Debug)]
pub(super) struct Reply<T> {
    sender: Option<oneshot::Sender<Result<T, Error>>>,
    cancel: Cancel,
}

/// The client's end: the answer, or the true reason why there is none.
#[derive(Debug)]
pub(super) struct Received<T> {
    receiver: oneshot::Receiver<Result<T, Error>>,
    cancel: Cancel,
    /// Why the session's transaction has ended, once it has.
    cut: Option<Arc<OnceLock<Error>>>,
}

/// The answer to a request that waits for the writer. Dropping it gives up its place.
pub struct Pending<T> {
    answer: InTime<T, Received<T>>,
    waiting: Arc<Waiting>,
}

/// The two ends of a request's way.
pub(super) fn channel<T>(cancel: Cancel, cut: Option<Arc<OnceLock<Error>>>) -> (Reply<T>, Received<T>) {
    let (sender, receiver) = oneshot::channel();
    (Reply { sender: Some(sender), cancel: cancel.clone() }, Received { receiver, cancel, cut })
}

impl<T> Reply<T> {
    /// The request's state.
    pub(super) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Answers. Returns whether a client waits for it.
    pub(super) fn send(mut self, answer: Result<T, Error>) -> bool {
        self.sender.take().is_some_and(|sender| sender.send(answer).is_ok())
    }

    /// Whether no client waits for it.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// Ends when no client waits for it.
    pub(super) async fn closed(&mut self) {
        if let Some(sender) = &mut self.sender {
            sender.closed().await;
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take()
            && thread::panicking()
        {
            let _ = sender.send(Err(writer_failed(self.cancel.is_committing())));
        }
    }
}

impl<T> Received<T> {
    /// The same, in time.
    pub(super) fn in_time(self) -> InTime<T, Self> {
        self.cancel.clone().in_time_unboxed(self)
    }
}

impl<T> Future for Received<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.receiver).poll(context));
        Poll::Ready(answer.unwrap_or_else(|_| {
            let cut = self.cut.as_ref().and_then(|cut| cut.get().cloned());
            let interrupted = || self.cancel.interruption().map(Interruption::error);
            Err(cut.or_else(interrupted).unwrap_or_else(shutting_down))
        }))
    }
}

impl<T> Pending<T> {
    pub(super) fn new(received: Received<T>, waiting: &Arc<Waiting>) -> Self {
        waiting.begin(&received.cancel);
        Self { answer: received.in_time(), waiting: Arc::clone(waiting) }
    }

    fn explain(&self, mut error: Error) -> Error {
        let is_given_up = matches!(error.kind, Kind::DeadlineExceeded | Kind::Cancelled);
        if !is_given_up || error.sqlite_code != 0 {
            return error;
        }
        if self.answer.cancel().is_waiting() {
            return self.waiting.explain(error);
        }
        if self.answer.cancel().is_outside_transactions() {
            error.message = "the request was given up while its statement ran outside of transactions; whether it was \
                             done is not known"
                .into();
        }
        error
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(context));
        Poll::Ready(answer.map_err(|error| self.explain(error)))
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        self.waiting.end(self.answer.cancel());
    }
}

impl<T> std::fmt::Debug for Pending<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Pending")
    }
}

/// The error of a request that a panic in the writer's thread has ended.
pub(super) fn writer_failed(is_committing: bool) -> Error {
    let what = if is_committing {
        "whether the request was kept is not known: read it back, or send it again with the same request_id"
    } else {
        "nothing of the request was kept, and it may be sent again"
    };
    Error::new(
        Kind::Internal,
        "WRITER_FAILED",
        format!("the daemon's writer failed, which is a bug: its log has the details; {what}"),
    )
}
