//! Every limit has a clear error, and the daemon lives on after it.

mod support;

use skylinedb::{Batch, Client, Code, DatabaseError, Error, Params, Statement, TransactionKind, Value, params};
use support::{Daemon, MIB};
use tokio_stream::StreamExt;

#[tokio::test]
async fn a_statement_can_be_too_long() {
    let (daemon, client) = daemon(&["--max-sql-bytes", "1000"]).await;
    let just_right = format!("SELECT '{}'", "x".repeat(1000 - 9));
    client.execute(&just_right, params![]).await.expect("1000 bytes");
    let error = client.execute(&just_right.replace("SELECT ", "SELECT  "), params![]).await.expect_err("1001 bytes");
    assert_limit(error, Code::ResourceExhausted, "--max-sql-bytes");
    lives_on(&daemon).await;
}

#[tokio::test]
async fn a_message_can_be_too_long() {
    let (daemon, client) = daemon(&["--max-message-bytes", "1048576"]).await;
    let blob = vec![0_u8; 2 * MIB];
    let error = database_error(client.execute("SELECT length(?)", params![blob]).await.expect_err("2 MiB"));
    assert_eq!(error.code, Code::ResourceExhausted, "{error}");
    lives_on(&daemon).await;
    client.execute("SELECT 1", params![]).await.expect("the same client goes on");
}

/// The stream ends by the long message. A write before it may be with the writer then: it must not be said that nothing of it
/// was kept.
#[tokio::test]
async fn what_was_sent_before_a_message_that_is_too_long_is_answered_first() {
    let (daemon, client) = daemon(&["--max-message-bytes", "1000"]).await;
    client.execute("CREATE TABLE t(x)", params![]).await.expect("a table");
    let long = format!("SELECT '{}'", "x".repeat(5_000));
    for number in 0_i64..100 {
        let session = client.session().await.expect("a session");
        let write = session.execute("INSERT INTO t VALUES (?)", params![number]);
        let (written, refused) = tokio::join!(write, session.execute(long.as_str(), params![]));
        written.unwrap_or_else(|error| panic!("write {number}: {error}"));
        assert_eq!(database_error(refused.expect_err("5,000 bytes")).code, Code::ResourceExhausted);
    }
    assert_eq!(daemon.value("SELECT count(*) FROM t"), 100);
}

#[tokio::test]
async fn an_answer_can_be_too_long() {
    let (daemon, client) = daemon(&["--max-answer-bytes", "100000"]).await;
    client.execute("CREATE TABLE t(x)", params![]).await.expect("a table");
    let error =
        client.execute("INSERT INTO t SELECT zeroblob(200000) RETURNING x", params![]).await.expect_err("200000 bytes");
    assert_limit(error, Code::ResourceExhausted, "Query");
    assert_eq!(daemon.value("SELECT count(*) FROM t"), 0, "and so nothing was written");
    let error = client.execute("SELECT zeroblob(200000)", params![]).await.expect_err("200000 bytes");
    assert_limit(error, Code::ResourceExhausted, "Query");
    let mut rows = client.query("SELECT zeroblob(200000)", params![]).await.expect("a query");
    let row = rows.next().await.expect("a row").expect("no error");
    assert_eq!(row.values()[0], Value::Blob(vec![0; 200_000]), "Query has no such limit");
    lives_on(&daemon).await;
}

#[tokio::test]
async fn a_sort_can_be_too_large() {
    let (daemon, client) = daemon(&["--max-temp-bytes", "1048576"]).await;
    let sort = |rows| {
        format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             SELECT length(b) FROM (SELECT randomblob(1000) AS b FROM n) ORDER BY b LIMIT 1 OFFSET {rows} - 1"
        )
    };
    for _ in 0..2 {
        let error = client.execute(&sort(20_000), params![]).await.expect_err("20 MB");
        assert_limit(error, Code::ResourceExhausted, "--max-temp-bytes");
        client.execute(&sort(100), params![]).await.expect("100 KB");
    }
    let error = client.query(&sort(20_000), params![]).await.expect_err("20 MB");
    assert_limit(error, Code::ResourceExhausted, "--max-temp-bytes");
    client.execute("CREATE TABLE t(x)", params![]).await.expect("a table");
    let insert = format!("INSERT INTO t {}", sort(20_000));
    assert_limit(
        client.execute(&insert, params![]).await.expect_err("20 MB"),
        Code::ResourceExhausted,
        "--max-temp-bytes",
    );
    lives_on(&daemon).await;
}

