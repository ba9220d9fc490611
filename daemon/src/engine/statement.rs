//! What the engine is asked to run, and what it answers.

pub(crate) use rusqlite::types::{Value, ValueRef};

use super::error::Error;
use crate::ledger::Hold;

/// One SQL statement with the values of its parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statement {
    /// The text.
    pub(crate) sql: String,
    /// The values of ?1, ?2, …
    pub(crate) positional: Vec<Value>,
    /// The values of named parameters; a name has its first character (`:`, `@`, `$`) or not.
    pub(crate) named: Vec<(String, Value)>,
    /// The request's part of the ledger, at one of its statements.
    pub(crate) hold: Hold,
}

impl Statement {
    /// How long the text and the values are, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        let of_value = |value: &Value| match value {
            Value::Text(text) => text.len(),
            Value::Blob(blob) => blob.len(),
            Value::Null | Value::Integer(_) | Value::Real(_) => size_of::<Value>(),
        };
        let named = self.named.iter().map(|(name, value)| name.len() + of_value(value)).sum::<usize>();
        self.sql.len() + self.positional.iter().map(of_value).sum::<usize>() + named
    }
}

/// How the statements of a batch belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// All or nothing.
    Atomic,
    /// Every statement on its own, committed together.
    Each,
}

/// Statements for one transaction.
#[derive(Debug)]
pub(crate) struct Batch {
    /// At least one.
    pub(crate) statements: Vec<Statement>,
    /// How they belong together.
    pub(crate) mode: Mode,
    /// Set if a repetition of the batch is to be recognised.
    pub(crate) request: Option<RequestId>,
    /// The batch's size on the wire: what it counts in the queue and in a group.
    pub(crate) size_bytes: usize,
}

impl AsRef<[Statement]> for Batch {
    fn as_ref(&self) -> &[Statement] {
        &self.statements
    }
}

/// What makes a batch known again.
#[derive(Debug)]
pub(crate) struct RequestId {
    /// The client's own id.
    pub(crate) id: String,
    /// Turns the answer into what is stored with the commit and given for a repetition.
    pub(crate) encode: fn(&BatchResult) -> Vec<u8>,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its name.
    pub(crate) name: String,
    /// Its type in CREATE TABLE; empty for an expression.
    pub(crate) declared_type: String,
}

/// What one statement did.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct StatementResult {
    /// Rows that INSERT, UPDATE or DELETE changed itself.
    pub(crate) rows_affected: u64,
    /// The rowid of the batch's newest insert so far, 0 without one.
    pub(crate) last_insert_rowid: i64,
    /// Empty if the statement returns no rows.
    pub(crate) columns: Vec<Column>,
    /// The rows.
    pub(crate) rows: Vec<Vec<Value>>,
}

/// What a batch did.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BatchResult {
    /// One a statement. Errors are only in batches of mode EACH.
    pub(crate) results: Vec<Result<StatementResult, Error>>,
    /// The revision that the batch became, or for reads one that they are sure to have seen.
    pub(crate) revision: u64,
    /// Its part of the ledger.
    pub(crate) hold: Hold,
}

/// The answer to a batch.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// The batch was run.
    Fresh(BatchResult),
    /// It had been run before: the stored answer.
    Replayed(Vec<u8>),
}
