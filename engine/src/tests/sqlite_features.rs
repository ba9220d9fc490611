//! What SQLite can do, it can do through the daemon.

use super::*;

#[tokio::test]
async fn virtual_tables_and_all_kinds_of_tables_and_statements_work() {
    let engine = Engine::new().await;
    for sql in [
        "CREATE VIRTUAL TABLE ft USING fts5(body)",
        "INSERT INTO ft VALUES ('one two'), ('two three')",
        "INSERT INTO ft(ft) VALUES ('optimize')",
        "INSERT INTO ft(ft) VALUES ('integrity-check')",
        "SELECT body FROM ft WHERE ft MATCH 'two' ORDER BY rank",
        "CREATE VIRTUAL TABLE f4 USING fts4(body)",
        "INSERT INTO f4 VALUES ('one two')",
        "CREATE VIRTUAL TABLE rt USING rtree(id, x0, x1)",
        "INSERT INTO rt VALUES (1, 0.5, 1.5)",
        "CREATE TABLE wr (a PRIMARY KEY, b) WITHOUT ROWID",
        "INSERT INTO wr VALUES ('a', 1) ON CONFLICT (a) DO UPDATE SET b = b + 1",
        "CREATE TABLE g (a, b AS (a * 2) STORED, c AS (a + 1))",
        "INSERT INTO g VALUES (1)",
        "CREATE TABLE au (id INTEGER PRIMARY KEY AUTOINCREMENT, a)",
        "INSERT INTO au (a) VALUES (1), (2) RETURNING id",
        "CREATE INDEX gi ON g (c)",
        "ANALYZE",
        "REINDEX",
        "REINDEX gi",
        "PRAGMA optimize",
        "PRAGMA incremental_vacuum",
        "PRAGMA user_version = 7",
        "PRAGMA integrity_check",
        "PRAGMA foreign_key_check",
        "CREATE TABLE made AS SELECT * FROM g",
        "ALTER TABLE made RENAME TO remade",
        "ALTER TABLE remade DROP COLUMN c",
        "CREATE VIEW v AS SELECT * FROM remade",
        "EXPLAIN SELECT * FROM v",
        "EXPLAIN QUERY PLAN SELECT * FROM v",
        "DROP TABLE ft",
        "DROP TABLE f4",
        "DROP TABLE rt",
    ] {
        engine.run(&[sql]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    let kept = engine.column("SELECT b FROM g UNION ALL SELECT b FROM wr UNION ALL SELECT id FROM au").await;
    assert_eq!(kept, [2, 1, 1, 2].map(Value::Integer));
}

#[tokio::test]
async fn rows_affected_are_those_of_the_statement_itself() {
    let engine = Engine::new().await;
    let result = engine
        .run(&[
            "INSERT INTO t VALUES (1), (2), (3)",
            "CREATE TABLE u (a)",
            "UPDATE t SET a = a + 10 WHERE a > 1",
            "SELECT * FROM t",
            "UPDATE t SET a = 1 WHERE a = 99",
            "DELETE FROM t",
        ])
        .await
        .expect("a batch");
    let affected: Vec<u64> =
        result.results.iter().map(|result| result.as_ref().expect("no error").rows_affected).collect();
    assert_eq!(affected, [3, 0, 2, 0, 0, 3]);
}

#[tokio::test]
async fn values_keep_their_type_and_every_bit() {
    let engine = Engine::new().await;
    let values = [
        Value::Null,
        Value::Integer(i64::MIN),
        Value::Integer(i64::MAX),
        Value::Real(f64::INFINITY),
        Value::Real(-0.0),
        Value::Real(f64::MIN_POSITIVE),
        Value::Text(String::new()),
        Value::Text("a\0b".into()),
        Value::Blob(Vec::new()),
        Value::Blob(vec![0, 255]),
    ];
    for value in values {
        let ask = Statement { positional: vec![value.clone()], ..statement("SELECT ?1") };
        let result = engine.run_batch(Batch { statements: vec![ask], ..atomic(&[]) }).await.expect("a value");
        assert_eq!(only(result).rows, [[value]]);
    }
    let invalid = only(engine.run(&["SELECT CAST(x'ff' AS TEXT)"]).await.expect("a value"));
    assert_eq!(invalid.rows, [[Value::Blob(vec![255])]]);
}