#[tokio::test]
async fn a_batch_can_have_too_many_statements_or_none() {
    const MOST: usize = 100_000;
    let (daemon, client) = daemon(&[]).await;
    let batch =
        |statements| (0..statements).fold(Batch::new(), |batch, _| batch.push(Statement::new("SELECT 1", params![])));
    client.execute_batch(batch(MOST)).await.expect("100,000 statements");
    let error = client.execute_batch(batch(MOST + 1)).await.expect_err("100,001 statements");
    assert_limit(error, Code::ResourceExhausted, "100,000");
    client.execute_batch(batch(0)).await.expect_err("no statement");
    lives_on(&daemon).await;
}

#[tokio::test]
async fn a_request_id_can_be_too_long() {
    let (daemon, client) = daemon(&[]).await;
    let batch = |id: &str| Batch::new().push(Statement::new("SELECT 1", params![])).request_id(id);
    client.execute_batch(batch(&"x".repeat(128))).await.expect("128 bytes");
    let error = client.execute_batch(batch(&"x".repeat(129))).await.expect_err("129 bytes");
    assert_limit(error, Code::InvalidArgument, "128");
    lives_on(&daemon).await;
}

#[tokio::test]
async fn a_statement_can_have_too_many_parameters() {
    const MOST: usize = 32_766; // SQLITE_LIMIT_VARIABLE_NUMBER
    let (daemon, client) = daemon(&[]).await;
    let sql = |count| format!("SELECT 1 WHERE 1 IN ({})", vec!["?"; count].join(","));
    let values = |count| Params::positional(vec![Value::Integer(1); count]);
    client.execute(&sql(MOST), values(MOST)).await.expect("32,766 parameters");
    client.execute(&sql(MOST + 1), values(MOST + 1)).await.expect_err("32,767 parameters");
    lives_on(&daemon).await;
}

#[tokio::test]
async fn the_queue_can_be_full() {
    let (daemon, client) =
        daemon(&["--queue-jobs", "4", "--transaction-idle-timeout", "1h", "--transaction-timeout", "1h"]).await;
    daemon.execute("CREATE TABLE t(x)");
    let mut session = client.session().await.expect("a session");
    let transaction = session.transaction(TransactionKind::Write).await.expect("a transaction that holds the writer");

    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let client = client.clone();
        writers.spawn(async move { client.execute("INSERT INTO t VALUES (1)", params![]).await });
    }
    let error = loop {
        let answer = writers.join_next().await.expect("a refusal").expect("a task");
        if let Err(error) = answer {
            break error;
        }
    };
    let error = database_error(error);
    assert_eq!((error.code, error.reason.as_str()), (Code::ResourceExhausted, "QUEUE_FULL"), "{error}");
    assert!(error.retry_after.is_some(), "a retry helps: {error:?}");
    let holder = format!(" s by a transaction of process {}", std::process::id());
    assert!(error.message.contains(&holder), "who holds the writer: {error}");

    transaction.rollback().await.expect("a rollback");
    let mut written = 0;
    while let Some(answer) = writers.join_next().await {
        written += u64::from(answer.expect("a task").is_ok());
    }
    assert!(written >= 4, "what was in the queue is done");
    assert_eq!(daemon.value("SELECT count(*) FROM t"), written);
    lives_on(&daemon).await;
}

