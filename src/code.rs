//! The status codes of gRPC.

use std::fmt;

/// A gRPC status code: what kind of error it is. [`DatabaseError::reason`](crate::DatabaseError::reason) says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// The request was given up by its client.
    Cancelled,
    /// An error that the daemon has no other code for.
    Unknown,
    /// The request itself is wrong: its SQL, its values or its form.
    InvalidArgument,
    /// The request's time was over before it was done.
    DeadlineExceeded,
    /// What the request names is not there, such as a table.
    NotFound,
    /// A row with this key is already there.
    AlreadyExists,
    /// The request may not do this.
    PermissionDenied,
    /// A limit is reached.
    ResourceExhausted,
    /// The database or the session is not in a state in which this can be done; a constraint failed.
    FailedPrecondition,
    /// The request was ended for the sake of others; it may be tried again.
    Aborted,
    /// A value is outside of its range.
    OutOfRange,
    /// The daemon does not have this call.
    Unimplemented,
    /// The daemon failed.
    Internal,
    /// The daemon, or the database, cannot be used at the moment.
    Unavailable,
    /// The database is damaged, or its disk cannot be read or written.
    DataLoss,
    /// The proxy wants a token.
    Unauthenticated,
}

impl Code {
    /// The code of a number; [`Code::Unknown`] for one that gRPC does not have, or that is no error.
    #[must_use]
    pub const fn from_number(number: i32) -> Self {
        match number {
            1 => Self::Cancelled,
            3 => Self::InvalidArgument,
            4 => Self::DeadlineExceeded,
            5 => Self::NotFound,
            6 => Self::AlreadyExists,
            7 => Self::PermissionDenied,
            8 => Self::ResourceExhausted,
            9 => Self::FailedPrecondition,
            10 => Self::Aborted,
            11 => Self::OutOfRange,
            12 => Self::Unimplemented,
            13 => Self::Internal,
            14 => Self::Unavailable,
            15 => Self::DataLoss,
            16 => Self::Unauthenticated,
            _ => Self::Unknown,
        }
    }

    /// Its number (<https://grpc.io/docs/guides/status-codes/>).
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Cancelled => 1,
            Self::Unknown => 2,
            Self::InvalidArgument => 3,
            Self::DeadlineExceeded => 4,
            Self::NotFound => 5,
            Self::AlreadyExists => 6,
            Self::PermissionDenied => 7,
            Self::ResourceExhausted => 8,
            Self::FailedPrecondition => 9,
            Self::Aborted => 10,
            Self::OutOfRange => 11,
            Self::Unimplemented => 12,
            Self::Internal => 13,
            Self::Unavailable => 14,
            Self::DataLoss => 15,
            Self::Unauthenticated => 16,
        }
    }

    /// Its name, as gRPC writes it: `INVALID_ARGUMENT`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cancelled => "CANCELLED",
            Self::Unknown => "UNKNOWN",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::DataLoss => "DATA_LOSS",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
