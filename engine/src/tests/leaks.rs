//! Trap 5: nothing that one client does to the connection reaches another.

use super::*;

/// Runs a SELECT on the writer's own connection, which leaks if anything does.
async fn on_the_writer(engine: &Engine, sql: &str) -> Value {
    only(engine.run(&[sql]).await.expect(sql)).rows.swap_remove(0).swap_remove(0)
}

#[tokio::test]
async fn last_insert_rowid_and_changes_are_a_batchs_own() {
    let engine = Engine::new().await;
    let ask = "SELECT last_insert_rowid(), changes()";
    let answers = engine
        .together([
            atomic(&["INSERT INTO t VALUES (1), (2)", ask]),
            atomic(&[ask]),
            atomic(&["CREATE TABLE u (a)"]),
            atomic(&["INSERT INTO t VALUES (1)"]),
            each(&["INSERT INTO t VALUES (3)", ask]),
        ])
        .await;
    assert_eq!(reasons(&answers), ["ok", "ok", "ok", "SQLITE_CONSTRAINT_UNIQUE", "ok"]);
    let told = |batch: usize, statement: usize| {
        let result = answers[batch].as_ref().expect("a batch").results[statement].as_ref().expect("a statement");
        (
            result.rows_affected,
            result.last_insert_rowid,
            result.rows.first().map(|row| [integer(&row[0]), integer(&row[1])]),
        )
    };
    assert_eq!(told(0, 0), (2, 2, None));
    assert_eq!(told(0, 1), (0, 2, Some([2, 2])));
    assert_eq!(told(1, 0), (0, 0, Some([0, 0])));
    assert_eq!(told(2, 0), (0, 0, None));
    assert_eq!(told(4, 1), (0, 3, Some([3, 1])));

    let later = only(engine.run(&[ask]).await.expect("an answer"));
    assert_eq!(later.rows, [[0, 0].map(Value::Integer)]);
}

#[tokio::test]
async fn an_attached_file_is_let_go_of_after_its_batch_whether_it_succeeds_or_fails() {
    let engine = Engine::new().await;
    let path = engine.folder.path().canonicalize().expect("a path").join("other.db");
    let attach = format!("ATTACH '{}' AS other", path.display());
    let list = "SELECT count(*) FROM pragma_database_list WHERE name <> 'temp'";
    // Again and again: a cached ATTACH would not tell that it is one.
    for round in 0..3 {
        for (batch, expected) in [
            (atomic(&[&attach, "CREATE TABLE IF NOT EXISTS other.o (a)", "INSERT INTO other.o VALUES (1)"]), "ok"),
            (atomic(&[&attach]), "ok"),
            (atomic(&[&attach, "INSERT INTO no_such_table VALUES (1)"]), "SQLITE_ERROR"),
            (each(&[&attach, "INSERT INTO no_such_table VALUES (1)", "INSERT INTO other.o VALUES (1)"]), "ok"),
            (
                each(&[&attach, "INSERT INTO t VALUES (1)", "INSERT OR ROLLBACK INTO t VALUES (1)", "DELETE FROM t"]),
                "ok",
            ),
        ] {
            let answers = engine.together([atomic(&["DELETE FROM t"]), batch, atomic(&[list])]).await;
            assert_eq!(reasons(&answers), ["ok", expected, "ok"], "round {round}: {answers:?}");
            let attached = answers.into_iter().nth(2).map(|answer| only(answer.expect("a count")).rows);
            assert_eq!(attached, Some(vec![vec![Value::Integer(1)]]), "round {round}");
        }
    }
    let transaction = engine.hold().await;
    transaction.execute(atomic(&[&attach]), Cancel::default()).await.expect("attached");
    transaction.roll_back(Cancel::default()).await.expect("rolled back");
    assert_eq!(on_the_writer(&engine, list).await, Value::Integer(1));
    let rows: i64 = rusqlite::Connection::open(path)
        .and_then(|other| other.query_row("SELECT count(*) FROM o", [], |row| row.get(0)))
        .expect("the attached file's table");
    assert_eq!(rows, 6);
}

