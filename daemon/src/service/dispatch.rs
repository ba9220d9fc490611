//! Brings each call to its service, and turns what tonic and a panic would say into the daemon's own words.

use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc, task::Poll};

use futures_util::FutureExt as _;
use http::{Request, Response};
use hyper::body::Incoming;
use skylinedb_engine::{Error, Kind, Ledger};
use tonic::{Code, Status, body::Body, service::Routes};
use tower::{Service as TowerService, ServiceExt as _};

use super::{
    Service,
    bindings::{SERVICE_NAME, SkylineDbServiceServer},
    messages::{self, Calls, ReceivedBody, SentBody},
    status::grpc_status,
};
use crate::{lifecycle::ConnectionUse, transport::Hangup};

/// The service's calls that only ask how the daemon is. As health and reflection, they do not keep it from ending when it is idle.
const ASKING: [&str; 1] = ["Ping"];

/// All services of the daemon.
#[derive(Clone, Debug)]
pub(crate) struct Dispatch {
    skylinedb: SkylineDbServiceServer<Service>,
    /// Health and reflection.
    others: Routes,
    max_message_bytes: usize,
    calls: Arc<Calls>,
}

impl Dispatch {
    pub(crate) fn new(
        skylinedb: SkylineDbServiceServer<Service>,
        others: Routes,
        max_message_bytes: usize,
        ledger: Ledger,
    ) -> Self {
        Self { skylinedb, others, max_message_bytes, calls: Calls::new(ledger) }
    }

    async fn answer(self, mut request: Request<Incoming>) -> Response<Body> {
        let own_call = own_call(request.uri().path());
        if own_call.is_some_and(|call| !ASKING.contains(&call))
            && let Some(connection) = request.extensions().get::<ConnectionUse>()
        {
            connection.begin();
        }
        let is_own = own_call.is_some();
        let call = self.calls.begin(request.extensions_mut().remove::<Hangup>());
        let messages = Arc::clone(&call);
        let answer = async {
            if is_own {
                let request = request.map(|body| ReceivedBody::new(body, messages, self.max_message_bytes));
                self.skylinedb.oneshot(request).await
            } else {
                self.others.oneshot(request.map(Body::new)).await
            }
        };
        let answer = messages::within(Arc::clone(&call), answer);
        let response = match AssertUnwindSafe(answer).catch_unwind().await {
            Ok(Ok(response)) => response,
            Err(_) => grpc_status(Error::internal("answering a call (a panic)")).into_http(),
        };
        match Status::from_header_map(response.headers()) {
            Some(status) if is_own && matches!(status.code(), Code::OutOfRange | Code::Internal) => {
                in_own_words(status, self.max_message_bytes).into_http()
            }
            _ => response.map(|body| Body::new(SentBody::new(body, call))),
        }
    }
}

impl TowerService<Request<Incoming>> for Dispatch {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = futures_util::future::BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        Box::pin(self.clone().answer(request).map(Ok))
    }
}

/// The name of a call of the service itself, and not of health or reflection.
fn own_call(path: &str) -> Option<&str> {
    path.strip_prefix('/')?.strip_prefix(SERVICE_NAME)?.strip_prefix('/')
}

/// The answer to any call of a peer who may not come in.
pub(crate) fn peer_not_allowed(message: String) -> Response<Body> {
    grpc_status(Error::new(Kind::Denied, "PEER_NOT_ALLOWED", message)).into_http()
}

/// tonic's words for a message over the limit name neither the option nor the right code, and it takes a mistake of the client in
/// gRPC's framing for one of the daemon. Its statuses have no details, the daemon's own have.
pub(super) fn in_own_words(status: Status, max_message_bytes: usize) -> Status {
    if status.code() == Code::Internal && status.details().is_empty() {
        return messages::malformed(status);
    }
    if status.code() != Code::OutOfRange || !status.message().contains("message length too large") {
        return status;
    }
    grpc_status(Error::new(
        Kind::Exhausted,
        "MESSAGE_TOO_LARGE",
        format!(
            "the message is longer than {max_message_bytes} bytes (--max-message-bytes), nothing of it was run; send it in \
             parts, in a session's transaction if they belong together"
        ),
    ))
}
