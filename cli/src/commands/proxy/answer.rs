//! What the proxy answers itself: gRPC statuses, as the daemon would send them.

use std::path::Path;

use hyper::{HeaderMap, Response};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{forward::Body, token::Mistake};

/// The domain of the reasons, as in the daemon's own errors.
const DOMAIN: &str = "skylinedb";

pub(super) fn unauthenticated(mistake: Mistake, token_file: &Path) -> Response<Body> {
    let file = token_file.display();
    let (reason, text) = match mistake {
        Mistake::Missing => (
            "TOKEN_MISSING",
            format!(
                "this proxy wants a token: send the metadata `authorization: Bearer TOKEN`, with the token from {file}"
            ),
        ),
        Mistake::Wrong => (
            "TOKEN_WRONG",
            format!(
                "this is not the proxy's token; it has a new one each time it starts: send the metadata `authorization: \
                 Bearer TOKEN`, with the token from {file}"
            ),
        ),
    };
    status(Code::Unauthenticated, reason, text).into_http()
}

/// No daemon was reached, so that nothing was done.
pub(super) fn unavailable(why: impl Into<String>) -> Response<Body> {
    status(Code::Unavailable, "DAEMON_UNAVAILABLE", why.into()).into_http()
}

/// The connection broke, before the answer began.
pub(super) fn lost(error: &hyper::Error) -> Response<Body> {
    lost_status(&root_cause(error)).into_http()
}

/// The connection broke in the middle of an answer: its end.
pub(super) fn lost_trailers(cause: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // It fails only for a text that cannot be a header's value, and messages are encoded.
    let _ = lost_status(cause).add_header(&mut trailers);
    trailers
}

/// The words of the innermost error, which says what has happened.
pub(super) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn lost_status(cause: &str) -> Status {
    let text = format!(
        "the proxy's connection to the daemon broke before the answer was complete ({cause}); whether a write was kept is \
         not known"
    );
    status(Code::Unavailable, "CONNECTION_LOST", text)
}

fn status(code: Code, reason: &str, text: String) -> Status {
    Status::with_error_details(code, text, ErrorDetails::with_error_info(reason, DOMAIN, []))
}
