//! The reasons of errors: what a program compares to decide what to do. `docs/errors.md` has them as a table, and those of SQLite.

use crate::code::Code;

/// What is known of a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reason {
    /// Its name, as [`DatabaseError::reason`](crate::DatabaseError::reason) has it.
    pub name: &'static str,
    /// The gRPC status code that comes with it.
    pub code: Code,
    /// When it comes.
    pub when: &'static str,
    /// Whether anything of the request was written.
    pub written: &'static str,
    /// Whether it helps to send the request again.
    pub retry: &'static str,
    /// What to do.
    pub what_to_do: &'static str,
}

/// Makes the constants, and the list of all of them.
macro_rules! reasons {
    ($($name:ident, $code:ident, $when:literal, $written:literal, $retry:literal, $what_to_do:literal;)*) => {
        $(
            #[doc = $when]
            pub const $name: &str = stringify!($name);
        )*

        /// All reasons of the daemon and the proxy, in alphabetical order. Further ones are the names of SQLite's extended result
        /// codes, such as `SQLITE_CONSTRAINT_UNIQUE`.
        pub const ALL: &[Reason] = &[$(Reason {
            name: $name,
            code: Code::$code,
            when: $when,
            written: $written,
            retry: $retry,
            what_to_do: $what_to_do,
        }),*];
    };
}