#[tokio::test]
async fn a_batch_that_attaches_may_be_run_again() {
    let engine = Engine::new().await;
    let path = engine.folder.path().canonicalize().expect("a path").join("other.db");
    let attach = format!("ATTACH '{}' AS other", path.display());
    let batch =
        [&attach, "INSERT INTO t VALUES (1)", "INSERT OR ROLLBACK INTO t VALUES (1)", "CREATE TABLE other.o (a)"];
    let result = engine.run_batch(each(&batch)).await.expect("a batch");
    assert_eq!(reasons(&result.results), ["ok", "ok", "SQLITE_CONSTRAINT_UNIQUE", "ok"]);
    assert_eq!(engine.integers().await, [1]);
}

#[tokio::test]
async fn a_file_is_not_attached_by_an_expression_that_hides_where_it_is() {
    let engine = Engine::new().await;
    for sql in ["ATTACH '/tmp/' || 'hidden.db' AS hidden", "ATTACH ('/tmp/hidden.db') || '' AS hidden"] {
        assert_eq!(engine.run(&[sql]).await.expect_err("refused").reason, "SQLITE_AUTH", "{sql}");
    }
    let hidden =
        Statement { positional: vec![Value::Text("/tmp/hidden.db".into())], ..statement("ATTACH ?1 AS hidden") };
    let error = engine.run_batch(Batch { statements: vec![hidden], ..atomic(&[]) }).await.expect_err("refused");
    assert_eq!(error.reason, "SQLITE_AUTH");
}

#[tokio::test]
async fn temporary_tables_are_refused_because_they_would_stay_and_hide_others() {
    let engine = Engine::new().await;
    for sql in [
        "CREATE TEMP TABLE t (a)",
        "CREATE TABLE temp.t (a)",
        "CREATE TABLE temp.skylinedb_meta (id, revision)",
        "CREATE TEMP TABLE x AS SELECT 1",
        "CREATE TEMP VIEW t AS SELECT 1",
        "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END",
        "CREATE TRIGGER temp.x AFTER INSERT ON t BEGIN SELECT 1; END",
        "CREATE VIRTUAL TABLE temp.x USING fts5(a)",
        "CREATE VIRTUAL TABLE temp.skylinedb_meta USING dbstat(main)",
    ] {
        assert_eq!(engine.run(&[sql]).await.expect_err(sql).reason, "SQLITE_AUTH", "{sql}");
    }
    assert_eq!(on_the_writer(&engine, "SELECT count(*) FROM sqlite_temp_schema").await, Value::Integer(0));
}

#[tokio::test]
async fn settings_of_the_connection_stay_as_they_are() {
    let engine = Engine::new().await;
    let settings =
        ["foreign_keys", "synchronous", "journal_mode", "recursive_triggers", "cache_size", "trusted_schema"];
    for setting in settings {
        let ask = format!("PRAGMA {setting}");
        let before = on_the_writer(&engine, &ask).await;
        for change in
            [format!("PRAGMA {setting} = 0"), format!("PRAGMA {setting}(1)"), format!("PRAGMA main.{setting} = ON")]
        {
            assert_eq!(engine.run(&[&change]).await.expect_err("refused").reason, "SQLITE_AUTH", "{change}");
        }
        assert_eq!(on_the_writer(&engine, &ask).await, before, "{setting}");
    }
    for function in ["SELECT * FROM pragma_foreign_keys(0)", "SELECT * FROM pragma_wal_checkpoint"] {
        engine.run(&[function]).await.expect_err(function);
    }
    assert_eq!(on_the_writer(&engine, "PRAGMA foreign_keys").await, Value::Integer(1));
}

