//! An engine's error as clients get it: as a gRPC status with its details, or as a message of a session.

use std::collections::HashMap;

use skylinedb::proto::v1 as proto;
use skylinedb_engine::{Error, Kind};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of every `google.rpc.ErrorInfo`.
const DOMAIN: &str = "skylinedb";

/// The error as a gRPC status.
pub(super) fn grpc_status(error: Error) -> Status {
    let mut metadata = HashMap::new();
    let mut fact = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            metadata.insert(name.to_owned(), value);
        }
    };
    fact("sqlite_code", (error.sqlite_code != 0).then(|| error.sqlite_code.to_string()));
    fact("statement_index", error.statement_index.map(|index| index.to_string()));
    fact("sql_offset", error.sql_offset.map(|offset| offset.to_string()));
    let mut details = ErrorDetails::with_error_info(error.reason, DOMAIN, metadata);
    if error.retry_after.is_some() {
        details.set_retry_info(error.retry_after);
    }
    Status::with_error_details(code(error.kind), error.message, details)
}

/// The error as a message of a session.
pub(super) fn message(error: Error) -> proto::Error {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    proto::Error {
        code: code(error.kind) as u32,
        reason: error.reason.into_owned(),
        message: error.message,
        sqlite_code: error.sqlite_code,
        statement_index: error.statement_index.map(number),
        sql_offset: error.sql_offset.map(number),
        retry_after_ms: error.retry_after.map(|after| u32::try_from(after.as_millis()).unwrap_or(u32::MAX)),
    }
}

fn code(kind: Kind) -> Code {
    match kind {
        Kind::Invalid => Code::InvalidArgument,
        Kind::NotFound => Code::NotFound,
        Kind::AlreadyExists => Code::AlreadyExists,
        Kind::Precondition => Code::FailedPrecondition,
        Kind::Denied => Code::PermissionDenied,
        Kind::Unavailable => Code::Unavailable,
        Kind::Exhausted => Code::ResourceExhausted,
        Kind::Cancelled => Code::Cancelled,
        Kind::DeadlineExceeded => Code::DeadlineExceeded,
        Kind::Aborted => Code::Aborted,
        Kind::DataLoss => Code::DataLoss,
        Kind::Internal => Code::Internal,
    }
}
