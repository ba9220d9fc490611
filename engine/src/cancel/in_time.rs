//! Answers a client in time, whatever the thread that runs its request does. SQLite cannot be stopped everywhere: a function
//! over a large text, or a COMMIT on a slow disk, ends when it ends.

use std::{
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::time::{Sleep, sleep, sleep_until};

use super::{
    super::error::{Error, Kind},
    Cancel, Interruption, LATE,
};

/// A request's answer, or an error soon after the request was given up.
pub struct InTime<T, A = BoxFuture<'static, Result<T, Error>>> {
    cancel: Cancel,
    answer: A,
    wait: Wait,
    _answer: PhantomData<fn() -> T>,
}

enum Wait {
    /// For the answer. The timer wakes at the deadline; a request that is answered at once has none.
    Answer(Option<Pin<Box<Sleep>>>),
    /// A little longer, for what was given up to answer by itself.
    Late(Pin<Box<Sleep>>),
}

impl Cancel {
    /// The answer, if it comes before the request is given up or shortly after. Ends [`LATE`] after that at the latest; what
    /// runs then goes on by itself to its end, and must hold all that it needs.
    pub fn in_time<T>(&self, answer: impl Future<Output = Result<T, Error>> + Send + 'static) -> InTime<T> {
        self.in_time_unboxed(answer.boxed())
    }

    /// As [`Cancel::in_time`], for an answer that needs no box.
    pub fn in_time_unboxed<T, A: Future<Output = Result<T, Error>> + Unpin>(&self, answer: A) -> InTime<T, A> {
        InTime { cancel: self.clone(), answer, wait: Wait::Answer(None), _answer: PhantomData }
    }
}

impl<T, A> InTime<T, A> {
    /// The request's state.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }
}

impl<T, A: Future<Output = Result<T, Error>> + Unpin> Future for InTime<T, A> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(answer) = self.answer.poll_unpin(context) {
            return Poll::Ready(answer);
        }
        self.cancel.0.waiting.register(context.waker());
        loop {
            let is_over = self.cancel.is_over();
            let deadline = self.cancel.deadline();
            match &mut self.wait {
                Wait::Answer(_) if is_over => {
                    self.cancel.give_up(self.cancel.interruption().unwrap_or(Interruption::Deadline));
                    self.wait = Wait::Late(Box::pin(sleep(LATE)));
                }
                Wait::Answer(timer) => {
                    let Some(deadline) = deadline else { return Poll::Pending };
                    ready!(timer.get_or_insert_with(|| Box::pin(sleep_until(deadline.into()))).as_mut().poll(context));
                    *timer = None; // the runtime's clock may be a little ahead
                }
                Wait::Late(timer) => {
                    ready!(timer.as_mut().poll(context));
                    let error = self.cancel.interruption().map_or_else(commit_unknown, Interruption::error);
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

fn commit_unknown() -> Error {
    Error::new(
        Kind::DeadlineExceeded,
        "COMMIT_UNKNOWN",
        "the request was given up while its commit was under way, and the disk takes long; whether it was kept is not known: \
         read it back, or send it again with the same request_id",
    )
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn at(wait: Duration) -> Cancel {
        Cancel::at(Some(Instant::now() + wait))
    }

    #[tokio::test]
    async fn a_request_that_cannot_be_stopped_is_answered_soon_after_its_deadline() {
        let cancel = at(Duration::from_millis(20));
        let error = cancel.in_time::<()>(std::future::pending()).await.expect_err("the deadline");
        assert_eq!(error.reason, "DEADLINE_EXCEEDED");
        assert_eq!(cancel.begin_commit(), Err(Interruption::Deadline), "and it is never committed");
    }

    #[tokio::test]
    async fn a_request_that_is_cancelled_is_answered_soon() {
        let cancel = Cancel::default();
        let waiting = tokio::spawn(cancel.in_time::<()>(std::future::pending()));
        tokio::task::yield_now().await;
        drop(cancel.on_drop());
        assert_eq!(waiting.await.expect("no panic").expect_err("cancelled").reason, "CANCELLED");
    }

    #[tokio::test]
    async fn a_commit_under_way_is_not_said_to_be_undone() {
        for cancel in [at(Duration::from_millis(20)), Cancel::default()] {
            cancel.begin_commit().expect("wanted");
            assert!(!cancel.give_up(Interruption::ClientGone), "too late");
            let error = cancel.in_time::<()>(std::future::pending()).await.expect_err("a slow disk");
            assert_eq!(error.reason, "COMMIT_UNKNOWN");
        }
    }
}
