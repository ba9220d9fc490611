//! Runs one statement on a connection: compile, bind, step, hand over the rows.

use std::{cell::Cell, time::Duration};

use rusqlite::{CachedStatement, Row, ffi, limits::Limit};

use super::{
    bytecode,
    collector::content_bytes,
    connection::{GuardedConnection, LOOK_AT_SCHEMA},
    error::{Error, Kind},
    long_sql::{self, Stopwatch},
    meta,
    policy::{Author, Traits},
    sqlite3::{
        memory::{Allowance, Refusal},
        sigbus,
    },
    statement::{Column, Statement, StatementResult, ValueRef},
};

/// Takes the rows of a statement while it runs.
pub trait RowSink {
    /// Called once, when the first row is there or there is none; not called for a statement that returns no rows.
    fn columns(&mut self, columns: Vec<Column>) -> Result<(), Error>;
    /// Called for each row. An error ends the statement.
    fn row(&mut self, row: &RowValues<'_>) -> Result<(), Error>;
    /// Called once, after the last row.
    fn end(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// The row that SQLite is at. Its values are SQLite's own memory, gone at the next row.
pub struct RowValues<'row> {
    row: &'row Row<'row>,
    columns: usize,
    max_bytes: usize,
    is_too_large: Cell<bool>,
}

/// Longer statements are not kept compiled: they are seldom sent twice, and 256 of 16 MiB would fill the memory.
const CACHED_SQL_MAX_BYTES: usize = 16 << 10;

/// What compiling may take, and that for each byte of the text, in memory. A statement of a page takes some 100 KiB; nested
/// queries and views multiply, and take hundreds of MiB a second until they are stopped.
const COMPILE_BYTES: usize = 32 << 20;
const COMPILE_BYTES_PER_SQL_BYTE: usize = 16;

/// A statement that takes more when it is compiled is not kept: 256 of them on each connection would fill the memory.
const CACHED_STATEMENT_MAX_BYTES: usize = 256 << 10;

/// What a statement may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Read only.
    Read,
    /// Read and write, within a transaction that other batches share.
    Shared,
    /// Read and write, and ATTACH: in a transaction of the batch's own.
    Alone,
    /// What SQLite refuses in a transaction: VACUUM, `PRAGMA wal_checkpoint`.
    OutsideTransaction,
}

/// How VACUUM refuses to run in a transaction. Nothing else tells what the statement is.
const VACUUM_IN_TRANSACTION: &str = "cannot VACUUM from within a transaction";

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// It changes the database, or something else that readers cannot.
    Writes,
    /// It only reads.
    Read,
    /// It only reads, and none of its operations can take long: it can be stopped after any of them.
    ShortRead,
}
/// What SQLite says of a value or a row that is longer than `SQLITE_LIMIT_LENGTH`.
const TOO_BIG: &str = "string or blob too big";

/// Why a statement did not run to its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// It failed.
    Failed(Error),
    /// It has not run: it needs this access.
    Needs(Access),
}

/// What a statement has done beside its rows.
#[derive(Debug)]
pub(super) struct Ran {
    /// Rows changed and the newest rowid.
    pub(super) result: StatementResult,
    /// Whether SQLite takes it for a statement that writes.
    pub(super) writes: bool,
}

impl RowValues<'_> {
    /// How many values a row has.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The values, in the order of the columns. They end early if the row is too large, which [`Self::check`] tells:
    /// `zeroblob(900000000)` takes no memory before it is looked at, and a row may have many of them.
    pub fn iter(&self) -> impl Iterator<Item = ValueRef<'_>> {
        let mut bytes = 0_usize;
        (0..self.columns).map_while(move |index| {
            // get_ref fails for an index that is out of range only.
            let value = self.row.get_ref(index).unwrap_or(ValueRef::Null);
            bytes = bytes.saturating_add(content_bytes(value));
            let is_too_large = bytes > self.max_bytes;
            if is_too_large {
                self.is_too_large.set(true);
            }
            (!is_too_large).then_some(value)
        })
    }

    /// Whether [`Self::iter`] has come to the row's end. A sink that gives its rows away asks this before it does.
    pub fn check(&self) -> Result<(), Error> {
        if !self.is_too_large.get() {
            return Ok(());
        }
        Err(Error::new(
            Kind::Exhausted,
            ROW_TOO_LARGE,
            format!(
                "the texts and blobs of one row of the result have more than {} bytes (--max-value-bytes); ask for fewer \
                 columns, or for parts of the values by substr()",
                self.max_bytes
            ),
        ))
    }
}

