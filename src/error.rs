//! What can go wrong, and what to do then.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use skylinedb_local::Endpoint;
use tonic::{ConnectError, Status, TimeoutExpired};
use tonic_types::StatusExt as _;

use crate::{code::Code, proto::v1 as proto, reason};

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No daemon listens where it was looked for. Nothing was sent, so that nothing was done.
    #[error("{}", not_running(.looked))]
    NotRunning {
        /// Where it was looked for, and what was found there instead.
        looked: Vec<(Endpoint, String)>,
    },
    /// The daemon answered with an error. Nothing of the request was kept; only with DEADLINE_EXCEEDED it may be that it was
    /// being committed in that instant.
    #[error(transparent)]
    Database(Box<DatabaseError>),
    /// The connection broke before the answer came. Whether a write was kept is not known: ask for it with the same
    /// [request id](crate::Batch::request_id) again, or look.
    #[error(
        "the connection to the daemon at {endpoint} broke before the answer came ({cause}); whether a write was kept is not known"
    )]
    ConnectionLost {
        /// The daemon's socket.
        endpoint: Endpoint,
        /// What broke.
        cause: String,
    },
    /// A value is not of the type that was asked for, or there is no such column.
    #[error("{0}")]
    Conversion(String),
    /// The daemon could not be started.
    #[error("{0}")]
    Start(String),
    /// The daemon answered something that this client does not understand.
    #[error("the daemon's answer is not understood: {0}; are the daemon and this client of the same version?")]
    Protocol(String),
}

/// An error that the daemon answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatabaseError {
    /// What kind of error it is.
    pub code: Code,
    /// What a program should compare: the name of SQLite's extended result code, such as `SQLITE_CONSTRAINT_UNIQUE`, or
    /// the daemon's own, such as [`QUEUE_FULL`](reason::QUEUE_FULL). Empty if it is not known.
    pub reason: String,
    /// What a person should read.
    pub message: String,
    /// SQLite's extended result code (<https://sqlite.org/rescode.html>); 0 if the error is not SQLite's.
    pub sqlite_code: i32,
    /// Which statement of the batch failed, from 0.
    pub statement_index: Option<usize>,
    /// Where in its SQL the mistake is, in bytes.
    pub sql_offset: Option<usize>,
    /// After what time a retry makes sense; `None` if it does not help.
    pub retry_after: Option<Duration>,
}

impl DatabaseError {
    pub(crate) fn from_proto(error: proto::Error) -> Self {
        Self {
            code: Code::from_number(error.code.cast_signed()),
            reason: error.reason,
            message: error.message,
            sqlite_code: error.sqlite_code,
            statement_index: error.statement_index.map(|index| index as usize),
            sql_offset: error.sql_offset.map(|offset| offset as usize),
            retry_after: error.retry_after_ms.map(|after| Duration::from_millis(after.into())),
        }
    }

    /// A status as the daemon sends it.
    fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let fact = |name: &str| info.and_then(|info| info.metadata.get(name)?.parse::<i64>().ok());
        let index = |name| fact(name).and_then(|number| usize::try_from(number).ok());
        Self {
            code: Code::from_number(status.code().into()),
            reason: info.map(|info| info.reason.clone()).unwrap_or_default(),
            message: status.message().to_owned(),
            sqlite_code: fact("sqlite_code").and_then(|code| i32::try_from(code).ok()).unwrap_or_default(),
            statement_index: index("statement_index"),
            sql_offset: index("sql_offset"),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
        }
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        if !self.reason.is_empty() {
            write!(formatter, " ({})", self.reason)?;
        }
        Ok(())
    }
}

impl std::error::Error for DatabaseError {}

impl From<DatabaseError> for Error {
    fn from(error: DatabaseError) -> Self {
        Self::Database(Box::new(error))
    }
}

