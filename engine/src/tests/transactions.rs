//! Trap 9: a session's write transaction holds the writer, and so has limits.

use super::*;

async fn execute(transaction: &WriteTransaction, sql: &str) -> Result<BatchResult, Error> {
    soon(transaction.execute(atomic(&[sql]), Cancel::default())).await
}

#[tokio::test]
async fn a_transaction_that_is_idle_for_too_long_is_rolled_back_and_says_so() {
    let engine = Engine::with(|config, _| config.transaction_idle_timeout = Duration::from_millis(100)).await;
    let transaction = engine.hold().await;
    let others = engine.send(atomic(&["INSERT INTO t VALUES (2)"]));
    // The first may come too late on a machine that is busy enough; then it hears what the second hears for sure.
    let _ = execute(&transaction, "INSERT INTO t VALUES (1)").await;
    fresh(others).await.expect("the others' turn");
    let error = execute(&transaction, "INSERT INTO t VALUES (3)").await.expect_err("a transaction that was cut");
    assert_eq!(error.reason, "TRANSACTION_IDLE");
    assert_eq!(
        transaction.commit(Cancel::default()).await.expect_err("a transaction that was cut").reason,
        "TRANSACTION_IDLE"
    );
    assert_eq!(engine.integers().await, [2]);
}

#[tokio::test]
async fn a_transaction_that_is_busy_for_too_long_is_rolled_back_and_says_so() {
    let engine = Engine::with(|config, _| config.transaction_timeout = Duration::from_millis(300)).await;
    let transaction = engine.hold().await;
    let others = engine.send(atomic(&["INSERT INTO t VALUES (2)"]));
    let busy = async {
        loop {
            if let Err(error) = execute(&transaction, "INSERT INTO t VALUES (NULL)").await {
                break error;
            }
        }
    };
    assert_eq!(soon(busy).await.reason, "TRANSACTION_TIMEOUT");
    fresh(others).await.expect("the others' turn");
    assert_eq!(
        transaction.commit(Cancel::default()).await.expect_err("a transaction that was cut").reason,
        "TRANSACTION_TIMEOUT"
    );
    assert_eq!(engine.integers().await, [2]);
}

#[tokio::test]
async fn a_statement_that_outlasts_its_transactions_time_is_interrupted() {
    for endless in [ENDLESS_READ, ENDLESS_WRITE] {
        let engine = Engine::with(|config, _| config.transaction_timeout = Duration::from_millis(200)).await;
        let transaction = engine.hold().await;
        let others = engine.send(atomic(&["INSERT INTO t VALUES (2)"]));
        let error = execute(&transaction, endless).await.expect_err("interrupted");
        assert_eq!(error.reason, "TRANSACTION_TIMEOUT", "{endless}");
        fresh(others).await.expect("the others' turn");
    }
}

#[tokio::test]
async fn a_session_that_goes_away_rolls_back_and_frees_the_writer() {
    let engine = Engine::new().await;
    let transaction = engine.hold().await;
    execute(&transaction, "INSERT INTO t VALUES (1)").await.expect("a row");
    drop(transaction);
    engine.run(&["INSERT INTO t VALUES (2)"]).await.expect("the others' turn");
    assert_eq!(engine.integers().await, [2]);
}

#[tokio::test]
async fn a_transaction_is_one_revision_if_it_writes_and_none_if_it_does_not() {
    let engine = Engine::new().await;
    let writes = engine.hold().await;
    for sql in ["INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)"] {
        execute(&writes, sql).await.expect("a row");
    }
    assert_eq!((writes.revision(), writes.commit(Cancel::default()).await.expect("a commit")), (1, 2));
    let reads = engine.hold().await;
    execute(&reads, "SELECT * FROM t").await.expect("rows");
    assert_eq!(reads.commit(Cancel::default()).await.expect("a commit"), 2);
    assert_eq!(engine.revision(), 2);
}

#[tokio::test]
async fn a_failed_batch_is_undone_and_its_transaction_goes_on() {
    let engine = Engine::new().await;
    let transaction = engine.hold().await;
    execute(&transaction, "INSERT INTO t VALUES (1)").await.expect("a row");
    let batch = atomic(&["INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (1)"]);
    let error = transaction.execute(batch, Cancel::default()).await.expect_err("a key that is taken");
    assert_eq!((&*error.reason, error.statement_index), ("SQLITE_CONSTRAINT_UNIQUE", Some(1)));
    execute(&transaction, "INSERT INTO t VALUES (3)").await.expect("a row");
    transaction.commit(Cancel::default()).await.expect("a commit");
    assert_eq!(engine.integers().await, [1, 3]);
}