/// Runs a statement. The connection's watch and author are the caller's.
pub(super) fn run(
    connection: &GuardedConnection,
    statement: &Statement,
    access: Access,
    sink: &mut dyn RowSink,
) -> Result<Ran, Stop> {
    let outcome = run_on_whole_file(connection, statement, access, sink);
    sigbus::check().map_err(Stop::Failed)?;
    outcome
}

fn run_on_whole_file(
    connection: &GuardedConnection,
    statement: &Statement,
    access: Access,
    sink: &mut dyn RowSink,
) -> Result<Ran, Stop> {
    connection.refresh_schema().map_err(Stop::Failed)?;
    let mut prepared = prepare(connection, &statement.sql).map_err(Stop::Failed)?;
    if prepared.traits.tells_of_schema {
        // Made from a schema that another connection may have changed since: SQLite only looks when a statement runs.
        prepared.compiled.discard();
        connection.run(LOOK_AT_SCHEMA).map_err(Stop::Failed)?;
        prepared = prepare(connection, &statement.sql).map_err(Stop::Failed)?;
    }
    let outcome = run_prepared(connection, &mut prepared.compiled, &prepared.traits, statement, access, sink);
    prepared.put_back(&statement.sql);
    outcome.map(|(result, writes)| Ran { result, writes })
}

/// Whether a text compiles.
pub(super) fn compiles(connection: &GuardedConnection, sql: &str) -> Result<(), Error> {
    prepare(connection, sql)?.put_back(sql);
    Ok(())
}

/// What a text is; `None` if it does not compile.
pub(super) fn nature(connection: &GuardedConnection, sql: &str) -> Option<Nature> {
    connection.refresh_schema().ok()?;
    let prepared = prepare(connection, sql).ok()?;
    let only_reads = !writes(&prepared.compiled, &prepared.traits) && is_for_readers(&prepared.traits);
    let is_explain = prepared.compiled.is_explain() != 0;
    prepared.put_back(sql);
    Some(match only_reads {
        false => Nature::Writes,
        true if is_explain || !bytecode::is_short(connection, sql) => Nature::Read,
        true => Nature::ShortRead,
    })
}

fn run_prepared(
    connection: &GuardedConnection,
    prepared: &mut CachedStatement<'_>,
    traits: &Traits,
    statement: &Statement,
    access: Access,
    sink: &mut dyn RowSink,
) -> Result<(StatementResult, bool), Stop> {
    let sqlite = &connection.sqlite;
    let writes = writes(prepared, traits);
    if access == Access::Read && writes {
        return Err(Stop::Needs(Access::Shared));
    }
    if traits.changes_schema {
        long_sql::check_schema_text(&statement.sql).map_err(Stop::Failed)?;
    }
    match access {
        Access::Read if !is_for_readers(traits) => return Err(Stop::Needs(Access::Alone)),
        Access::Read | Access::Shared | Access::Alone if traits.outside_transaction => {
            return Err(Stop::Needs(Access::OutsideTransaction));
        }
        Access::Shared if traits.attaches => return Err(Stop::Needs(Access::Alone)),
        _ => {}
    }
    bind(prepared, statement).map_err(Stop::Failed)?;
    if access == Access::OutsideTransaction {
        connection.policy.set_author(Author::Vacuum);
    }
    let changes_before = sqlite.total_changes();
    let temp_files = connection.temp_files.begin(prepared.readonly());
    let outcome = step_checked(connection, prepared, traits, sink);
    if access == Access::OutsideTransaction {
        connection.policy.end_vacuum(outcome.is_ok());
    }
    match outcome {
        Ok(()) => {}
        // VACUUM gives no sign of itself before it is run, and in a transaction it fails before it has done anything.
        Err(error)
            if writes
                && error.sqlite_code == ffi::SQLITE_ERROR
                && connection.in_transaction()
                && error.message == VACUUM_IN_TRANSACTION =>
        {
            return Err(Stop::Needs(Access::OutsideTransaction));
        }
        Err(error) => return Err(Stop::Failed(temp_files.explain(error))),
    }
    if traits.changes_schema || access == Access::OutsideTransaction {
        connection.changes_schema.set(true);
    }
    if traits.changes_schema {
        long_sql::check_schema(connection, &statement.sql).map_err(Stop::Failed)?;
    }
    if let Some(table) = &traits.defines
        && meta::is_referred_to_by(connection, table).map_err(Stop::Failed)?
    {
        return Err(Stop::Failed(Error::of_code(
            ffi::SQLITE_AUTH,
            format!("the table {table} may not have a foreign key to one of the daemon's own tables"),
        )));
    }
    // changes() is that of the newest INSERT, UPDATE or DELETE, which may be an earlier statement.
    let rows_affected = if sqlite.total_changes() == changes_before { 0 } else { sqlite.changes() };
    let result =
        StatementResult { rows_affected, last_insert_rowid: sqlite.last_insert_rowid(), ..StatementResult::default() };
    Ok((result, writes))
}