#[tokio::test]
async fn deferring_foreign_keys_ends_with_the_batch() {
    let engine = Engine::new().await;
    let on = "PRAGMA defer_foreign_keys = ON";
    let ask = "PRAGMA defer_foreign_keys";
    for _ in 0..2 {
        let answers = engine
            .together([
                atomic(&["INSERT INTO t VALUES (NULL)"]),
                atomic(&[on, "INSERT INTO t VALUES (NULL)"]),
                atomic(&[ask]),
                atomic(&[on, "INSERT INTO no_such_table VALUES (1)"]),
                atomic(&[ask]),
                each(&[on, "INSERT INTO t VALUES (NULL)"]),
                atomic(&[ask]),
            ])
            .await;
        for index in [2, 4, 6] {
            let result = answers[index].as_ref().expect("a batch").results[0].as_ref().expect("a setting");
            assert_eq!(result.rows, [[Value::Integer(0)]], "after batch {}", index - 1);
        }
    }
}

#[tokio::test]
async fn total_changes_is_refused_because_it_counts_every_clients() {
    let engine = Engine::new().await;
    assert_eq!(engine.run(&["SELECT total_changes()"]).await.expect_err("refused").reason, "SQLITE_AUTH");
}

#[tokio::test]
async fn the_numbers_of_the_temporary_database_are_not_a_clients_to_set() {
    let engine = Engine::new().await;
    for number in ["user_version", "application_id"] {
        let ask = format!("PRAGMA temp.{number}");
        for change in [format!("{ask} = 7"), format!("{ask}(7)")] {
            assert_eq!(engine.run(&[&change]).await.expect_err("refused").reason, "SQLITE_AUTH", "{change}");
        }
        engine.run(&[&ask]).await.expect_err("refused, too");
        engine.run(&[&format!("PRAGMA {number} = 7")]).await.expect("the file's own number");
        assert_eq!(engine.column(&format!("PRAGMA {number}")).await, [Value::Integer(7)]);
    }
}

#[tokio::test]
async fn a_statement_that_fails_defers_no_foreign_keys_either() {
    let engine = Engine::new().await;
    engine
        .run(&["CREATE TABLE parent (id INTEGER PRIMARY KEY)", "CREATE TABLE child (id REFERENCES parent)"])
        .await
        .expect("tables");
    // Each fails after SQLite has compiled the PRAGMA, which is when it takes effect.
    let on = "PRAGMA defer_foreign_keys = ON";
    let too_many = Statement { positional: vec![Value::Null], ..statement(on) };
    for (failing, reason) in [
        (Batch { statements: vec![too_many], ..atomic(&[]) }, "SQLITE_RANGE"),
        (atomic(&[&format!("{on}; SELECT 1")]), "MULTIPLE_STATEMENTS"),
    ] {
        let child_first = atomic(&["INSERT INTO child VALUES (8)", "INSERT INTO parent VALUES (8)"]);
        let answers = engine.together([atomic(&["INSERT INTO t VALUES (NULL)"]), failing, child_first]).await;
        assert_eq!(reasons(&answers), ["ok", reason, "SQLITE_CONSTRAINT_FOREIGNKEY"]);
    }
}

#[tokio::test]
async fn what_sqlite_keeps_beside_a_database_is_not_attached_because_commits_would_be_lost() {
    let engine = Engine::new().await;
    // Now the log is empty, and SQLite would take it for a new database.
    engine.run(&["PRAGMA wal_checkpoint(TRUNCATE)"]).await.expect("a checkpoint");
    for suffix in ["-wal", "-shm", "-journal", "-WAL"] {
        let path = format!("{}{suffix}", engine.path().display());
        for sql in [format!("ATTACH '{path}' AS other"), format!("VACUUM INTO '{path}'")] {
            assert_eq!(engine.run(&[&sql]).await.expect_err("refused").reason, "SQLITE_AUTH", "{sql}");
        }
    }
}
