//! Connections that add nothing of the client library: no time limit of their own, no second attempt.

use std::{path::Path, time::Duration};

use hyper_util::rt::TokioIo;
use skylinedb::{
    Endpoint, Value,
    proto::v1::{self as proto, value::Kind},
};
use tonic::transport::{Channel, Endpoint as Uri};
use tower::service_fn;

/// As the client library has them, so that a bystander's answers never wait for a window.
const CALL_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;

/// How long the daemon may take to accept a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// A connection of its own to the daemon at this endpoint.
pub(crate) async fn connect(endpoint: &Path) -> anyhow::Result<Channel> {
    connect_with_windows(endpoint, CALL_WINDOW_BYTES, CONNECTION_WINDOW_BYTES).await
}

/// The same, with these windows of HTTP/2: so much may the daemon send before it is taken, in a call and in all calls.
pub(crate) async fn connect_with_windows(endpoint: &Path, call: u32, connection: u32) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::new(endpoint);
    let connector = service_fn(move |_| {
        let endpoint = endpoint.clone();
        async move { skylinedb_local::connect(&endpoint).await.map(TokioIo::new) }
    });
    let channel = Uri::from_static("http://localhost")
        .initial_stream_window_size(call)
        .initial_connection_window_size(connection);
    Ok(tokio::time::timeout(CONNECT_PATIENCE, channel.connect_with_connector(connector)).await??)
}

/// A batch of statements that all have the same parameters.
pub(crate) fn execute(statements: Vec<String>, parameters: &[Value], each: bool) -> proto::ExecuteRequest {
    let mode = if each { proto::TransactionMode::Each } else { proto::TransactionMode::Atomic };
    let statements = statements.into_iter().map(|sql| statement(sql, parameters)).collect();
    proto::ExecuteRequest { statements, mode: mode.into(), ..Default::default() }
}

/// One statement.
pub(crate) fn statement(sql: impl Into<String>, parameters: &[Value]) -> proto::Statement {
    let parameters = parameters.iter().cloned().map(value).collect();
    proto::Statement { sql: sql.into(), parameters, ..Default::default() }
}

fn value(value: Value) -> proto::Value {
    let kind = match value {
        Value::Null => None,
        Value::Integer(integer) => Some(Kind::Integer(integer)),
        Value::Real(real) => Some(Kind::Real(real)),
        Value::Text(text) => Some(Kind::Text(text)),
        Value::Blob(blob) => Some(Kind::Blob(blob)),
    };
    proto::Value { kind }
}
