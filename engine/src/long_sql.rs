//! Long texts of SQL. SQLite takes the square of some texts' length to compile them (a row of 35,000 columns compared with
//! another: a minute), needs no memory for it and cannot be stopped. So a long text is compiled by the pool before the writer gets
//! it, which is refused if that takes long: the writer would keep all others waiting. What is shorter takes less than a second.

use std::time::Duration;

use super::{
    connection::{GuardedConnection, prepare_own},
    error::{Error, Kind},
    run::{self, STATEMENT_TOO_LARGE},
    statement::Statement,
};

/// A text is long from here on.
const LONG_SQL_BYTES: usize = 32 << 10;

/// How much of a processor compiling a long text may take. Ordinary texts are compiled with 50 to 100 MiB/s.
const COMPILE_TIME: Duration = Duration::from_secs(1);

/// What a text of the schema may have, and all of them together: each connection compiles the whole schema whenever it has changed,
/// with some 10 MiB/s, and keeps several times as much in memory.
const SCHEMA_SQL_MAX_BYTES: usize = 64 << 10;
const SCHEMA_MAX_BYTES: usize = 4 << 20;

/// How much the texts of the schema have together.
const MEASURE_SCHEMA: &str = "SELECT coalesce(sum(length(sql)), 0) FROM sqlite_schema;";

/// Whether a text is long.
fn is_long(statement: &Statement) -> bool {
    statement.sql.len() > LONG_SQL_BYTES
}

/// Whether any of the texts is long.
pub(super) fn has_long(statements: &[Statement]) -> bool {
    statements.iter().any(is_long)
}

/// Compiles the long texts. An error is that of one that takes too long, or too much memory; those that do not
/// compile may need what comes before them, and fail when they are run.
pub(super) fn look_at(connection: &GuardedConnection, statements: &[Statement]) -> Result<(), Error> {
    for (index, statement) in statements.iter().enumerate().filter(|(_, statement)| is_long(statement)) {
        if let Some(interruption) = connection.watch.is_over() {
            return Err(interruption.error().at(index));
        }
        match run::compiles(connection, &statement.sql) {
            Err(error) if error.reason == STATEMENT_TOO_LARGE => return Err(error.at(index)),
            _ => {}
        }
    }
    Ok(())
}

/// Measures how long it takes to compile a text.
pub(super) struct Stopwatch(Option<Duration>);

impl Stopwatch {
    /// Starts, if the text is long enough to be measured.
    pub(super) fn start(sql: &str) -> Self {
        Self((sql.len() > LONG_SQL_BYTES).then(thread_time))
    }

    /// Refuses what took too long.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.0 {
            Some(begin) if thread_time().saturating_sub(begin) > COMPILE_TIME => Err(Error::new(
                Kind::Exhausted,
                STATEMENT_TOO_LARGE,
                "the statement takes more than a second to compile; give values as parameters, and split it into smaller ones",
            )),
            _ => Ok(()),
        }
    }
}

/// Refuses a change of the schema whose text is too long.
pub(super) fn check_schema_text(sql: &str) -> Result<(), Error> {
    if sql.len() <= SCHEMA_SQL_MAX_BYTES {
        return Ok(());
    }
    Err(Error::new(
        Kind::Exhausted,
        "SCHEMA_TEXT_TOO_LONG",
        format!(
            "the statement has {} bytes of SQL, and one that changes the schema may have {SCHEMA_SQL_MAX_BYTES}: each connection \
             compiles the whole schema whenever it has changed",
            sql.len()
        ),
    ))
}

/// Refuses a change that has just been made, and has made the schema too large. A schema that was larger can be made smaller.
pub(super) fn check_schema(connection: &GuardedConnection, sql: &str) -> Result<(), Error> {
    // What CREATE adds is its own text; ALTER may write all others anew.
    let begins_with =
        |word: &str| sql.trim_ascii_start().get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word));
    let at_most = connection.schema_bytes.get().saturating_add(sql.len());
    if begins_with("CREATE") && at_most <= SCHEMA_MAX_BYTES {
        connection.schema_bytes.set(at_most);
        return Ok(());
    }
    let bytes = connection
        .as_daemon(|sqlite| prepare_own(sqlite, MEASURE_SCHEMA)?.query_row([], |row| row.get::<_, i64>(0)))?;
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    connection.schema_bytes.set(bytes);
    if bytes <= SCHEMA_MAX_BYTES || begins_with("DROP") {
        return Ok(());
    }
    Err(Error::new(
        Kind::Exhausted,
        "SCHEMA_TOO_LARGE",
        format!(
            "the database's schema would have {bytes} bytes of SQL, and may have {SCHEMA_MAX_BYTES}: each connection compiles all of \
             it whenever it has changed; drop what is not needed, or use fewer tables with more rows"
        ),
    ))
}

/// What this thread has had of a processor: what others have does not count.
#[cfg(unix)]
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// The time that has passed, as far as only differences matter.
#[cfg(windows)]
fn thread_time() -> Duration {
    static BEGIN: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    BEGIN.elapsed()
}