/// The error of a statement that needs more than to read, where only reads are possible.
pub(super) fn not_for_readers(needs: Access) -> Error {
    let message = match needs {
        Access::Read | Access::Shared => {
            "the statement writes, and only reads are possible here; send it by Execute, or in a write transaction"
        }
        Access::Alone | Access::OutsideTransaction => {
            "the statement changes the connection or the file, and only reads are possible here; send it by Execute"
        }
    };
    Error::of_code(ffi::SQLITE_READONLY, message)
}

/// A compiled statement, and what became known of it.
struct Prepared<'c> {
    compiled: CachedStatement<'c>,
    traits: Traits,
    is_large: bool,
}

fn prepare<'c>(connection: &'c GuardedConnection, sql: &str) -> Result<Prepared<'c>, Error> {
    // See `prepare_own` for why.
    let sql = sql.trim_end_matches(|c: char| c == ';' || c.is_whitespace());
    // SQLite would take the text up to the NUL for the whole.
    if sql.contains('\0') {
        return Err(Error::new(
            Kind::Invalid,
            "NUL_IN_SQL",
            "the SQL holds a NUL character; pass such text as a parameter",
        ));
    }
    connection.policy.set_author(Author::Client);
    let limit_bytes = COMPILE_BYTES.saturating_add(sql.len().saturating_mul(COMPILE_BYTES_PER_SQL_BYTE));
    let allowance = Allowance::begin(limit_bytes.min(connection.statement_bytes), &connection.watch);
    let stopwatch = Stopwatch::start(sql);
    let compiled = connection.sqlite.prepare_cached(sql);
    let (used_bytes, refusal) = (allowance.used_bytes(), allowance.refusal());
    drop(allowance);
    // Whether it compiles or not: another try would take as long.
    if let Err(slow) = stopwatch.check() {
        connection.policy.take_findings();
        if let Ok(compiled) = compiled {
            compiled.discard();
        }
        return Err(slow);
    }
    let compiled = compiled.map_err(|error| {
        let error = explain(connection, error.into(), refusal.map(|why| (why, Phase::Compiling)));
        Error { does_not_compile: refusal.is_none(), ..error }
    })?;
    let (traits, _) = connection.policy.take_findings();
    let is_empty = compiled.column_count() == 0 && compiled.readonly() && compiled.expanded_sql().is_none();
    if is_empty {
        compiled.discard();
        return Err(Error::new(Kind::Invalid, "EMPTY_STATEMENT", "the statement is empty or only a comment"));
    }
    Ok(Prepared { compiled, traits, is_large: used_bytes > CACHED_STATEMENT_MAX_BYTES })
}

impl Prepared<'_> {
    /// Puts the statement back into the cache if it is an ordinary one.
    fn put_back(self, sql: &str) {
        let is_ordinary = self.traits == Traits::default() && !self.is_large && sql.len() <= CACHED_SQL_MAX_BYTES;
        if is_ordinary { drop(self.compiled) } else { self.compiled.discard() }
    }
}

