//! Between the protocol's messages and what the engine understands.

use prost::Message as _;
use skylinedb::{
    proto::v1::{self as proto, TransactionMode, value::Kind as ValueKind},
    wire,
};
use skylinedb_engine::{
    Answer, Batch, BatchResult, Column, Error, Hold, Kind, MAX_REQUEST_ID_BYTES, Mode, RequestId, Statement,
    StatementResult, Value, ValueRef,
};

use super::{
    messages::{self, Arrival},
    status,
};

/// A request as a batch.
pub(super) fn batch(request: proto::ExecuteRequest, arrival: Arrival, max_sql_bytes: usize) -> Result<Batch, Error> {
    messages::off_the_runtime(arrival.memory_bytes, || {
        let mut batch = batch_of(request, max_sql_bytes)?;
        if let Some(first) = batch.statements.first_mut() {
            first.hold = arrival.hold;
        }
        Ok(batch)
    })
}

fn batch_of(request: proto::ExecuteRequest, max_sql_bytes: usize) -> Result<Batch, Error> {
    let size_bytes = request.encoded_len();
    let mode = match TransactionMode::try_from(request.mode) {
        Ok(TransactionMode::Unspecified | TransactionMode::Atomic) => Mode::Atomic,
        Ok(TransactionMode::Each) => Mode::Each,
        Err(_) => return Err(invalid("UNKNOWN_MODE", format!("there is no transaction mode {}", request.mode))),
    };
    if request.statements.is_empty() {
        return Err(invalid("NO_STATEMENT", "the batch has no statement; at least one is needed"));
    }
    if request.request_id.len() > MAX_REQUEST_ID_BYTES {
        return Err(invalid(
            "REQUEST_ID_TOO_LONG",
            format!(
                "the request_id has {} bytes, and at most {MAX_REQUEST_ID_BYTES} are allowed",
                request.request_id.len()
            ),
        ));
    }
    let statements = request.statements.into_iter().enumerate();
    let statements = statements.map(|(index, one)| statement(one, max_sql_bytes).map_err(|error| error.at(index)));
    Ok(Batch {
        statements: statements.collect::<Result<_, _>>()?,
        mode,
        request: (!request.request_id.is_empty())
            .then_some(RequestId { id: request.request_id, encode: stored_answer }),
        size_bytes,
    })
}

/// A statement with its parameters.
pub(super) fn statement(statement: proto::Statement, max_sql_bytes: usize) -> Result<Statement, Error> {
    if statement.sql.len() > max_sql_bytes {
        return Err(Error::new(
            Kind::Exhausted,
            "SQL_TOO_LONG",
            format!(
                "the statement has {} bytes of SQL, and at most {max_sql_bytes} are allowed (--max-sql-bytes); give large \
                 values as parameters",
                statement.sql.len()
            ),
        ));
    }
    Ok(Statement {
        sql: statement.sql,
        positional: statement.parameters.into_iter().map(parameter).collect(),
        named: statement.named_parameters.into_iter().map(|(name, value)| (name, parameter(value))).collect(),
        hold: Hold::default(),
    })
}

/// The answer to a batch that went to the writer.
pub(super) fn answer(answer: Result<Answer, Error>) -> Result<proto::ExecuteResponse, Error> {
    match answer? {
        Answer::Fresh(result) => Ok(execute_response(result)),
        Answer::Replayed(stored) => {
            messages::count_made(2 * stored.len(), stored.len())?;
            let decode = || proto::ExecuteResponse::decode(stored.as_slice());
            let mut response = messages::off_the_runtime(stored.len(), decode)
                .map_err(|error| Error::internal(format_args!("reading a stored answer: {error}")))?;
            response.replayed = true;
            Ok(response)
        }
    }
}

/// What a batch did.
pub(super) fn execute_response(result: BatchResult) -> proto::ExecuteResponse {
    let BatchResult { results, revision, hold } = result;
    let size_bytes = hold.bytes() + results.len() * size_of::<proto::StatementResult>();
    messages::off_the_runtime(size_bytes, || {
        let results = results.into_iter().map(|result| match result {
            Ok(result) => statement_result(result),
            Err(error) => proto::StatementResult { error: Some(status::message(error)), ..Default::default() },
        });
        let response = proto::ExecuteResponse { results: results.collect(), revision, replayed: false };
        if hold.bytes() > 0 {
            messages::made(hold, response.encoded_len());
        }
        response
    })
}

/// The columns of a result.
pub(super) fn columns(columns: Vec<Column>) -> Vec<proto::Column> {
    columns.into_iter().map(|column| proto::Column { name: column.name, declared_type: column.declared_type }).collect()
}

/// A value as the wire has it. Text that is not UTF-8 becomes a blob: a protocol buffer cannot carry it as text.
pub(super) fn value(value: ValueRef<'_>) -> wire::ValueRef<'_> {
    match value {
        ValueRef::Null => wire::ValueRef::Null,
        ValueRef::Integer(integer) => wire::ValueRef::Integer(integer),
        ValueRef::Real(real) => wire::ValueRef::Real(real),
        ValueRef::Text(bytes) => str::from_utf8(bytes).map_or(wire::ValueRef::Blob(bytes), wire::ValueRef::Text),
        ValueRef::Blob(bytes) => wire::ValueRef::Blob(bytes),
    }
}

fn stored_answer(result: &BatchResult) -> Vec<u8> {
    execute_response(result.clone()).encode_to_vec()
}

fn statement_result(result: StatementResult) -> proto::StatementResult {
    let row = |values: Vec<Value>| proto::Row { values: values.into_iter().map(owned_value).collect() };
    proto::StatementResult {
        rows_affected: result.rows_affected,
        last_insert_rowid: result.last_insert_rowid,
        columns: columns(result.columns),
        rows: result.rows.into_iter().map(row).collect(),
        error: None,
    }
}

fn parameter(value: proto::Value) -> Value {
    match value.kind {
        None => Value::Null,
        Some(ValueKind::Integer(integer)) => Value::Integer(integer),
        Some(ValueKind::Real(real)) => Value::Real(real),
        Some(ValueKind::Text(text)) => Value::Text(text),
        Some(ValueKind::Blob(blob)) => Value::Blob(blob),
    }
}

fn owned_value(value: Value) -> proto::Value {
    let kind = match value {
        Value::Null => None,
        Value::Integer(integer) => Some(ValueKind::Integer(integer)),
        Value::Real(real) => Some(ValueKind::Real(real)),
        Value::Text(text) => Some(ValueKind::Text(text)),
        Value::Blob(blob) => Some(ValueKind::Blob(blob)),
    };
    proto::Value { kind }
}

fn invalid(reason: &'static str, message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, reason, message)
}
