//! The rows of an Execute, kept in memory until they are sent. A value is counted before it is copied.

use super::{
    connection::GuardedConnection,
    error::{Error, Kind},
    run::{RowSink, RowValues},
    statement::{Column, StatementResult, Value, ValueRef},
};
use crate::ledger::{Half, Hold};

/// What an answer may take uncounted.
const FREE_BYTES: usize = 1 << 10;

/// What is asked for at once, at least.
const STEP_BYTES: usize = 4 << 10;

/// What the rows of a batch may take. The rows of a statement of mode EACH that fails are not counted: a later one can have
/// their room.
#[derive(Debug)]
pub(super) struct Budget<'c> {
    max_bytes: usize,
    left_bytes: usize,
    /// What the answers of all batches may take together, and the part of this one.
    answers: &'c Half,
    hold: Hold,
    statements: usize,
}

/// Rows kept in memory, within the budget that all statements of a batch share.
pub(super) struct Collector<'b, 'c> {
    budget: &'b mut Budget<'c>,
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
}

impl<'c> Budget<'c> {
    pub(super) fn new(connection: &'c GuardedConnection, max_bytes: usize) -> Self {
        Self { max_bytes, left_bytes: max_bytes, answers: &connection.answers, hold: Hold::default(), statements: 0 }
    }

    /// Counts the result of one more statement, which need not have rows.
    pub(super) fn add_statement(&mut self) -> Result<(), Error> {
        self.statements += 1;
        self.count()
    }

    /// How much memory the rows take.
    pub(super) fn used_bytes(&self) -> usize {
        self.max_bytes - self.left_bytes
    }

    /// The answer's part of the ledger.
    pub(super) fn into_hold(mut self) -> Hold {
        self.hold.shrink_to(self.memory_bytes());
        self.hold
    }

    fn memory_bytes(&self) -> usize {
        self.used_bytes() + self.statements * size_of::<StatementResult>()
    }

    fn count(&mut self) -> Result<(), Error> {
        let bytes = self.memory_bytes();
        if bytes <= FREE_BYTES || bytes <= self.hold.bytes() {
            return Ok(());
        }
        // Twice as much each time, so that the ledger is asked seldom.
        let wanted = bytes.next_power_of_two().max(STEP_BYTES);
        self.answers.try_grow(&mut self.hold, wanted).or_else(|_| self.answers.try_grow(&mut self.hold, bytes))
    }

    /// Makes so many bytes the whole, because the rows that came after them are not kept.
    pub(super) fn go_back_to(&mut self, used_bytes: usize) {
        self.left_bytes = self.max_bytes - used_bytes;
    }
}

impl<'b, 'c> Collector<'b, 'c> {
    /// A collector that may use up what is left of the budget.
    pub(super) fn new(budget: &'b mut Budget<'c>) -> Self {
        Self { budget, columns: Vec::new(), rows: Vec::new() }
    }

    /// The statement's whole result.
    pub(super) fn into_result(self, mut result: StatementResult) -> StatementResult {
        result.columns = self.columns;
        result.rows = self.rows;
        result
    }

    fn take(&mut self, bytes: usize) -> Result<(), Error> {
        self.budget.left_bytes = self.budget.left_bytes.checked_sub(bytes).ok_or_else(|| {
            Error::new(
                Kind::Exhausted,
                "ANSWER_TOO_LARGE",
                "the rows and columns of the answer are larger than the daemon allows for one message (--max-answer-bytes); read them \
                 with Query, which streams them",
            )
        })?;
        self.budget.count()
    }
}

impl RowSink for Collector<'_, '_> {
    fn columns(&mut self, columns: Vec<Column>) -> Result<(), Error> {
        let names = columns.iter().map(|column| column.name.len() + column.declared_type.len());
        self.take(names.sum::<usize>() + columns.len() * size_of::<Column>())?;
        self.columns = columns;
        Ok(())
    }

    fn row(&mut self, row: &RowValues<'_>) -> Result<(), Error> {
        self.take(size_of::<Vec<Value>>() + row.columns() * size_of::<Value>())?;
        let mut values = Vec::with_capacity(row.columns());
        for value in row.iter() {
            self.take(content_bytes(value))?;
            values.push(owned(value));
        }
        row.check()?;
        self.rows.push(values);
        Ok(())
    }
}

/// What a value has beside its place in a row.
pub(super) fn content_bytes(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
        _ => 0,
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