#[tokio::test]
async fn there_can_be_too_many_sessions() {
    let (daemon, client) = daemon(&["--max-sessions", "2"]).await;
    let mut sessions = Vec::new();
    for _ in 0..2 {
        let session = client.session().await.expect("a session");
        session.execute("SELECT 1", params![]).await.expect("a request");
        sessions.push(session);
    }
    let error = match client.session().await {
        Err(error) => error,
        Ok(third) => third.execute("SELECT 1", params![]).await.expect_err("a third session"),
    };
    assert_limit(error, Code::ResourceExhausted, "--max-sessions");

    drop(sessions);
    loop {
        // The daemon learns by and by that the others have ended.
        let Ok(session) = client.session().await else { continue };
        if session.execute("SELECT 1", params![]).await.is_ok() {
            break;
        }
    }
    lives_on(&daemon).await;
}

#[tokio::test]
async fn an_idle_transaction_is_cut_and_says_so() {
    let (daemon, client) = daemon(&["--transaction-idle-timeout", "100ms"]).await;
    daemon.execute("CREATE TABLE t(x)");
    let mut session = client.session().await.expect("a session");
    let mut transaction = session.transaction(TransactionKind::Write).await.expect("a transaction");
    transaction.execute("INSERT INTO t VALUES (1)", params![]).await.expect("an insert");

    daemon.execute("INSERT INTO t VALUES ('the writer is free')"); // waits until the other is cut

    let error = transaction.execute("INSERT INTO t VALUES (2)", params![]).await.expect_err("too late");
    let error = database_error(error);
    assert_eq!((error.code, error.reason.as_str()), (Code::Aborted, "TRANSACTION_IDLE"), "{error}");
    let error = database_error(transaction.commit().await.expect_err("too late"));
    assert_eq!(error.code, Code::Aborted, "{error}");
    session.execute("INSERT INTO t VALUES ('the session goes on')", params![]).await.expect("an insert");
    assert_eq!(daemon.value("SELECT group_concat(x) FROM t"), "the writer is free,the session goes on");
    lives_on(&daemon).await;
}

#[tokio::test]
async fn a_transaction_can_be_too_long() {
    let (daemon, client) = daemon(&["--transaction-timeout", "300ms"]).await;
    daemon.execute("CREATE TABLE t(x)");
    let mut session = client.session().await.expect("a session");
    let mut transaction = session.transaction(TransactionKind::Write).await.expect("a transaction");
    let error = loop {
        // Never idle, and yet cut.
        if let Err(error) = transaction.execute("INSERT INTO t VALUES (1)", params![]).await {
            break error;
        }
    };
    let error = database_error(error);
    assert_eq!((error.code, error.reason.as_str()), (Code::Aborted, "TRANSACTION_TIMEOUT"), "{error}");
    drop(transaction);
    assert_eq!(daemon.value("SELECT count(*) FROM t"), 0);
    lives_on(&daemon).await;
}

#[tokio::test]
async fn one_reader_serves_many_in_turn() {
    let (daemon, client) = daemon(&["--readers", "1"]).await;
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let client = client.clone();
        readers.spawn(async move { client.execute("SELECT 1", params![]).await });
    }
    while let Some(answer) = readers.join_next().await {
        answer.expect("a task").expect("a read");
    }
    lives_on(&daemon).await;
}

async fn daemon(flags: &[&str]) -> (Daemon, Client) {
    let daemon = flags.iter().fold(Daemon::builder(), |builder, flag| builder.arg(*flag)).start();
    let client = daemon.client().await;
    (daemon, client)
}

/// The error has this code, and says what limit it is or what to do.
#[track_caller]
fn assert_limit(error: Error, code: Code, hint: &str) {
    let error = database_error(error);
    assert_eq!(error.code, code, "{error}");
    assert!(error.message.contains(hint), "no {hint:?} in {error}");
}

/// An error that the daemon has answered with.
#[track_caller]
fn database_error(error: Error) -> DatabaseError {
    match error {
        Error::Database(error) => *error,
        other => panic!("not the daemon's answer: {other}"),
    }
}

async fn lives_on(daemon: &Daemon) {
    let client = daemon.client().await;
    client.execute("CREATE TABLE IF NOT EXISTS lives_on(x)", params![]).await.expect("a write");
    client.execute("SELECT * FROM lives_on", params![]).await.expect("a read");
}