impl Error {
    /// The error behind a status of a call to this daemon: its own answer, or what became of the way to it. `None` if the
    /// request was not sent, because the connection had ended before: then it depends on whether a daemon is there now.
    pub(crate) fn of_call(status: &Status, endpoint: &Endpoint) -> Option<Self> {
        // What the connection says of itself has a source; what the daemon answers has none.
        if std::error::Error::source(status).is_none() && !is_of_http2(status) {
            return Some(DatabaseError::from_status(status).into());
        }
        if has_source::<TimeoutExpired>(status) {
            return Some(Self::late());
        }
        if has_source::<ConnectError>(status) {
            return Some(Self::NotRunning { looked: vec![(endpoint.clone(), root_cause(status))] });
        }
        // This is hyper's word for a request that was not sent yet; a stream that was reset has the same code.
        if status.code() == tonic::Code::Cancelled && !is_of_http2(status) {
            return None;
        }
        if is_refused_by_goaway(status) {
            return Some(Self::shut_down_before());
        }
        Some(Self::connection_lost(status, endpoint))
    }

    /// The error behind a status that comes after the request was sent.
    pub(crate) fn from_status(status: &Status, endpoint: &Endpoint) -> Self {
        Self::of_call(status, endpoint).unwrap_or_else(|| Self::connection_lost(status, endpoint))
    }

    /// The daemon may have done it, even if it is not there any more: `NotRunning` would invite to do it again.
    fn connection_lost(status: &Status, endpoint: &Endpoint) -> Self {
        Self::ConnectionLost { endpoint: endpoint.clone(), cause: root_cause(status) }
    }

    /// The error for a request whose time is over on this side.
    pub(crate) fn late() -> Self {
        DatabaseError {
            code: Code::DeadlineExceeded,
            reason: reason::DEADLINE_EXCEEDED.to_owned(),
            message:
                "no answer came within the time limit; the request was given up, unless it was being committed in \
                      that instant"
                    .to_owned(),
            sqlite_code: 0,
            statement_index: None,
            sql_offset: None,
            retry_after: None,
        }
        .into()
    }

    /// The error for a request that came too late for a daemon. Another may be there already, or be started by whoever comes.
    pub(crate) fn shut_down_before() -> Self {
        DatabaseError {
            code: Code::Unavailable,
            reason: reason::SHUTTING_DOWN.to_owned(),
            message: "the daemon was shutting down when the request came; nothing of it was run. Try again, and if it was on a session, on \
                      a new one".to_owned(),
            sqlite_code: 0,
            statement_index: None,
            sql_offset: None,
            retry_after: None,
        }
        .into()
    }
}

/// Whether the status is what tonic makes of a stream that was reset: it keeps no source then.
fn is_of_http2(status: &Status) -> bool {
    status.message().starts_with("h2 protocol error")
}

/// Whether the daemon has said that it ends, and that it has not looked at this request and those after it (RFC 9113, 6.8).
fn is_refused_by_goaway(status: &Status) -> bool {
    sources(status)
        .filter_map(|error| error.downcast_ref::<h2::Error>())
        .any(|error| error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR))
}

fn has_source<E: std::error::Error + 'static>(status: &Status) -> bool {
    sources(status).any(<dyn std::error::Error>::is::<E>)
}

fn sources(status: &Status) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(status), |&error| error.source())
}