/// Whether running the statement may change the database. SQLite takes EXPLAIN for what it explains, and a checkpoint, which
/// changes the file but not what is in it, for a write.
fn writes(prepared: &CachedStatement<'_>, traits: &Traits) -> bool {
    traits.writes || (!prepared.readonly() && prepared.is_explain() == 0 && !traits.outside_transaction)
}

/// Whether running the statement leaves nothing behind on the connection, which is what readers cannot clean up.
fn is_for_readers(traits: &Traits) -> bool {
    !traits.outside_transaction && !traits.attaches && !traits.defers_foreign_keys
}

fn bind(prepared: &mut CachedStatement<'_>, statement: &Statement) -> Result<(), Error> {
    let expected = prepared.parameter_count();
    let out_of_range = |message: String| Error::of_code(ffi::SQLITE_RANGE, message);
    if statement.positional.len() > expected {
        return Err(out_of_range(format!(
            "{} parameters are given by position, but the statement has only {expected}",
            statement.positional.len()
        )));
    }
    for (index, value) in statement.positional.iter().enumerate() {
        prepared.raw_bind_parameter(index + 1, value)?;
    }
    if statement.named.is_empty() && statement.positional.len() == expected {
        return Ok(());
    }
    let mut bound = vec![false; expected + 1];
    bound[..=statement.positional.len()].fill(true);
    for (name, value) in &statement.named {
        let index = parameter_index(prepared, name)?.ok_or_else(|| {
            out_of_range(format!("the statement has no parameter named {name:?}; it has {}", parameter_names(prepared)))
        })?;
        if std::mem::replace(&mut bound[index], true) {
            return Err(out_of_range(format!("the parameter {name:?} is given twice")));
        }
        prepared.raw_bind_parameter(index, value)?;
    }
    match bound.iter().position(|bound| !bound) {
        None => Ok(()),
        Some(missing) => {
            let name = prepared.parameter_name(missing).map_or_else(|| format!("?{missing}"), str::to_owned);
            Err(out_of_range(format!(
                "the parameter {name} has no value: the statement has {expected}, {} are given (send NULL as a value \
                 with nothing set)",
                statement.positional.len() + statement.named.len()
            )))
        }
    }
}

