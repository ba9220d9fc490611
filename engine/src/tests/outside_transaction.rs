//! Trap 4: what SQLite refuses in a transaction runs alone, between groups.

use super::*;

#[tokio::test]
async fn vacuum_runs_alone_however_it_is_written() {
    let engine = Engine::new().await;
    for sql in ["VACUUM", "vacuum;", "/* please */ VACUUM", "-- please\nVACUUM main", ";VACUUM", "VACUUM"] {
        let before = engine.revision();
        let result = engine.run(&[sql]).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!((result.revision, engine.revision()), (before + 1, before + 1), "{sql}");
    }
}

#[tokio::test]
async fn vacuum_and_checkpoints_among_a_group_run_in_their_turn() {
    let engine = Engine::new().await;
    let answers = engine
        .together([
            atomic(&["INSERT INTO t VALUES (1)"]),
            atomic(&["VACUUM"]),
            atomic(&["INSERT INTO t VALUES (2)"]),
            atomic(&["PRAGMA wal_checkpoint(TRUNCATE)"]),
            atomic(&["INSERT INTO t VALUES (3)"]),
            each(&["VACUUM"]),
            atomic(&["INSERT INTO t VALUES (4)"]),
        ])
        .await;
    assert_eq!(reasons(&answers), ["ok"; 7]);
    // A checkpoint changes nothing that anybody could see.
    assert_eq!(revisions(&answers), [2, 3, 4, 4, 5, 6, 7]);
    assert_eq!(engine.integers().await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_checkpoint_is_done_each_time_it_is_asked_for() {
    let engine = Engine::new().await;
    for round in 0..3 {
        engine.run(&["INSERT INTO t VALUES (NULL)"]).await.expect("a row");
        let result = engine.run(&["PRAGMA wal_checkpoint(TRUNCATE)"]).await.unwrap_or_else(|error| panic!("{error}"));
        // Busy, frames in the log, frames moved: with nobody reading, all are moved and none is left.
        assert_eq!(only(result).rows, [[0, 0, 0].map(Value::Integer)], "round {round}");
        let wal = std::fs::metadata(engine.path().with_extension("db-wal")).expect("the log");
        assert_eq!(wal.len(), 0, "round {round}");
    }
}

#[tokio::test]
async fn what_cannot_run_in_a_transaction_is_refused_beside_other_statements_and_in_a_sessions_transaction() {
    let engine = Engine::new().await;
    for sql in ["VACUUM", "PRAGMA wal_checkpoint"] {
        let answers = engine.together([atomic(&["INSERT INTO t VALUES (1)", sql])]).await;
        assert_eq!(reasons(&answers), ["OUTSIDE_TRANSACTION"], "{sql}");
        assert_eq!(answers[0].as_ref().expect_err("refused").statement_index, Some(1), "{sql}");

        let transaction = engine.hold().await;
        transaction.execute(atomic(&["INSERT INTO t VALUES (2)"]), Cancel::default()).await.expect("a row");
        let error = transaction.execute(atomic(&[sql]), Cancel::default()).await.expect_err("refused");
        assert_eq!(error.reason, "OUTSIDE_TRANSACTION", "{sql}");
        transaction.execute(atomic(&["DELETE FROM t"]), Cancel::default()).await.expect("it is still open");
        transaction.commit(Cancel::default()).await.expect("a commit");
    }
}

#[tokio::test]
async fn vacuum_into_writes_below_an_allowed_folder_only() {
    let engine = Engine::new().await;
    let copy = engine.folder.path().canonicalize().expect("a path").join("copy.db");
    let into = |path: &str| Batch {
        statements: vec![Statement { positional: vec![Value::Text(path.into())], ..statement("VACUUM INTO ?1") }],
        ..atomic(&[])
    };
    for refused in ["/tmp/elsewhere.db", "relative.db", "file:/tmp/elsewhere.db"] {
        let error = engine.run_batch(into(refused)).await.expect_err(refused);
        assert_eq!(error.reason, "SQLITE_AUTH", "{refused}: {error}");
    }
    engine.run_batch(into(copy.to_str().expect("UTF-8"))).await.expect("a copy");
    let tables: i64 = rusqlite::Connection::open(&copy)
        .and_then(|copy| copy.query_row("SELECT count(*) FROM t", [], |row| row.get(0)))
        .expect("the table in the copy");
    assert_eq!(tables, 0);
    engine.run(&["INSERT INTO t VALUES (1)"]).await.expect("a writer in order");
}
