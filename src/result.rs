//! What the daemon answers: rows, what a statement did, what a batch did.

use std::sync::Arc;

use crate::{
    error::{DatabaseError, Error},
    proto::v1 as proto,
    value::{FromValue, Value},
};

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type as declared in CREATE TABLE; empty for an expression. SQLite does not enforce it.
    pub declared_type: String,
}

/// A row of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    columns: Arc<[Column]>,
    values: Vec<Value>,
}

/// Which column of a row is meant: its number from 0, or its name.
pub trait ColumnIndex {
    /// The column's number.
    fn index(&self, columns: &[Column]) -> Result<usize, Error>;
}

/// What one statement did.
#[derive(Clone, Debug, PartialEq)]
pub struct StatementResult {
    /// How many rows INSERT, UPDATE or DELETE changed, without those of triggers; 0 for any other statement.
    pub rows_affected: u64,
    /// The rowid of the newest row that the batch had inserted by then; 0 without one.
    pub last_insert_rowid: i64,
    /// The columns of a statement that returns rows; otherwise empty.
    pub columns: Arc<[Column]>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// What a batch did. When this is there, the batch is on disk.
#[derive(Debug)]
pub struct BatchResult {
    /// One a statement, in order. Errors are only in batches of mode [`Each`](crate::TransactionMode::Each).
    pub results: Vec<Result<StatementResult, Error>>,
    /// The revision of the database that the batch became. For a batch of reads, one that it has seen at least; within a
    /// write transaction 0.
    pub revision: u64,
    /// Whether this is the stored answer to an earlier batch with the same request id.
    pub replayed: bool,
}

impl Row {
    pub(crate) fn new(columns: &Arc<[Column]>, values: Vec<Value>) -> Self {
        Self { columns: Arc::clone(columns), values }
    }

    /// The values, in the order of the columns.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The values, to be kept.
    #[must_use]
    pub fn into_values(self) -> Vec<Value> {
        self.values
    }

    /// The columns.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// A column's value as an ordinary type; the column by its number from 0, or by its name.
    ///
    /// # Errors
    /// [`Error::Conversion`] if there is no such column, or if its value is not of that type.
    #[allow(clippy::needless_pass_by_value, reason = "an index is a number or a reference")]
    pub fn get<T: FromValue>(&self, column: impl ColumnIndex) -> Result<T, Error> {
        let index = column.index(&self.columns)?;
        let value = self.values.get(index).cloned().unwrap_or_default();
        T::from_value(value).map_err(|error| match error {
            Error::Conversion(message) => {
                Error::Conversion(format!("column {:?}: {message}", self.columns[index].name))
            }
            other => other,
        })
    }
}

impl ColumnIndex for usize {
    fn index(&self, columns: &[Column]) -> Result<usize, Error> {
        if *self < columns.len() {
            return Ok(*self);
        }
        Err(Error::Conversion(format!("there is no column {self}: the row has {}", columns.len())))
    }
}

impl ColumnIndex for &str {
    fn index(&self, columns: &[Column]) -> Result<usize, Error> {
        columns.iter().position(|column| column.name == *self).ok_or_else(|| {
            let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
            Error::Conversion(format!("there is no column {self:?}: the row has {}", names.join(", ")))
        })
    }
}

pub(crate) fn columns(columns: Vec<proto::Column>) -> Arc<[Column]> {
    columns.into_iter().map(|column| Column { name: column.name, declared_type: column.declared_type }).collect()
}

pub(crate) fn row(columns: &Arc<[Column]>, row: proto::Row) -> Row {
    Row::new(columns, row.values.into_iter().map(Value::from_proto).collect())
}

impl StatementResult {
    pub(crate) fn from_proto(result: proto::StatementResult) -> Result<Self, Error> {
        if let Some(error) = result.error {
            return Err(DatabaseError::from_proto(error).into());
        }
        let columns = columns(result.columns);
        Ok(Self {
            rows_affected: result.rows_affected,
            last_insert_rowid: result.last_insert_rowid,
            rows: result.rows.into_iter().map(|one| row(&columns, one)).collect(),
            columns,
        })
    }
}

impl BatchResult {
    pub(crate) fn from_proto(response: proto::ExecuteResponse) -> Self {
        Self {
            results: response.results.into_iter().map(StatementResult::from_proto).collect(),
            revision: response.revision,
            replayed: response.replayed,
        }
    }

    /// The result of a batch that was one statement.
    pub(crate) fn into_single(self) -> Result<StatementResult, Error> {
        let mut results = self.results.into_iter();
        match (results.next(), results.next()) {
            (Some(result), None) => result,
            _ => Err(Error::Protocol("the answer to one statement must have one result".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_got_by_number_or_by_name() {
        let column = |name: &str| proto::Column { name: name.to_owned(), declared_type: String::new() };
        let values = vec![Value::Integer(5).into_proto(), Value::Null.into_proto()];
        let row = row(&columns(vec![column("id"), column("name")]), proto::Row { values });
        assert_eq!(row.get::<i64>(0).expect("by number"), 5);
        assert_eq!(row.get::<Option<String>>("name").expect("by name"), None);
        let error = |outcome: Result<String, Error>| outcome.expect_err("no text").to_string();
        assert!(error(row.get("id")).contains("\"id\""), "it names the column");
        assert!(error(row.get(2)).contains("no column 2"));
        assert!(error(row.get("age")).contains("id, name"), "it says what there is");
    }
}
