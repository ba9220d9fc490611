//! The way to the readers: what goes there, what cannot happen there, and what is seen there.

use super::*;

async fn execute(engine: &Engine, sql: &str) -> BatchResult {
    match soon(engine.read(atomic(&[sql]), Cancel::default())).await.expect(sql) {
        Read::Done(result) => result,
        Read::Writes(batch) => engine.run_batch(batch).await.expect(sql),
    }
}

/// Whether a batch was run by the pool, or failed there as a read.
async fn is_read(engine: &Engine, statements: &[&str]) -> bool {
    matches!(soon(engine.read(atomic(statements), Cancel::default())).await, Ok(Read::Done(_)))
}

#[tokio::test]
async fn statements_are_told_apart_by_what_they_do_not_by_their_text() {
    let engine = Engine::new().await;
    // Twice: the second time the answer is remembered.
    for _ in 0..2 {
        for (sql, expected) in [
            ("SELECT * FROM t", true),
            ("  /* a comment */ select 1;", true),
            ("WITH n AS (SELECT 1) SELECT * FROM n", true),
            ("VALUES (1)", true),
            ("EXPLAIN QUERY PLAN DELETE FROM t", true),
            ("PRAGMA table_info(t)", true),
            ("PRAGMA user_version", true),
            ("SELECT * FROM pragma_table_info('t')", true),
            ("WITH n AS (SELECT 1) DELETE FROM t", false),
            ("DELETE FROM t RETURNING a", false),
            ("PRAGMA user_version = 3", false),
            ("PRAGMA optimize", false),
            ("PRAGMA defer_foreign_keys = ON", false),
            ("PRAGMA wal_checkpoint", false),
            ("ATTACH '/tmp/x.db' AS x", false),
            ("DETACH x", false),
            ("VACUUM", false),
            ("ANALYZE", false),
            ("REINDEX", false),
            ("BEGIN", false),
            ("SELECT * FROM not_there_yet", false),
            ("", false),
        ] {
            assert_eq!(is_read(&engine, &[sql]).await, expected, "{sql}");
        }
    }
    assert!(!is_read(&engine, &["SELECT 1", "DELETE FROM t"]).await);
    assert!(!is_read(&engine, &["CREATE TABLE u (a)", "SELECT * FROM u"]).await, "it needs what comes before");
}

#[tokio::test]
async fn readers_cannot_write_and_keep_nothing() {
    let engine = Engine::new().await;
    let attach =
        format!("ATTACH '{}' AS other", engine.folder.path().canonicalize().expect("a path").join("o.db").display());
    for sql in [
        "INSERT INTO t VALUES (1)",
        "CREATE TABLE u (a)",
        "VACUUM",
        "PRAGMA wal_checkpoint",
        "PRAGMA optimize",
        &attach,
    ] {
        for _ in 0..2 {
            let query = engine.query(statement(sql), Cancel::default(), Box::new(Rows::default()));
            assert_eq!(soon(query).await.expect_err(sql).reason, "SQLITE_READONLY", "{sql}");
            assert!(!is_read(&engine, &["SELECT 1", sql]).await, "{sql}");
        }
    }
    for sql in ["BEGIN", "PRAGMA query_only = OFF", "CREATE TEMP TABLE x (a)"] {
        let query = engine.query(statement(sql), Cancel::default(), Box::new(Rows::default()));
        assert_eq!(soon(query).await.expect_err(sql).reason, "SQLITE_AUTH", "{sql}");
    }
    assert_eq!(engine.column("SELECT count(*) FROM pragma_database_list").await, [Value::Integer(1)]);
    assert!(engine.integers().await.is_empty());
}

#[tokio::test]
async fn a_statement_shows_the_columns_of_today_when_the_schema_has_changed() {
    let engine = Engine::new().await;
    engine.run(&["CREATE TABLE u (a INTEGER, b TEXT)", "INSERT INTO u VALUES (1, 'x')"]).await.expect("a table");
    let columns = |result: BatchResult| {
        let result = only(result);
        let names = result.columns.into_iter().map(|column| column.name).collect::<Vec<_>>().join(",");
        (names, result.rows.first().map_or(0, Vec::len))
    };
    let select = "SELECT * FROM u";
    for (change, expected) in [
        ("SELECT 1", ("a,b", 2)),
        ("ALTER TABLE u ADD COLUMN c", ("a,b,c", 3)),
        ("ALTER TABLE u DROP COLUMN a", ("b,c", 2)),
        ("ALTER TABLE u RENAME COLUMN b TO d", ("d,c", 2)),
        ("DELETE FROM u", ("d,c", 0)),
        ("ALTER TABLE u DROP COLUMN c", ("d", 0)),
    ] {
        execute(&engine, change).await;
        let expected = (expected.0.to_owned(), expected.1);
        // On the readers and, as part of a larger batch, on the writer.
        for _ in 0..3 {
            assert_eq!(columns(execute(&engine, select).await), expected, "{change}");
        }
        assert_eq!(columns(engine.run(&[select]).await.expect("rows")), expected, "{change}");
    }
}

