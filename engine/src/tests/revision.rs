//! The revision: one for each batch that was committed and may have changed something, without gaps.

use super::*;

#[tokio::test]
async fn the_revision_counts_every_batch_that_writes_and_is_in_the_database() {
    let engine = Engine::new().await;
    assert_eq!(engine.revision(), 1);
    for expected in 2..5 {
        let result = engine.run(&["INSERT INTO t VALUES (NULL)", "INSERT INTO t VALUES (NULL)"]).await.expect("rows");
        assert_eq!((result.revision, engine.revision()), (expected, expected));
    }
    let told = engine.other_program().query_row("SELECT revision FROM skylinedb_meta", [], |row| row.get::<_, i64>(0));
    assert_eq!(told.expect("the revision"), 4);
}

#[tokio::test]
async fn reads_and_failures_in_a_group_take_no_revision() {
    let engine = Engine::new().await;
    let answers = engine
        .together([
            atomic(&["SELECT 1"]),
            atomic(&["INSERT INTO t VALUES (1)"]),
            atomic(&["SELECT count(*) FROM t"]),
            atomic(&["EXPLAIN INSERT INTO t VALUES (2)"]),
            atomic(&["INSERT INTO t VALUES (1)"]),
            each(&["INSERT INTO t VALUES (1)"]),
            atomic(&["INSERT INTO t VALUES (2)"]),
        ])
        .await;
    assert_eq!(reasons(&answers), ["ok", "ok", "ok", "ok", "SQLITE_CONSTRAINT_UNIQUE", "ok", "ok"]);
    // A read tells the revision that it has seen: its own group's batches before it, and none after.
    assert_eq!(revisions(&answers), [1, 2, 2, 2, 2, 3]);
    assert_eq!(engine.revision(), 3);
}

#[tokio::test]
async fn a_group_that_only_reads_commits_nothing() {
    let engine = Engine::new().await;
    let before = engine.commits();
    let answers = engine.together([atomic(&["SELECT 1"]), atomic(&["INSERT INTO no_such_table VALUES (1)"])]).await;
    assert_eq!(reasons(&answers), ["ok", "SQLITE_ERROR"]);
    assert_eq!((engine.commits() - before, engine.revision()), (0, 1));
}

#[tokio::test]
async fn the_revision_goes_on_where_it_was_when_the_database_is_opened_again() {
    let engine = Engine::new().await;
    engine.run(&["INSERT INTO t VALUES (1)"]).await.expect("a row");
    engine.close();
    let again = Database::open(engine.config.clone()).expect("the database");
    assert_eq!(again.revision(), 2);
    again.close();
}

#[tokio::test]
async fn pragma_optimize_counts_as_a_write_though_sqlite_calls_it_a_read() {
    let engine = Engine::new().await;
    let request = RequestId { id: "one".into(), encode: |_| Vec::new() };
    let rows_everywhere = Batch { request: Some(request), ..atomic(&["INSERT INTO t VALUES (1)"]) };
    engine.run_batch(rows_everywhere).await.expect("rows");
    engine.run(&["ANALYZE"]).await.expect("statistics");
    // With a single table that lacks statistics, nothing in the statement's own program writes: it runs ANALYZE inside.
    engine
        .run(&["CREATE TABLE u (a)", "CREATE INDEX i ON u (a)", "INSERT INTO u VALUES (1), (2)"])
        .await
        .expect("rows");
    let optimize = atomic(&["PRAGMA optimize"]);
    let revision = engine.revision();
    assert_eq!(engine.run_batch(optimize).await.expect("statistics").revision, revision + 1);
    assert_eq!(engine.column("SELECT idx FROM sqlite_stat1 WHERE tbl = 'u'").await, [Value::Text("i".into())]);
}

#[tokio::test]
async fn a_table_that_another_program_has_dropped_is_made_again_and_the_revision_goes_on() {
    let engine = Engine::new().await;
    engine.run(&["INSERT INTO t VALUES (1)"]).await.expect("a row");
    for (sql, revision) in [
        ("DROP TABLE skylinedb_meta", 4),
        ("DELETE FROM skylinedb_meta", 6),
        ("UPDATE skylinedb_meta SET revision = 0", 7),
        ("DROP TABLE skylinedb_meta; DROP TABLE skylinedb_requests", 9),
    ] {
        engine.other_program().execute_batch(sql).expect(sql);
        let result = engine.run(&["INSERT INTO t VALUES (NULL)"]).await.expect(sql);
        assert_eq!((result.revision, engine.revision()), (revision, revision), "{sql}");
    }
    let told = engine.other_program().query_row("SELECT revision FROM skylinedb_meta", [], |row| row.get::<_, i64>(0));
    assert_eq!(told.expect("the revision"), 9);
}