#[tokio::test]
async fn a_statement_that_rolls_everything_back_ends_the_transaction_and_the_next_request_hears_why() {
    let engine = Engine::new().await;
    let transaction = engine.hold().await;
    execute(&transaction, "INSERT INTO t VALUES (1)").await.expect("a row");
    let error = execute(&transaction, "INSERT OR ROLLBACK INTO t VALUES (1)").await.expect_err("a key that is taken");
    assert_eq!(error.reason, "SQLITE_CONSTRAINT_UNIQUE");
    let error = execute(&transaction, "INSERT INTO t VALUES (2)").await.expect_err("no transaction");
    assert_eq!(error.reason, "TRANSACTION_LOST");
    assert_eq!(transaction.commit(Cancel::default()).await.expect_err("no transaction").reason, "TRANSACTION_LOST");
    assert!(engine.integers().await.is_empty());
}

#[tokio::test]
async fn a_query_in_a_transaction_sees_what_it_has_written_and_may_not_write() {
    let engine = Engine::new().await;
    let transaction = engine.hold().await;
    execute(&transaction, "INSERT INTO t VALUES (1)").await.expect("a row");
    let rows = Rows::default();
    let collected = Arc::clone(&rows.0);
    transaction.query(statement("SELECT a FROM t"), Cancel::default(), Box::new(rows)).await.expect("rows");
    assert_eq!(*collected.lock().expect("the rows"), [[Value::Integer(1)]]);
    for sql in ["INSERT INTO t VALUES (2)", "PRAGMA wal_checkpoint", "PRAGMA defer_foreign_keys = ON"] {
        let refused = transaction.query(statement(sql), Cancel::default(), Box::new(Rows::default())).await;
        assert_eq!(refused.expect_err("refused").reason, "SQLITE_READONLY", "{sql}");
    }
    transaction.commit(Cancel::default()).await.expect("a commit");
    assert_eq!(engine.integers().await, [1]);
}

#[tokio::test]
async fn a_panic_in_a_transactions_query_ends_the_transaction_and_not_the_writer() {
    struct Panics;
    impl RowSink for Panics {
        fn columns(&mut self, _: Vec<Column>) -> Result<(), Error> {
            panic!("a mistake of the daemon's own")
        }
        fn row(&mut self, _: &RowValues<'_>) -> Result<(), Error> {
            Ok(())
        }
    }
    let engine = Engine::new().await;
    let transaction = engine.hold().await;
    execute(&transaction, "INSERT INTO t VALUES (1)").await.expect("a row");
    let query = transaction.query(statement("SELECT 1"), Cancel::default(), Box::new(Panics));
    assert_eq!(soon(query).await.expect_err("a panic").reason, "DAEMON_BUG");
    let error = execute(&transaction, "INSERT INTO t VALUES (2)").await.expect_err("no transaction");
    assert_eq!(error.reason, "TRANSACTION_LOST");
    engine.run(&["INSERT INTO t VALUES (3)"]).await.expect("the others' turn");
    assert_eq!(engine.integers().await, [3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_closed_does_not_wait_for_a_transaction_that_nobody_ends() {
    let engine = Engine::new().await;
    let transaction = engine.hold().await;
    execute(&transaction, "INSERT INTO t VALUES (1)").await.expect("a row");
    tokio::task::block_in_place(|| engine.close());
    let error = transaction.commit(Cancel::default()).await.expect_err("a transaction that was cut");
    assert_eq!(error.reason, "SHUTTING_DOWN");
}

#[tokio::test]
async fn a_commit_that_waits_while_the_time_runs_out_is_not_done() {
    let engine = Engine::with(|config, _| config.transaction_timeout = Duration::from_millis(300)).await;
    let transaction = engine.hold().await;
    let interrupted = execute(&transaction, ENDLESS_READ);
    let commit = transaction.commit(Cancel::default()); // behind the statement
    let (interrupted, commit) = soon(async { tokio::join!(interrupted, commit) }).await;
    assert_eq!(interrupted.expect_err("interrupted").reason, "TRANSACTION_TIMEOUT");
    assert_eq!(commit.expect_err("rolled back").reason, "TRANSACTION_TIMEOUT");
    assert_eq!(engine.revision(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_closed_does_not_wait_for_a_transaction_that_goes_on_and_on() {
    let engine = Arc::new(Engine::new().await);
    let transaction = engine.hold().await;
    let closing = Arc::clone(&engine);
    let closed = tokio::task::spawn_blocking(move || closing.close());
    let busy = async {
        loop {
            if let Err(error) = execute(&transaction, "INSERT INTO t VALUES (NULL)").await {
                break error;
            }
        }
    };
    assert_eq!(soon(busy).await.reason, "SHUTTING_DOWN");
    soon(closed).await.expect("a closed database");
}
