//! Runs one statement on a connection: compile, bind, step, hand over the rows.

use rusqlite::{CachedStatement, Row, ffi, limits::Limit};

use super::{
    connection::GuardedConnection,
    error::{Error, Kind},
    meta,
    policy::{Author, Traits},
    statement::{Column, Statement, StatementResult, Value, ValueRef},
};

/// Takes the rows of a statement while it runs.
pub(crate) trait RowSink {
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
pub(crate) struct RowValues<'row> {
    row: &'row Row<'row>,
    columns: usize,
}

/// Longer statements are not kept compiled: they are seldom sent twice, and 256 of 16 MiB would fill the memory.
const CACHED_SQL_MAX_BYTES: usize = 16 << 10;

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

/// What SQLite says of a value or a row that is longer than `SQLITE_LIMIT_LENGTH`.
const TOO_BIG: &str = "string or blob too big";

/// Makes SQLite see whether its schema is that of the file, and gives no row.
const LOOK_AT_SCHEMA: &str = "SELECT 1 FROM sqlite_schema LIMIT 0;";

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

/// Rows kept in memory, up to a limit that all statements of a batch share.
pub(super) struct Collector<'budget> {
    budget_bytes: &'budget mut usize,
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
}

impl RowValues<'_> {
    /// The values, in the order of the columns.
    pub(crate) fn iter(&self) -> impl Iterator<Item = ValueRef<'_>> {
        // get_ref fails for an index that is out of range only.
        (0..self.columns).map(|index| self.row.get_ref(index).unwrap_or(ValueRef::Null))
    }
}

/// Runs a statement. The connection's watch and author are the caller's.
pub(super) fn run(
    connection: &GuardedConnection,
    statement: &Statement,
    access: Access,
    sink: &mut dyn RowSink,
) -> Result<Ran, Stop> {
    let (mut prepared, mut traits) = prepare(connection, &statement.sql).map_err(Stop::Failed)?;
    if traits.tells_of_schema {
        // Made from a schema that another connection may have changed since: SQLite only looks when a statement runs.
        prepared.discard();
        connection.run(LOOK_AT_SCHEMA).map_err(Stop::Failed)?;
        (prepared, traits) = prepare(connection, &statement.sql).map_err(Stop::Failed)?;
    }
    let outcome = run_prepared(connection, &mut prepared, &traits, statement, access, sink);
    put_back(prepared, &traits, &statement.sql);
    outcome.map(|(result, writes)| Ran { result, writes })
}

/// Whether a statement only reads; `None` if it does not compile.
pub(super) fn is_readonly(connection: &GuardedConnection, sql: &str) -> Option<bool> {
    let (prepared, traits) = prepare(connection, sql).ok()?;
    let is_readonly = !writes(&prepared, &traits) && is_for_readers(&traits);
    put_back(prepared, &traits, sql);
    Some(is_readonly)
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
        return Err(Stop::Failed(Error::of_code(
            ffi::SQLITE_READONLY,
            "the statement writes, and only reads are possible here; send it by Execute, or in a write transaction",
        )));
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
        Err(error) => return Err(Stop::Failed(explain(connection, error))),
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

/// The error of a statement that does more than to read, where only reads are possible.
pub(super) fn not_for_readers() -> Error {
    Error::of_code(
        ffi::SQLITE_READONLY,
        "the statement changes the connection or the file, and only reads are possible here; send it by Execute",
    )
}

impl<'budget> Collector<'budget> {
    /// A collector that may use up what is left of the budget.
    pub(super) fn new(budget_bytes: &'budget mut usize) -> Self {
        Self { budget_bytes, columns: Vec::new(), rows: Vec::new() }
    }

    /// The statement's whole result.
    pub(super) fn into_result(self, mut result: StatementResult) -> StatementResult {
        result.columns = self.columns;
        result.rows = self.rows;
        result
    }
}

impl RowSink for Collector<'_> {
    fn columns(&mut self, columns: Vec<Column>) -> Result<(), Error> {
        self.columns = columns;
        Ok(())
    }

    fn row(&mut self, row: &RowValues<'_>) -> Result<(), Error> {
        let values: Vec<Value> = row.iter().map(owned).collect();
        let size: usize = size_of::<Vec<Value>>() + values.iter().map(memory_bytes).sum::<usize>();
        *self.budget_bytes = self.budget_bytes.checked_sub(size).ok_or_else(|| {
            Error::new(
                Kind::Exhausted,
                "ANSWER_TOO_LARGE",
                "the rows of the answer are larger than the daemon allows for one message (--max-answer-bytes); read them \
                 with Query, which streams them",
            )
        })?;
        self.rows.push(values);
        Ok(())
    }
}

/// A value of its own. Text that is not UTF-8 becomes a blob: protocol buffers could not carry it as text.
fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(bytes) => match str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Blob(bytes.to_vec()),
        },
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

fn memory_bytes(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::Text(text) => text.len(),
            Value::Blob(blob) => blob.len(),
            _ => 0,
        }
}

fn prepare<'c>(connection: &'c GuardedConnection, sql: &str) -> Result<(CachedStatement<'c>, Traits), Error> {
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
    let prepared = connection.sqlite.prepare_cached(sql).map_err(|error| explain(connection, error.into()))?;
    let (traits, _) = connection.policy.take_findings();
    let is_empty = prepared.column_count() == 0 && prepared.readonly() && prepared.expanded_sql().is_none();
    if is_empty {
        prepared.discard();
        return Err(Error::new(Kind::Invalid, "EMPTY_STATEMENT", "the statement is empty or only a comment"));
    }
    Ok((prepared, traits))
}

/// Puts a statement back into the cache if it is an ordinary one.
fn put_back(prepared: CachedStatement<'_>, traits: &Traits, sql: &str) {
    if *traits == Traits::default() && sql.len() <= CACHED_SQL_MAX_BYTES { drop(prepared) } else { prepared.discard() }
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
        return step(prepared, sink);
    };
    let target = connection.policy.prepare_attach(file).map_err(denied)?;
    step(prepared, sink)?;
    if let Err(reason) = target.check_opened() {
        connection.detach_newest()?;
        return Err(denied(reason));
    }
    target.keep();
    Ok(())
}

fn step(prepared: &mut CachedStatement<'_>, sink: &mut dyn RowSink) -> Result<(), Error> {
    let mut rows = prepared.raw_query();
    let mut columns = 0;
    // Only the first step finds out that the schema has changed since the statement was compiled, and compiles it again:
    // before it, a cached statement would tell the columns of yesterday.
    let mut is_described = false;
    while let Some(row) = rows.next()? {
        if !is_described {
            let statement: &rusqlite::Statement<'_> = row.as_ref();
            columns = statement.column_count();
            sink.columns(describe(statement))?;
            is_described = true;
        }
        sink.row(&RowValues { row, columns })?;
    }
    drop(rows);
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

/// Puts the true reason into errors of which SQLite knows only that its callback said no.
fn explain(connection: &GuardedConnection, error: Error) -> Error {
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
