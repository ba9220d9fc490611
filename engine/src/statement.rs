//! What the engine is asked to run, and what it answers.

pub use rusqlite::types::{Value, ValueRef};

use super::error::Error;
use crate::ledger::Hold;

/// One SQL statement with the values of its parameters.
#[derive(Clone, Debug, Default)]
pub struct Statement {
    /// The text.
    pub sql: String,
    /// The values of ?1, ?2, …
    pub positional: Vec<Value>,
    /// The values of named parameters; a name has its first character (`:`, `@`, `$`) or not.
    pub named: Vec<(String, Value)>,
    /// The request's part of the ledger, at one of its statements.
    pub hold: Hold,
}

impl Statement {
    /// How long the text and the values are, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
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
pub enum Mode {
    /// All or nothing.
    Atomic,
    /// Every statement on its own, committed together.
    Each,
}

/// Statements for one transaction.
#[derive(Debug)]
pub struct Batch {
    /// At least one.
    pub statements: Vec<Statement>,
    /// How they belong together.
    pub mode: Mode,
    /// Set if a repetition of the batch is to be recognised.
    pub request: Option<RequestId>,
    /// The batch's size on the wire: what it counts in the queue and in a group.
    pub size_bytes: usize,
}

impl AsRef<[Statement]> for Batch {
    fn as_ref(&self) -> &[Statement] {
        &self.statements
    }
}

/// What makes a batch known again.
#[derive(Debug)]
pub struct RequestId {
    /// The client's own id.
    pub id: String,
    /// Turns the answer into what is stored with the commit and given for a repetition.
    pub encode: fn(&BatchResult) -> Vec<u8>,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type in CREATE TABLE; empty for an expression.
    pub declared_type: String,
}

/// What one statement did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatementResult {
    /// Rows that INSERT, UPDATE or DELETE changed itself.
    pub rows_affected: u64,
    /// The rowid of the batch's newest insert so far, 0 without one.
    pub last_insert_rowid: i64,
    /// Empty if the statement returns no rows.
    pub columns: Vec<Column>,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
}

/// What a batch did.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchResult {
    /// One a statement. Errors are only in batches of mode EACH.
    pub results: Vec<Result<StatementResult, Error>>,
    /// The revision that the batch became, or for reads one that they are sure to have seen.
    pub revision: u64,
    /// Its part of the ledger.
    pub hold: Hold,
}

/// The answer to a batch.
#[derive(Debug, PartialEq)]
pub enum Answer {
    /// The batch was run.
    Fresh(BatchResult),
    /// It had been run before: the stored answer.
    Replayed(Vec<u8>),
}
