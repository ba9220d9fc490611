//! What can go wrong in the engine, and how each of SQLite's errors is to be understood by a client.

use std::{borrow::Cow, fmt, path::Path, time::Duration};

use rusqlite::ffi;

use super::{
    lock_holders::{self, Holders},
    result_code,
};

/// Why a request failed. `service::status` gives each kind its gRPC code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A mistake in the SQL, its parameters or the request.
    Invalid,
    /// A table or a database that is not there.
    NotFound,
    /// A unique or primary key that is taken.
    AlreadyExists,
    /// Any other constraint, or a state that does not allow the request.
    Precondition,
    /// Read-only, or refused by policy.
    Denied,
    /// The file is locked by somebody else, or the daemon is going down.
    Unavailable,
    /// A limit is reached.
    Exhausted,
    /// The client has gone or has taken its request back.
    Cancelled,
    /// The request's time is over.
    DeadlineExceeded,
    /// A transaction that is no more.
    Aborted,
    /// The file is corrupt, or the disk fails.
    DataLoss,
    /// A mistake of the daemon's own.
    Internal,
}

/// An error with all that a client may want to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// How a client should take it.
    pub kind: Kind,
    /// The name for programs: SQLite's extended code or the daemon's own.
    pub reason: Cow<'static, str>,
    /// The text for people.
    pub message: String,
    /// SQLite's extended code, 0 if the error is not SQLite's.
    pub sqlite_code: i32,
    /// Which statement of the batch failed, from 0.
    pub statement_index: Option<usize>,
    /// Where in its SQL, in bytes.
    pub sql_offset: Option<usize>,
    /// Whether the statement has not run because its text does not compile as the schema is.
    pub does_not_compile: bool,
    /// After what time a retry makes sense.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// An error of the daemon's own.
    pub fn new(kind: Kind, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            reason: Cow::Borrowed(reason),
            message: message.into(),
            sqlite_code: 0,
            statement_index: None,
            sql_offset: None,
            does_not_compile: false,
            retry_after: None,
        }
    }

    /// An error as SQLite would give it, found by the daemon before or instead of SQLite.
    pub fn of_code(code: i32, message: impl Into<String>) -> Self {
        let message = message.into();
        let mut error = Self::new(kind(code, &message), result_code::name(code), message);
        error.sqlite_code = code;
        error
    }

    /// A mistake of the daemon's own: what it was doing, for the log and the bug report.
    pub fn internal(doing: impl fmt::Display) -> Self {
        Self::new(
            Kind::Internal,
            "DAEMON_BUG",
            format!("the daemon failed while {doing}; this is a bug: its log has the details"),
        )
    }

    /// What a sink says to a read that is run here and now when its rows are more than it takes at once.
    #[must_use]
    pub fn not_now() -> Self {
        Self::new(Kind::Internal, NOT_NOW, "a read with many rows was to be run elsewhere")
    }

    /// Whether this is [`Error::not_now`].
    pub(super) fn is_not_now(&self) -> bool {
        self.reason == NOT_NOW
    }

    /// The same error, of the statement with this index.
    #[must_use]
    pub fn at(mut self, statement_index: usize) -> Self {
        self.statement_index = Some(statement_index);
        self
    }

    /// The same error, with a hint when to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.message, self.reason)
    }
}

impl std::error::Error for Error {}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::SqliteFailure(failure, message) => {
                Self::of_code(failure.extended_code, message.unwrap_or_else(|| failure.to_string()))
            }
            rusqlite::Error::SqlInputError { error, msg, offset, .. } => {
                let mut input_error = Self::of_code(error.extended_code, msg);
                input_error.sql_offset = usize::try_from(offset).ok();
                input_error
            }
            rusqlite::Error::MultipleStatement => Self::new(
                Kind::Invalid,
                "MULTIPLE_STATEMENTS",
                "the SQL holds more than one statement; send each as a statement of its own in the batch",
            ),
            rusqlite::Error::NulError(_) => {
                Self::new(Kind::Invalid, "NUL_IN_SQL", "the SQL holds a NUL character; pass such text as a parameter")
            }
            other => Self::internal(format_args!("using SQLite: {other}")),
        }
    }
}

const NOT_NOW: &str = "NOT_NOW";

/// After what time a client should try again where another process holds the lock.
const BUSY_RETRY_AFTER: Duration = Duration::from_millis(100);

fn kind(extended_code: i32, message: &str) -> Kind {
    match extended_code & 0xff {
        ffi::SQLITE_CONSTRAINT => match extended_code {
            ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
                Kind::AlreadyExists
            }
            _ => Kind::Precondition,
        },
        // SQLite has no code of its own for a missing table; the text has been the same for twenty years.
        ffi::SQLITE_ERROR if message.starts_with("no such table") => Kind::NotFound,
        ffi::SQLITE_ERROR | ffi::SQLITE_MISMATCH | ffi::SQLITE_RANGE => Kind::Invalid,
        ffi::SQLITE_READONLY | ffi::SQLITE_AUTH | ffi::SQLITE_PERM => Kind::Denied,
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED | ffi::SQLITE_PROTOCOL => Kind::Unavailable,
        ffi::SQLITE_FULL | ffi::SQLITE_TOOBIG | ffi::SQLITE_NOMEM | ffi::SQLITE_NOLFS => Kind::Exhausted,
        ffi::SQLITE_INTERRUPT => Kind::Cancelled,
        ffi::SQLITE_ABORT | ffi::SQLITE_SCHEMA => Kind::Aborted,
        ffi::SQLITE_IOERR | ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB | ffi::SQLITE_CANTOPEN => Kind::DataLoss,
        _ => Kind::Internal,
    }
}

/// The error for a lock on the database that another process holds, which is named where it can be found.
pub(super) fn locked_by_another_process(error: Error, database: &Path) -> Error {
    if error.kind != Kind::Unavailable {
        return error;
    }
    let who = match lock_holders::find(database) {
        Holders::Writing(who) => format!("another process ({who}) has the database file open and is writing to it"),
        Holders::Reading(who) => format!("another process ({who}) has the database file open"),
        Holders::Unknown => "another process has the database file open and is writing to it".to_owned(),
    };
    let message = format!(
        "{}: {who}; programs should write through the daemon only, and open the file themselves read-only",
        error.message
    );
    Error { message, ..error }.retry_after(BUSY_RETRY_AFTER)
}
