//! Passes a request on to the daemon and its answer back, as they stream: flow control reaches through, and a call that
//! is cancelled on one side is cancelled on the other.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::{
    Request, Response, Uri,
    body::{Bytes, Frame, Incoming},
    header::CONTENT_TYPE,
    http::{request::Parts, uri::PathAndQuery},
};

use super::{
    answer::{lost, lost_trailers, root_cause, unavailable},
    upstream::Upstream,
};

/// One that was closed before the request was sent, and a new one.
const ATTEMPTS: usize = 2;

/// The daemon's answer, or none. If the way to the daemon breaks, it ends with a status that says so.
#[derive(Debug, Default)]
pub(super) struct Body {
    incoming: Option<Incoming>,
    /// Whether a status must come at the end.
    wants_status: bool,
}

/// Sends a request to the daemon, and waits for the beginning of its answer.
///
/// # Errors
/// If the daemon resets the call: then the client's is to be reset for the same reason.
pub(super) async fn forward(request: Request<Incoming>, upstream: &Upstream) -> Result<Response<Body>, hyper::Error> {
    let mut request = as_own(request);
    for _ in 0..ATTEMPTS {
        let mut requests = match upstream.requests().await {
            Ok(requests) => requests,
            Err(failure) => return Ok(unavailable(failure.message())),
        };
        match requests.try_send_request(request).await {
            Ok(response) => return Ok(Body::answer(response)),
            Err(mut failed) => match failed.take_message() {
                Some(unsent) => request = unsent,
                None if is_reset(failed.error()) => return Err(failed.into_error()),
                None => return Ok(lost(failed.error())),
            },
        }
    }
    Ok(unavailable("the daemon closes its connections at once; it may be about to end: try again"))
}

/// The same request, as if it came from here: neither its authority nor what the server has noted about it is the daemon's
/// business.
fn as_own(request: Request<Incoming>) -> Request<Incoming> {
    let (Parts { method, uri, headers, .. }, body) = request.into_parts();
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let mut own = Request::new(body);
    // The authority has to be there, and localhost is usual.
    *own.uri_mut() = Uri::builder()
        .scheme("http")
        .authority("localhost")
        .path_and_query(path)
        .build()
        .unwrap_or_else(|_| Uri::from_static("http://localhost/"));
    *own.method_mut() = method;
    *own.headers_mut() = headers;
    own
}

/// Whether the daemon has reset this one call.
fn is_reset(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    source.is_some_and(|error| error.is_reset() && error.is_remote())
}

impl Body {
    fn answer(response: Response<Incoming>) -> Response<Self> {
        let headers = response.headers();
        let is_grpc = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        let wants_status = is_grpc && !headers.contains_key("grpc-status");
        response.map(|incoming| Self { incoming: Some(incoming), wants_status })
    }

    fn end_as_lost(&mut self, cause: &str) -> Frame<Bytes> {
        *self = Self::default();
        Frame::trailers(lost_trailers(cause))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let Some(incoming) = &mut this.incoming else { return Poll::Ready(None) };
        Poll::Ready(match ready!(Pin::new(incoming).poll_frame(cx)) {
            Some(Ok(frame)) => {
                this.wants_status &= !frame.is_trailers();
                Some(Ok(frame))
            }
            Some(Err(error)) if !is_reset(&error) => Some(Ok(this.end_as_lost(&root_cause(&error)))),
            None if this.wants_status => Some(Ok(this.end_as_lost("it ended without a status"))),
            other => other,
        })
    }

    fn is_end_stream(&self) -> bool {
        !self.wants_status && self.incoming.as_ref().is_none_or(hyper::body::Body::is_end_stream)
    }
}
