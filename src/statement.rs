//! What the daemon is asked to run.

use crate::{params::Params, proto::v1 as proto, value::Value};

/// One SQL statement and the values of its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    sql: String,
    params: Params,
}

/// How the statements of a batch belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransactionMode {
    /// All or nothing: the first error undoes the whole batch and is its error.
    #[default]
    Atomic,
    /// Every statement on its own: one that fails is undone alone and has its error in its result, and the next one runs.
    Each,
}

/// Statements to run in one transaction: at least one, at most 100,000.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    statements: Vec<Statement>,
    mode: TransactionMode,
    request_id: String,
}

impl Statement {
    /// A statement, which must be exactly one.
    pub fn new(sql: impl Into<String>, params: Params) -> Self {
        Self { sql: sql.into(), params }
    }

    pub(crate) fn into_proto(self) -> proto::Statement {
        let named = self.params.named.into_iter().map(|(name, value)| (name, value.into_proto()));
        proto::Statement {
            sql: self.sql,
            parameters: self.params.positional.into_iter().map(Value::into_proto).collect(),
            named_parameters: named.collect(),
        }
    }
}

impl Batch {
    /// A batch without statements.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a statement at the end.
    #[must_use]
    pub fn push(mut self, statement: Statement) -> Self {
        self.statements.push(statement);
        self
    }

    /// Sets how the statements belong together.
    #[must_use]
    pub fn mode(mut self, mode: TransactionMode) -> Self {
        self.mode = mode;
        self
    }

    /// Makes a retry safe: a batch with an id that was committed before is not run again but gets the first answer. At
    /// most 128 bytes; best a random UUID.
    #[must_use]
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = id.into();
        self
    }

    pub(crate) fn into_proto(self) -> proto::ExecuteRequest {
        let mode = match self.mode {
            TransactionMode::Atomic => proto::TransactionMode::Atomic,
            TransactionMode::Each => proto::TransactionMode::Each,
        };
        proto::ExecuteRequest {
            database: String::new(),
            statements: self.statements.into_iter().map(Statement::into_proto).collect(),
            mode: mode.into(),
            request_id: self.request_id,
        }
    }
}

impl Extend<Statement> for Batch {
    fn extend<I: IntoIterator<Item = Statement>>(&mut self, statements: I) {
        self.statements.extend(statements);
    }
}

impl FromIterator<Statement> for Batch {
    fn from_iter<I: IntoIterator<Item = Statement>>(statements: I) -> Self {
        Self { statements: statements.into_iter().collect(), ..Self::default() }
    }
}