fn parameter_index(prepared: &CachedStatement<'_>, name: &str) -> Result<Option<usize>, Error> {
    if name.contains('\0') {
        return Ok(None);
    }
    if name.starts_with([':', '@', '$', '?']) {
        return Ok(prepared.parameter_index(name)?);
    }
    for prefix in [':', '@', '$'] {
        if let Some(index) = prepared.parameter_index(&format!("{prefix}{name}"))? {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

fn parameter_names(prepared: &CachedStatement<'_>) -> String {
    let names: Vec<_> = (1..=prepared.parameter_count()).filter_map(|index| prepared.parameter_name(index)).collect();
    if names.is_empty() { "none with a name".to_owned() } else { names.join(", ") }
}

/// Runs the statement to its end. A file that it attaches must be the one that was allowed.
fn step_checked(
    connection: &GuardedConnection,
    prepared: &mut CachedStatement<'_>,
    traits: &Traits,
    sink: &mut dyn RowSink,
) -> Result<(), Error> {
    let denied = |reason| Error::of_code(ffi::SQLITE_AUTH, reason);
    let Some(file) = traits.attached_file.as_ref().filter(|_| prepared.is_explain() == 0) else {
        return step(connection, prepared, sink);
    };
    let target = connection.policy.prepare_attach(file).map_err(denied)?;
    step(connection, prepared, sink)?;
    if let Err(reason) = target.check_opened() {
        connection.detach_newest()?;
        return Err(denied(reason));
    }
    target.keep();
    Ok(())
}

fn step(
    connection: &GuardedConnection,
    prepared: &mut CachedStatement<'_>,
    sink: &mut dyn RowSink,
) -> Result<(), Error> {
    let allowance = Allowance::begin(connection.statement_bytes, &connection.watch);
    let mut rows = prepared.raw_query();
    let mut columns = 0;
    // Only the first step finds out that the schema has changed since the statement was compiled, and compiles it again:
    // before it, a cached statement would tell the columns of yesterday.
    let mut is_described = false;
    loop {
        let row = rows.next().map_err(|error| {
            let refusal = allowance.refusal().map(|why| (why, Phase::Running));
            explain(connection, error.into(), refusal)
        })?;
        let Some(row) = row else { break };
        // What the rows take is the sink's to bound. SQLite makes some values only when they are read (zeroblob).
        allowance.pause(|| {
            if !is_described {
                let statement: &rusqlite::Statement<'_> = row.as_ref();
                columns = statement.column_count();
                sink.columns(describe(statement))?;
                is_described = true;
            }
            let values = RowValues { row, columns, max_bytes: connection.row_bytes, is_too_large: Cell::new(false) };
            sink.row(&values)?;
            values.check()
        })?;
        sigbus::check()?; // before the client gets more of them
    }
    drop(rows);
    drop(allowance);
    if !is_described && prepared.column_count() > 0 {
        sink.columns(describe(prepared))?;
    }
    sink.end()
}

fn describe(statement: &rusqlite::Statement<'_>) -> Vec<Column> {
    let column = |column: rusqlite::Column<'_>| Column {
        name: column.name().to_owned(),
        declared_type: column.decl_type().unwrap_or_default().to_owned(),
    };
    statement.columns().into_iter().map(column).collect()
}

/// What a statement was at when memory was refused.
#[derive(Clone, Copy)]
enum Phase {
    Compiling,
    Running,
}

/// Puts the true reason into errors of which SQLite knows only that its callback, its allocator or its file said no.
fn explain(connection: &GuardedConnection, error: Error, refusal: Option<(Refusal, Phase)>) -> Error {
    let may_be_refused = [ffi::SQLITE_NOMEM, ffi::SQLITE_ERROR, ffi::SQLITE_INTERRUPT, ffi::SQLITE_IOERR]
        .contains(&(error.sqlite_code & 0xff));
    if let Some((refusal, phase)) = refusal.filter(|_| may_be_refused) {
        return match (refusal, connection.watch.interruption()) {
            (Refusal::Interrupted, Some(interruption)) => interruption.error(),
            (Refusal::Process, _) => memory_full(),
            (_, _) => too_much_memory(phase),
        };
    }
    match (error.sqlite_code & 0xff, connection.policy.take_findings().1, connection.watch.interruption()) {
        (ffi::SQLITE_INTERRUPT, _, Some(interruption)) => interruption.error(),
        (ffi::SQLITE_TOOBIG, ..) if error.message == TOO_BIG => {
            let limit = connection.sqlite.limit(Limit::SQLITE_LIMIT_LENGTH).unwrap_or_default();
            Error { message: format!("{TOO_BIG}: the daemon allows {limit} bytes (--max-value-bytes)"), ..error }
        }
        (ffi::SQLITE_AUTH, Some(reason), _) => Error { message: reason, ..error },
        // A PRAGMA or ATTACH that SQLite runs inside a statement fails with that statement's own code.
        (ffi::SQLITE_ERROR, Some(reason), _) => Error::of_code(ffi::SQLITE_AUTH, reason),
        _ => error,
    }
}

fn too_much_memory(phase: Phase) -> Error {
    let message = match phase {
        Phase::Compiling => format!(
            "the statement takes more than {} MiB to compile: its queries or views are nested too deep or too often; write \
             intermediate results to a table",
            COMPILE_BYTES >> 20
        ),
        Phase::Running => {
            "the statement takes more memory than one may, a quarter of --max-memory-bytes; let it work on less \
                           at once"
                .to_owned()
        }
    };
    Error::new(Kind::Exhausted, STATEMENT_TOO_LARGE, message)
}

fn memory_full() -> Error {
    Error::new(
        Kind::Exhausted,
        "MEMORY_FULL",
        "all statements together take as much memory as they may (--max-memory-bytes); try again",
    )
    .retry_after(MEMORY_FULL_RETRY_AFTER)
}

/// The reason of an error: a row of a result is longer than one may be.
pub(super) const ROW_TOO_LARGE: &str = "ROW_TOO_LARGE";

/// The reason of an error: a statement has taken more memory than one may.
pub(super) const STATEMENT_TOO_LARGE: &str = "STATEMENT_TOO_LARGE";

/// After what time other statements are likely to have given memory back.
const MEMORY_FULL_RETRY_AFTER: Duration = Duration::from_millis(500);
