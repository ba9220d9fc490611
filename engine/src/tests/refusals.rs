//! Trap 3: transaction control inside a batch, and whatever else is not a client's to do.

use super::*;

/// Sends each statement twice, between two batches that must not feel it. Twice, because a statement that was compiled once
/// may be in a cache that asks nobody.
async fn assert_refused(engine: &Engine, statements: &[&str]) {
    for sql in statements.iter().flat_map(|sql| [sql, sql]) {
        let answers = engine
            .together([
                atomic(&["INSERT INTO t VALUES (1)"]),
                atomic(&[sql]),
                each(&["INSERT INTO t VALUES (2)", sql]),
                atomic(&["DELETE FROM t"]),
            ])
            .await;
        assert_eq!(reasons(&answers), ["ok", "SQLITE_AUTH", "ok", "ok"], "{sql}");
        let results = &answers[2].as_ref().expect("a batch of mode EACH").results;
        assert_eq!(reasons(results), ["ok", "SQLITE_AUTH"], "{sql}");
        assert_eq!(revisions(&answers).last(), Some(&engine.revision()), "{sql}");
    }
}

#[tokio::test]
async fn transaction_control_in_a_batch_is_refused_whatever_it_looks_like() {
    let engine = Engine::new().await;
    assert_refused(
        &engine,
        &[
            "BEGIN",
            "BEGIN IMMEDIATE TRANSACTION",
            "/* a comment */ begin",
            "-- a comment\n COMMIT ;",
            "END",
            "END TRANSACTION;",
            ";ROLLBACK",
            "SAVEPOINT mine",
            "RELEASE batch",
            "ROLLBACK TO batch",
            "ROLLBACK TO SAVEPOINT statement",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_client_cannot_run_the_daemons_own_cached_statements() {
    let engine = Engine::new().await;
    let own = [
        "BEGIN IMMEDIATE",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT batch",
        "ROLLBACK TO batch",
        "RELEASE batch",
        "SAVEPOINT statement",
        "ROLLBACK TO statement",
        "RELEASE statement",
        "UPDATE skylinedb_meta SET revision = revision WHERE 0",
    ];
    let with_semicolon: Vec<String> = own.iter().map(|sql| format!("{sql};")).collect();
    assert_refused(&engine, &own).await;
    assert_refused(&engine, &with_semicolon.iter().map(String::as_str).collect::<Vec<_>>()).await;

    for sql in [
        "UPDATE skylinedb_meta SET revision = ?1 WHERE id = 1",
        "UPDATE skylinedb_meta SET revision = ?1 WHERE id = 1;",
    ] {
        let statement = Statement { positional: vec![Value::Integer(9_999)], ..statement(sql) };
        let batch = Batch { statements: vec![statement], ..atomic(&[]) };
        let error = engine.run_batch(batch).await.expect_err("refused");
        assert_eq!(error.reason, "SQLITE_AUTH", "{sql}");
    }
}

#[tokio::test]
async fn the_daemons_own_tables_cannot_be_changed_in_any_way() {
    let engine = Engine::new().await;
    assert_refused(
        &engine,
        &[
            "DELETE FROM skylinedb_requests",
            "INSERT INTO skylinedb_meta VALUES (2, 2)",
            "INSERT INTO skylinedb_meta VALUES (1, 2) ON CONFLICT DO UPDATE SET revision = 7",
            "WITH n(i) AS (SELECT 9) UPDATE main.SkylineDB_Meta SET revision = (SELECT i FROM n)",
            "DROP TABLE skylinedb_requests",
            "ALTER TABLE skylinedb_meta ADD COLUMN mine",
            "ALTER TABLE skylinedb_meta RENAME TO yours",
            "CREATE INDEX mine ON skylinedb_requests (answer)",
            "CREATE TRIGGER mine AFTER UPDATE ON skylinedb_meta BEGIN SELECT 1; END",
        ],
    )
    .await;
    let error = engine.run(&["UPDATE sqlite_schema SET sql = NULL"]).await.expect_err("refused");
    assert_eq!(error.message, "table sqlite_master may not be modified");
}

#[tokio::test]
async fn a_trigger_or_a_view_does_not_reach_the_daemons_own_tables_either() {
    let engine = Engine::new().await;
    engine
        .run(&[
            "CREATE TABLE u (a)",
            "CREATE TRIGGER reach AFTER INSERT ON u BEGIN UPDATE skylinedb_meta SET revision = 9999; END",
            "CREATE VIEW v AS SELECT * FROM skylinedb_meta",
            "CREATE TRIGGER through INSTEAD OF UPDATE ON v BEGIN UPDATE skylinedb_meta SET revision = 9999; END",
        ])
        .await
        .expect("a schema");
    assert_refused(&engine, &["INSERT INTO u VALUES (1)", "UPDATE v SET revision = 1"]).await;
}

#[tokio::test]
async fn a_foreign_key_to_the_daemons_own_tables_is_refused_because_it_would_fail_every_commit() {
    let engine = Engine::new().await;
    engine.run(&["CREATE TABLE u (a)"]).await.expect("a table");
    assert_refused(
        &engine,
        &[
            "CREATE TABLE x (a REFERENCES skylinedb_meta (revision))",
            "CREATE TABLE x (a, FOREIGN KEY (a) REFERENCES SKYLINEDB_REQUESTS (answer))",
            "ALTER TABLE u ADD COLUMN b REFERENCES skylinedb_requests (id)",
        ],
    )
    .await;
    assert_eq!(engine.column("SELECT count(*) FROM sqlite_schema WHERE name = 'x'").await, [Value::Integer(0)]);
}

#[tokio::test]
async fn what_is_no_statement_is_refused_with_its_reason() {
    let engine = Engine::new().await;
    for (sql, reason) in [
        ("", "EMPTY_STATEMENT"),
        ("  ;; ", "EMPTY_STATEMENT"),
        ("-- nothing", "EMPTY_STATEMENT"),
        ("/* nothing */;", "EMPTY_STATEMENT"),
        ("SELECT 1; SELECT 2", "MULTIPLE_STATEMENTS"),
        ("INSERT INTO t VALUES (1); COMMIT", "SQLITE_AUTH"),
        ("SELECT '\0'", "NUL_IN_SQL"),
        ("SELEC 1", "SQLITE_ERROR"),
        ("SELECT ?1", "SQLITE_RANGE"),
    ] {
        assert_eq!(engine.run(&[sql]).await.expect_err(sql).reason, reason, "{sql:?}");
    }
    engine.run(&["SELECT 1; -- and no more"]).await.expect("a statement with a comment behind it");
}

#[test]
fn what_is_no_database_file_is_refused_by_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let names = [":memory:", "file:x.db?mode=ro", "FILE:x.db", &folder.path().display().to_string()];
    let devices = if cfg!(unix) { &["/dev/null", "/dev/full"][..] } else { &[] };
    for name in names.iter().chain(devices) {
        let error = super::super::prepare_path(name.as_ref()).expect_err("no path of a file");
        assert_eq!(
            (&*error.reason, error.message.contains("give the path of a database file")),
            ("BAD_DATABASE_PATH", true),
            "{error}"
        );
    }
    super::super::prepare_path(&folder.path().join(":memory:")).expect("a file of that name");
}