#[tokio::test]
async fn a_pragma_tells_of_the_schema_of_today() {
    for ask in [
        "PRAGMA table_info(u)",
        "PRAGMA index_list(u)",
        "PRAGMA index_info(i)",
        "PRAGMA foreign_key_list(u)",
        "SELECT * FROM pragma_index_list('u')",
    ] {
        let engine = Engine::with(|config, _| config.readers = 1).await;
        let rows = async || only(engine.read_only(atomic(&[ask])).await.expect(ask)).rows.len();
        assert_eq!(rows().await, 0, "{ask}");
        engine.run(&["CREATE TABLE u (a REFERENCES t (a))", "CREATE INDEX i ON u (a)"]).await.expect("a table");
        assert_eq!(rows().await, 1, "{ask}");
        engine.run(&["DROP TABLE u"]).await.expect("no table");
        assert_eq!(rows().await, 0, "{ask}");
    }
}

#[tokio::test]
async fn another_programs_change_of_the_schema_is_seen() {
    let engine = Engine::new().await;
    execute(&engine, "SELECT * FROM t").await;
    engine
        .other_program()
        .execute_batch("ALTER TABLE t ADD COLUMN b DEFAULT 7; INSERT INTO t (a) VALUES (1)")
        .expect("a change");
    assert_eq!(only(execute(&engine, "SELECT * FROM t").await).rows, [[1, 7].map(Value::Integer)]);
    engine.run(&["INSERT INTO t VALUES (2, 3)"]).await.expect("a row");
}

#[tokio::test]
async fn a_snapshot_shows_the_same_for_as_long_as_it_is_held() {
    let engine = Engine::new().await;
    engine.run(&["INSERT INTO t VALUES (1)"]).await.expect("a row");
    let snapshot = engine.begin_read(&Cancel::default()).await.expect("a snapshot");
    engine.run(&["INSERT INTO t VALUES (2)"]).await.expect("a row");
    let result = snapshot.execute(atomic(&["SELECT count(*) FROM t"]), Cancel::default()).await.expect("a count");
    assert_eq!((result.revision, only(result).rows), (2, vec![vec![Value::Integer(1)]]));
    drop(snapshot);
    assert_eq!(engine.integers().await, [1, 2]);
}

#[tokio::test]
async fn a_read_that_was_given_up_leaves_nothing_to_the_next_one() {
    let engine = Engine::with(|config, _| config.readers = 1).await;
    for _ in 0..200 {
        let cancel = Cancel::default();
        drop(cancel.on_drop());
        let error = soon(engine.read(atomic(&["SELECT 1", "SELECT 2"]), cancel)).await.expect_err("given up");
        assert_eq!(error.reason, "CANCELLED");
        soon(engine.begin_read(&Cancel::default())).await.expect("a snapshot");
    }
}

#[tokio::test]
async fn an_endless_read_ends_when_its_client_goes() {
    let engine = Engine::new().await;
    let cancel = Cancel::default();
    let client = cancel.on_drop();
    let reading = engine.query(statement(ENDLESS_READ), cancel, Box::new(Rows::default()));
    let ((), outcome) = soon(async { tokio::join!(async { drop(client) }, reading) }).await;
    assert_eq!(outcome.expect_err("given up").reason, "CANCELLED");
}

#[tokio::test]
async fn a_panic_in_a_read_stays_in_it() {
    struct Panics;
    impl RowSink for Panics {
        fn columns(&mut self, _: Vec<Column>) -> Result<(), Error> {
            panic!("a mistake of the daemon's own")
        }
        fn row(&mut self, _: &RowValues<'_>) -> Result<(), Error> {
            Ok(())
        }
    }
    let engine = Engine::with(|config, _| config.readers = 1).await;
    for _ in 0..5 {
        let query = engine.query(statement("SELECT 1"), Cancel::default(), Box::new(Panics));
        assert_eq!(soon(query).await.expect_err("a panic").reason, "DAEMON_BUG");
    }
    assert!(engine.integers().await.is_empty());
}
