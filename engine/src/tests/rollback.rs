//! Trap 1: what ends the whole transaction, others' batches with it.

use std::time::Instant;

use super::*;

#[tokio::test]
async fn a_rollback_inside_one_batch_spares_the_others_of_its_group() {
    let engine = Engine::new().await;
    engine.run(&["INSERT INTO t VALUES (1)"]).await.expect("a row");
    let answers = engine
        .together([
            atomic(&["INSERT INTO t VALUES (2)"]),
            atomic(&["INSERT INTO t VALUES (3)", "INSERT OR ROLLBACK INTO t VALUES (1)"]),
            atomic(&["INSERT INTO t VALUES (4)"]),
        ])
        .await;
    assert_eq!(reasons(&answers), ["ok", "SQLITE_CONSTRAINT_UNIQUE", "ok"]);
    assert_eq!(answers[1].as_ref().expect_err("an error").statement_index, Some(1));
    assert_eq!(engine.integers().await, [1, 2, 4]);
}

#[tokio::test]
async fn a_batch_dropped_from_its_group_leaves_no_gap_in_the_revisions() {
    let engine = Engine::new().await;
    let answers = engine
        .together([
            atomic(&["INSERT INTO t VALUES (1)"]),
            atomic(&["INSERT INTO t VALUES (2)"]),
            atomic(&["INSERT OR ROLLBACK INTO t VALUES (1)"]),
            atomic(&["INSERT INTO t VALUES (3)"]),
            atomic(&["INSERT OR ROLLBACK INTO t VALUES (2)"]),
            atomic(&["INSERT INTO t VALUES (4)"]),
        ])
        .await;
    assert_eq!(revisions(&answers), [2, 3, 4, 5]);
    assert_eq!(engine.revision(), 5);
}

#[tokio::test]
async fn raise_rollback_in_a_trigger_spares_the_others_of_its_group() {
    let engine = Engine::new().await;
    engine
        .run(&["CREATE TRIGGER no BEFORE INSERT ON t WHEN NEW.a < 0 BEGIN SELECT RAISE(ROLLBACK, 'not below 0'); END"])
        .await
        .expect("a trigger");
    let answers = engine
        .together([
            atomic(&["INSERT INTO t VALUES (1)"]),
            atomic(&["INSERT INTO t VALUES (-1)"]),
            atomic(&["INSERT INTO t VALUES (2)"]),
        ])
        .await;
    assert_eq!(reasons(&answers), ["ok", "SQLITE_CONSTRAINT_TRIGGER", "ok"]);
    assert_eq!(answers[1].as_ref().expect_err("an error").message, "not below 0");
    assert_eq!(engine.integers().await, [1, 2]);
}

#[tokio::test]
async fn in_mode_each_a_rollback_fails_its_statement_only() {
    let engine = Engine::new().await;
    let mut answers = engine
        .together([
            atomic(&["INSERT INTO t VALUES (1)"]),
            each(&[
                "INSERT INTO t VALUES (2)",
                "INSERT OR ROLLBACK INTO t VALUES (1)",
                "INSERT INTO t VALUES (3)",
                "INSERT OR ROLLBACK INTO t VALUES (2)",
                "INSERT INTO t VALUES (4)",
            ]),
        ])
        .await;
    let results = answers.remove(1).expect("a batch").results;
    assert_eq!(reasons(&results), ["ok", "SQLITE_CONSTRAINT_UNIQUE", "ok", "SQLITE_CONSTRAINT_UNIQUE", "ok"]);
    assert_eq!(engine.integers().await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_batch_that_rolls_back_again_and_again_fails_as_a_whole_and_spares_the_others() {
    let engine = Engine::new().await;
    let rollbacks = vec!["INSERT OR ROLLBACK INTO t VALUES (1)"; 100];
    let answers = engine.together([atomic(&["INSERT INTO t VALUES (1)"]), each(&rollbacks)]).await;
    assert_eq!(reasons(&answers), ["ok", "TOO_MANY_ROLLBACKS"]);
    assert_eq!(engine.integers().await, [1]);
}

#[tokio::test]
async fn an_interrupted_write_spares_the_others_of_its_group() {
    let engine = Engine::new().await;
    let hold = engine.hold().await;
    let before = engine.send(atomic(&["INSERT INTO t VALUES (1)"]));
    let cancel = Cancel::at(Some(Instant::now() + std::time::Duration::from_millis(500)));
    let endless = engine.submit(atomic(&["INSERT INTO t VALUES (2)", ENDLESS_WRITE]), cancel);
    let after = engine.send(atomic(&["INSERT INTO t VALUES (3)"]));
    hold.roll_back(Cancel::default()).await.expect("the writer let go");
    let answers = [fresh(before).await, fresh(endless).await, fresh(after).await];
    assert_eq!(reasons(&answers), ["ok", "DEADLINE_EXCEEDED", "ok"]);
    assert_eq!(revisions(&answers), [2, 3]);
    assert_eq!(engine.integers().await, [1, 3]);
}

#[tokio::test]
async fn a_panic_in_one_batch_spares_the_others_of_its_group() {
    let engine = Engine::new().await;
    let request = RequestId { id: "panics".into(), encode: |_| panic!("a mistake of the daemon's own") };
    let answers = engine
        .together([
            atomic(&["INSERT INTO t VALUES (1)"]),
            Batch { request: Some(request), ..atomic(&["INSERT INTO t VALUES (2)"]) },
            atomic(&["INSERT INTO t VALUES (3)"]),
        ])
        .await;
    assert_eq!(reasons(&answers), ["ok", "DAEMON_BUG", "ok"]);
    assert_eq!(revisions(&answers), [2, 3]);
    assert_eq!(engine.integers().await, [1, 3]);
}

#[tokio::test]
async fn a_failed_batch_is_undone_as_a_whole_and_nothing_else_is() {
    let engine = Engine::new().await;
    let answers = engine
        .together([
            atomic(&["INSERT INTO t VALUES (1)"]),
            atomic(&["INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (1)"]),
            each(&["INSERT INTO t VALUES (3)", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (4)"]),
            atomic(&["INSERT INTO no_such_table VALUES (1)"]),
        ])
        .await;
    assert_eq!(reasons(&answers), ["ok", "SQLITE_CONSTRAINT_UNIQUE", "ok", "SQLITE_ERROR"]);
    assert_eq!(engine.integers().await, [1, 3, 4]);
}

#[tokio::test]
async fn a_full_database_spares_the_others_of_its_group() {
    let engine = Engine::new().await;
    // SQLite gives the error of a full disk, and rolls back as for one, when AUTOINCREMENT has no rowid left
    // (https://sqlite.org/autoinc.html).
    engine
        .run(&[
            "CREATE TABLE full (id INTEGER PRIMARY KEY AUTOINCREMENT, a)",
            "INSERT INTO full VALUES (9223372036854775807, 0)",
        ])
        .await
        .expect("a table");
    let answers = engine
        .together([
            atomic(&["INSERT INTO t VALUES (1)"]),
            atomic(&["INSERT INTO t VALUES (2)", "INSERT INTO full (a) VALUES (1)"]),
            atomic(&["INSERT INTO t VALUES (3)"]),
        ])
        .await;
    assert_eq!(reasons(&answers), ["ok", "SQLITE_FULL", "ok"]);
    assert_eq!(revisions(&answers), [3, 4]);
    assert_eq!(engine.integers().await, [1, 3]);
}