/// The words of the innermost error, which says what has happened.
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn not_running(looked: &[(Endpoint, String)]) -> String {
    let mut text = "no SkylineDB daemon is running; it was looked for at".to_owned();
    for (endpoint, why) in looked {
        let _ = write!(text, "\n    {endpoint}: {why}"); // writing to a String cannot fail
    }
    text.push_str("\nStart one: skylinedb-cli start [DATABASE]");
    if let [(endpoint, _)] = looked {
        let _ = write!(text, " --endpoint {endpoint}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tonic_types::{ErrorDetails, RetryInfo};

    use super::*;
    use crate::test_listener::TestListener;

    #[test]
    fn a_status_of_the_daemon_keeps_every_fact() {
        let metadata = [("sqlite_code", "2067"), ("statement_index", "1"), ("sql_offset", "10")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut details = ErrorDetails::with_error_info("SQLITE_CONSTRAINT_UNIQUE", "skylinedb", metadata);
        details.set_retry_info(Some(Duration::from_millis(50)));
        let status = Status::with_error_details(tonic::Code::AlreadyExists, "UNIQUE constraint failed: t.x", details);
        let expected = DatabaseError {
            code: Code::AlreadyExists,
            reason: "SQLITE_CONSTRAINT_UNIQUE".to_owned(),
            message: "UNIQUE constraint failed: t.x".to_owned(),
            sqlite_code: 2067,
            statement_index: Some(1),
            sql_offset: Some(10),
            retry_after: Some(Duration::from_millis(50)),
        };
        assert_eq!(expected.to_string(), "UNIQUE constraint failed: t.x (SQLITE_CONSTRAINT_UNIQUE)");
        assert_eq!(database_error(&status), expected);
    }

    #[test]
    fn a_status_without_details_keeps_its_code_and_message() {
        let error = database_error(&Status::unimplemented("no such call"));
        assert_eq!((error.code, error.to_string().as_str()), (Code::Unimplemented, "no such call"));
        let only_retry = ErrorDetails::with_retry_info(RetryInfo::MAX_RETRY_DELAY.into());
        let error = database_error(&Status::with_error_details(tonic::Code::Unavailable, "later", only_retry));
        assert_eq!(error.retry_after, Some(RetryInfo::MAX_RETRY_DELAY));
    }

    #[test]
    fn the_way_to_the_daemon_has_errors_of_its_own() {
        let refused = ConnectError(Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)));
        let error = from_source(tonic::Code::Unavailable, refused);
        assert!(matches!(error, Error::NotRunning { .. }), "{error:?}");
        let error = from_source(tonic::Code::Cancelled, TimeoutExpired(()));
        assert!(matches!(&error, Error::Database(error) if error.code == Code::DeadlineExceeded), "{error:?}");
        let error = from_source(tonic::Code::Unknown, std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(matches!(error, Error::ConnectionLost { .. }), "nobody is there, but it was: {error:?}");
    }

    /// HTTP/2: a frame's type, settings without a payload, and a GOAWAY that says that no request was looked at.
    const HEADERS: u8 = 1;
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GOAWAY: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    #[tokio::test]
    async fn a_request_that_crosses_the_daemons_goodbye_was_not_run() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let daemon = TestListener::listen();
        let endpoint = daemon.endpoint();
        let daemon = async {
            let mut stream = daemon.accept().await;
            stream.write_all(SETTINGS).await.expect("settings");
            let mut preface = [0; 24];
            stream.read_exact(&mut preface).await.expect("the preface");
            loop {
                let mut header = [0; 9];
                stream.read_exact(&mut header).await.expect("a frame");
                if header[3] == HEADERS {
                    break;
                }
                let mut payload = vec![0; usize::from(header[2])]; // none of these frames is long
                stream.read_exact(&mut payload).await.expect("its payload");
            }
            stream.write_all(GOAWAY).await.expect("goodbye");
        };
        let client = async { crate::Client::connect(endpoint).await.expect("a connection").ping().await };
        let (answer, ()) = tokio::join!(client, daemon);
        let error = answer.expect_err("nobody has answered");
        assert!(matches!(&error, Error::Database(error) if error.reason == "SHUTTING_DOWN"), "{error:?}");
    }

    #[test]
    fn not_running_says_where_it_looked_and_what_to_do() {
        let places = [("/a.sock", "No such file or directory"), ("/b.sock", "Permission denied")];
        let looked = places.map(|(path, why)| (Endpoint::new(path), why.to_owned())).to_vec();
        let error = Error::NotRunning { looked: looked.clone() }.to_string();
        for text in ["/a.sock: No such file or directory", "/b.sock: Permission denied", "skylinedb-cli start"] {
            assert!(error.contains(text), "{error}");
        }
        assert!(!error.contains("--endpoint"), "{error}");
        let error = Error::NotRunning { looked: looked[..1].to_vec() }.to_string();
        assert!(error.ends_with("--endpoint /a.sock"), "{error}");
    }

    fn database_error(status: &Status) -> DatabaseError {
        match Error::from_status(status, &Endpoint::new("/not/there.sock")) {
            Error::Database(error) => *error,
            other => panic!("{other:?}"),
        }
    }

    fn from_source(code: tonic::Code, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        let mut status = Status::new(code, "the connection's own word");
        status.set_source(Arc::new(source));
        Error::from_status(&status, &Endpoint::new("/not/there.sock"))
    }
}