reasons! {
    ANSWER_TOO_LARGE, ResourceExhausted,
        "The rows of an `Execute` are more than `--max-answer-bytes`.",
        "no", "no", "Read the rows with `Query`, which streams them.";
    BAD_DATABASE_PATH, InvalidArgument,
        "The path is no database file's: it is a folder, a device, a pipe, a URI or `:memory:`. The daemon does not start.",
        "no", "no", "Give the path of a file.";
    BATCH_TIMEOUT, Aborted,
        "A batch ran longer than `--batch-timeout` while other writes waited.",
        "no", "no", "Split the batch into smaller ones.";
    BUFFERS_FULL, ResourceExhausted,
        "The messages of all clients take all the memory that they may (`--max-buffered-bytes`).",
        "no", "yes, after the time given", "Retry; send smaller messages, and take answers sooner.";
    CANCELLED, Cancelled,
        "The client cancelled the request.",
        "no", "if it is still wanted", "";
    COMMIT_UNKNOWN, DeadlineExceeded,
        "The request was given up while its commit was under way.",
        "not known", "yes, with the same `request_id`", "Read the data, or send the batch again with its `request_id`.";
    CONNECTION_LOST, Unavailable,
        "The proxy's connection to the daemon broke before the answer was complete.",
        "not known", "yes, with the same `request_id`", "Read the data, or send the batch again with its `request_id`.";
    DAEMON_BUG, Internal,
        "The daemon failed.",
        "no", "no", "Report it with the daemon's log.";
    DAEMON_UNAVAILABLE, Unavailable,
        "The proxy reaches no daemon.",
        "no", "yes", "Start the daemon.";
    DATABASE_TOO_NEW, FailedPrecondition,
        "A newer version of SkylineDB has written the database. The daemon does not start, or does not open it.",
        "no", "no", "Start the newer version.";
    DATABASE_TRUNCATED, DataLoss,
        "Another program truncated the database file, or the disk could not read it. The daemon ends.",
        "no", "no", "Look at what is left of the file; restore a backup if it is not whole.";
    DEADLINE_EXCEEDED, DeadlineExceeded,
        "The request's deadline passed.",
        "no; not known if only the client waited no longer, which the message says", "with more time", "Set a longer deadline. The message says what the request waited for.";
    EMPTY_STATEMENT, InvalidArgument,
        "The SQL is empty or only a comment.",
        "no", "no", "Send a statement.";
    MALFORMED_MESSAGE, InvalidArgument,
        "The request's bytes are not the call's message.",
        "no", "no", "Generate the client's code from the daemon's `.proto` files.";
    MEMORY_FULL, ResourceExhausted,
        "All statements together take as much memory as they may (`--max-memory-bytes`).",
        "no", "yes, after the time given", "Retry, or raise `--max-memory-bytes`.";
    MESSAGE_NOT_SENT, Aborted,
        "A part of the request came, and then no more for too long.",
        "no", "yes", "Send the whole message at once.";
    MESSAGE_TOO_LARGE, ResourceExhausted,
        "The message is longer than `--max-message-bytes`.",
        "no", "no", "Send it in parts, in a session's transaction if they belong together.";
    MULTIPLE_STATEMENTS, InvalidArgument,
        "The SQL holds more than one statement.",
        "no", "no", "Send each as a statement of its own in the batch.";
    NOT_INDEPENDENT, InvalidArgument,
        "Begin, commit or rollback was marked `independent`.",
        "no", "no", "Send it without the mark.";
    NOT_SHORT, FailedPrecondition,
        "An independent query of a session takes longer, or has more rows, than one may.",
        "no", "no", "Send it by the call `Query`.";
    NO_REQUEST, InvalidArgument,
        "A session's message has no request that the daemon knows.",
        "no", "no", "Set one of the fields of `request`.";
    NO_STATEMENT, InvalidArgument,
        "The request has no statement.",
        "no", "no", "Set `statement` or `statements`.";
    NO_SUCH_DATABASE, NotFound,
        "The daemon does not have the database that the request names.",
        "no", "no", "Leave `database` empty, or give the path that `Ping` returns.";
    NO_TRANSACTION, FailedPrecondition,
        "Commit or rollback without an open transaction.",
        "no", "no", "Begin a transaction first.";
    NUL_IN_SQL, InvalidArgument,
        "The SQL holds a NUL character.",
        "no", "no", "Pass such text as a parameter.";
    OUTSIDE_TRANSACTION, FailedPrecondition,
        "The statement cannot run inside a transaction (VACUUM, `PRAGMA wal_checkpoint`).",
        "no", "no", "Send it as the only statement of a batch, outside a session's transaction.";
    PEER_NOT_ALLOWED, PermissionDenied,
        "The daemon serves other users.",
        "no", "no", "Ask its owner for `--allow-uid` or `--allow-gid`.";
    QUEUE_FULL, ResourceExhausted,
        "The writer's queue has had no room for a second (`--queue-jobs`).",
        "no", "yes, after the time given", "Retry.";
    READERS_BUSY, ResourceExhausted,
        "Every reader has been busy for 30 s, or half of them with statements of more than 32 KiB of SQL, as this one.",
        "no", "yes, after the time given", "Retry, or raise `--readers`.";
    REQUEST_ID_IN_TRANSACTION, InvalidArgument,
        "A batch within a transaction has a `request_id`.",
        "no", "no", "Leave the `request_id` out: whether the batch is kept, its COMMIT decides.";
    REQUEST_ID_REUSED, InvalidArgument,
        "The `request_id` was used before, for other statements.",
        "no", "no", "Use a new id for each new batch.";
    REQUEST_ID_TOO_LONG, InvalidArgument,
        "The `request_id` has more than 128 bytes.",
        "no", "no", "Use a shorter one, such as a UUID.";
    ROWS_NOT_TAKEN, Aborted,
        "The client has not taken a query's rows for too long.",
        "no", "yes", "Take the rows as they come, or read in smaller parts.";
    ROW_TOO_LARGE, ResourceExhausted,
        "A row of the result has more than `--max-value-bytes`.",
        "no", "no", "Ask for fewer columns, or for parts of values by `substr()`.";
    SCHEMA_TEXT_TOO_LONG, ResourceExhausted,
        "A statement that changes the schema has more than 64 KiB of SQL.",
        "no", "no", "Use smaller tables, views and triggers.";
    SCHEMA_TOO_LARGE, ResourceExhausted,
        "The whole schema would have more than 4 MiB of SQL.",
        "no", "no", "Drop what is not needed; use fewer tables with more rows.";
    SHUTTING_DOWN, Unavailable,
        "The daemon is shutting down and takes no new work.",
        "no", "yes", "Retry when it is back, on a new session if the request was on one.";
    SNAPSHOT_TIMEOUT, Aborted,
        "A read took longer than `--snapshot-timeout`.",
        "no", "yes", "Read in smaller parts.";
    SQL_TOO_LONG, ResourceExhausted,
        "A statement has more than `--max-sql-bytes` of SQL.",
        "no", "no", "Give large values as parameters.";
    STATEMENT_TOO_LARGE, ResourceExhausted,
        "A statement takes more memory than one may, to compile or to run (a quarter of `--max-memory-bytes`), or has more than 32 KiB of SQL that takes more than a second to compile.",
        "no", "no", "Write intermediate results to a table; let the statement work on less; give values as parameters.";
    STORED_ANSWER_TOO_LARGE, ResourceExhausted,
        "The answer to a batch with a `request_id` is larger than 1 MiB.",
        "no", "no", "Return fewer rows, or leave the `request_id` out.";
    TEMP_FILES_FULL, ResourceExhausted,
        "SQLite's temporary files have reached `--max-temp-bytes`, and this statement's were the largest.",
        "no", "no", "Sort or change fewer rows at a time, or add an index that has them in order.";
    TOKEN_MISSING, Unauthenticated,
        "The proxy wants a token.",
        "no", "no", "Send the metadata `authorization: Bearer TOKEN`.";
    TOKEN_WRONG, Unauthenticated,
        "The token is not the proxy's.",
        "no", "no", "Read the token file again: each start makes a new one.";
    TOO_MANY_ROLLBACKS, FailedPrecondition,
        "More than 16 statements of a batch of mode EACH rolled back the whole transaction.",
        "no", "no", "Use OR ABORT or RAISE(ABORT), or send smaller batches.";
    TOO_MANY_SESSIONS, ResourceExhausted,
        "As many sessions are open as the daemon allows (`--max-sessions`).",
        "no", "when others have closed", "Close sessions, or use `Execute` and `Query`.";
    TOO_MANY_SNAPSHOTS, ResourceExhausted,
        "Every place for a read transaction is taken (`--readers`).",
        "no", "yes, after the time given", "End a read transaction, or read without one.";
    TOO_MANY_STATEMENTS, ResourceExhausted,
        "The batch has more than 100,000 statements.",
        "no", "no", "Send several batches, or a session's transaction.";
    TOO_MANY_VALUES, ResourceExhausted,
        "The statements have more than 2,000,000 values.",
        "no", "no", "Send several batches, or a session's transaction.";
    TRANSACTION_BUSY, ResourceExhausted,
        "Too many cancelled requests of the transaction still wait for the writer.",
        "no", "when the earlier ones are done", "Wait for earlier requests before sending more.";
    TRANSACTION_IDLE, Aborted,
        "No request came for too long (`--transaction-idle-timeout`, `--snapshot-idle-timeout`); the transaction was rolled back.",
        "no", "yes, the whole transaction", "Do the work between requests before beginning.";
    TRANSACTION_LOST, Aborted,
        "An earlier statement rolled back the transaction as a whole.",
        "no", "yes, the whole transaction", "The message has the earlier error.";
    TRANSACTION_OPEN, FailedPrecondition,
        "The session already has a transaction.",
        "no", "no", "Commit it or roll it back, or use another session.";
    TRANSACTION_TIMEOUT, Aborted,
        "The transaction took longer than `--transaction-timeout`; it was rolled back.",
        "no", "yes, the whole transaction", "Split it into smaller ones.";
    UNKNOWN_MODE, InvalidArgument,
        "The batch has a transaction mode that the daemon does not know.",
        "no", "no", "Use ATOMIC or EACH.";
    UNKNOWN_TRANSACTION_KIND, InvalidArgument,
        "Begin has a kind that the daemon does not know.",
        "no", "no", "Use READ or WRITE.";
    WAL_TOO_LARGE, Aborted,
        "The write-ahead log grew past `--max-wal-bytes`, and this was one of the oldest reads that keep it.",
        "no", "yes", "Read in smaller parts.";
    WAL_UNAVAILABLE, FailedPrecondition,
        "The file system does not allow write-ahead logging. The daemon does not start.",
        "no", "no", "Put the database on a local file system.";
    WRITER_FAILED, Internal,
        "The daemon's writer failed, which is a bug.",
        "the message says", "yes, with the same `request_id`", "Report it with the daemon's log.";
}
