//! Requests of a session that are as calls of their own: each is answered as soon as it is done.

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use skylinedb::proto::v1::{self as proto, session_response::Response};
use skylinedb_engine::{CancelOnDrop, Error, Interruption, Kind};

use super::{
    super::{Service, translate},
    MAX_TAKEN,
    request::{Action, Request},
    response,
};
use crate::lifecycle::Work;

/// The requests that are under way.
#[derive(Default)]
pub(super) struct Independent {
    answers: FuturesUnordered<BoxFuture<'static, (u64, Result<Response, Error>)>>,
    /// What keeps each of them going. It is here, so that a request can be found and given up.
    going: Vec<(u64, CancelOnDrop, Option<Work>)>,
}

impl Independent {
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Starts a request; gives it back if so many are under way that it has to wait.
    pub(super) fn start(&mut self, service: &Service, request: Request) -> Option<Request> {
        if self.going.len() >= MAX_TAKEN {
            return Some(request);
        }
        let Request { id, cancel, work, action, .. } = request;
        self.going.push((id, cancel.on_drop(), work));
        let answer: BoxFuture<'static, Result<Response, Error>> = match action {
            Action::Write(batch) => {
                // Here, and not when it is first asked, so that writes come into the queue in their order.
                let pending = service.database.submit(batch, cancel);
                async move { translate::answer(pending.await).map(Response::Execute) }.boxed()
            }
            Action::Execute(batch, _) => {
                let service = service.clone();
                async move { service.execute_batch(batch, cancel).await.map(Response::Execute) }.boxed()
            }
            Action::Query(_) => std::future::ready(Err(not_short())).boxed(),
            // The others are answered at once, or refused.
            _ => std::future::ready(Err(Interruption::ClientGone.error())).boxed(),
        };
        self.answers.push(answer.map(move |answer| (id, answer)).boxed());
        None
    }

    /// Gives up a request.
    pub(super) fn cancel(&mut self, id: u64) {
        self.going.retain(|(going, ..)| *going != id);
    }

    /// Gives up all of them, for a reason that is not their client's.
    pub(super) fn give_up(&mut self, reason: Interruption) {
        self.going.drain(..).for_each(|(_, going, _)| going.give_up(reason));
    }

    /// The next answer; never without a request under way.
    pub(super) async fn next(&mut self) -> proto::SessionResponse {
        let Some((id, answer)) = self.answers.next().await else { return std::future::pending().await };
        self.cancel(id);
        response(id, answer)
    }
}

fn not_short() -> Error {
    Error::new(
        Kind::Precondition,
        "NOT_SHORT",
        "the query takes longer, or has more rows, than an independent one may; send it by the call Query",
    )
}
