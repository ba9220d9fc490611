//! Trap 2: a deferred foreign key, which would only fail at COMMIT, and the whole group with it.

use super::*;

async fn engine() -> Engine {
    let engine = Engine::new().await;
    engine
        .run(&[
            "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
            "CREATE TABLE deferred (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
            "CREATE TABLE immediate (id REFERENCES parent)",
        ])
        .await
        .expect("tables");
    engine
}

#[tokio::test]
async fn a_deferred_foreign_key_fails_its_own_batch_and_spares_the_others_of_its_group() {
    let engine = engine().await;
    let answers = engine
        .together([
            atomic(&["INSERT INTO t VALUES (1)"]),
            atomic(&["INSERT INTO t VALUES (2)", "INSERT INTO deferred VALUES (7)"]),
            atomic(&["INSERT INTO t VALUES (3)"]),
        ])
        .await;
    assert_eq!(reasons(&answers), ["ok", "SQLITE_CONSTRAINT_FOREIGNKEY", "ok"]);
    assert_eq!(engine.integers().await, [1, 3]);
}

#[tokio::test]
async fn a_deferred_foreign_key_may_be_violated_until_the_batch_ends() {
    let engine = engine().await;
    let answers = engine
        .together([
            atomic(&["INSERT INTO deferred VALUES (7)", "INSERT INTO parent VALUES (7)"]),
            atomic(&[
                "PRAGMA defer_foreign_keys = ON",
                "INSERT INTO immediate VALUES (8)",
                "INSERT INTO parent VALUES (8)",
            ]),
        ])
        .await;
    assert_eq!(reasons(&answers), ["ok", "ok"]);
}

#[tokio::test]
async fn what_one_batch_leaves_violated_the_next_one_cannot_heal() {
    let engine = engine().await;
    let answers = engine
        .together([atomic(&["INSERT INTO deferred VALUES (7)"]), atomic(&["INSERT INTO parent VALUES (7)"])])
        .await;
    assert_eq!(reasons(&answers), ["SQLITE_CONSTRAINT_FOREIGNKEY", "ok"]);
    assert!(engine.column("SELECT id FROM deferred").await.is_empty());
}

#[tokio::test]
async fn in_mode_each_a_deferred_foreign_key_fails_its_statement_only() {
    let engine = engine().await;
    let batch = each(&["INSERT INTO t VALUES (1)", "INSERT INTO deferred VALUES (7)", "INSERT INTO t VALUES (2)"]);
    let result = engine.run_batch(batch).await.expect("a batch");
    assert_eq!(reasons(&result.results), ["ok", "SQLITE_CONSTRAINT_FOREIGNKEY", "ok"]);
    assert_eq!(engine.integers().await, [1, 2]);
}

#[tokio::test]
async fn in_a_sessions_transaction_a_deferred_foreign_key_may_be_violated_until_its_commit() {
    let engine = engine().await;
    let healed = engine.hold().await;
    for sql in ["INSERT INTO deferred VALUES (7)", "INSERT INTO parent VALUES (7)"] {
        healed.execute(atomic(&[sql]), Cancel::default()).await.expect("a row");
    }
    healed.commit(Cancel::default()).await.expect("a commit");

    let violated = engine.hold().await;
    violated.execute(atomic(&["INSERT INTO deferred VALUES (8)"]), Cancel::default()).await.expect("a row");
    let error = violated.commit(Cancel::default()).await.expect_err("a violated foreign key");
    assert_eq!(error.reason, "SQLITE_CONSTRAINT_FOREIGNKEY");
    engine.run(&["INSERT INTO t VALUES (1)"]).await.expect("a writer that is free again");
    assert_eq!(engine.column("SELECT id FROM deferred").await, [Value::Integer(7)]);
}
