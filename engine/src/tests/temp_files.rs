//! SQLite's temporary files have a limit, and the statement with the largest of them fails at it.

use super::*;

const LIMIT_BYTES: u64 = 1 << 20;

/// Sorts some 8 MB: more than the page cache, and the limit, hold.
const LARGE_SORT: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000) \
                          SELECT count(*) FROM (SELECT randomblob(1000) AS b FROM n ORDER BY b LIMIT -1 OFFSET 0)";

async fn limited() -> Engine {
    Engine::with(|config, _| config.temp_files = TempFiles::limited_to(LIMIT_BYTES)).await
}

fn temp_bytes(engine: &Engine) -> u64 {
    engine.config.temp_files.total_bytes()
}

/// Statements that need temporary files of different kinds: a sort, an ephemeral table, an index, statement journals.
#[tokio::test]
async fn a_statement_with_too_many_temporary_files_fails_alone_and_gives_them_back() {
    let engine = limited().await;
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000) ";
    engine
        .run(&["CREATE TABLE l (b)", &format!("{rows} INSERT INTO l SELECT randomblob(1000) FROM n")])
        .await
        .expect("rows");
    for sql in [
        LARGE_SORT,
        "SELECT b, count(*) FROM l GROUP BY b ORDER BY 2 LIMIT 1",
        "SELECT count(*) FROM (SELECT b FROM l UNION SELECT randomblob(1000) FROM l)",
        "CREATE INDEX i ON l (b)",
        "UPDATE l SET b = randomblob(1000)",
        "INSERT INTO t SELECT b FROM l ORDER BY b",
    ] {
        let answers = engine
            .together([atomic(&["INSERT INTO t VALUES (1)"]), atomic(&[sql]), atomic(&["INSERT INTO t VALUES (2)"])])
            .await;
        assert_eq!(reasons(&answers), ["ok", "TEMP_FILES_FULL", "ok"], "{sql}");
        let error = answers[1].as_ref().expect_err("full");
        assert_eq!((error.kind, error.statement_index), (crate::Kind::Exhausted, Some(0)));
        assert!(error.message.contains("--max-temp-bytes"), "{error}");
        assert_eq!(temp_bytes(&engine), 0, "{sql}");
        assert_eq!(engine.integers().await, [1, 2]);
        engine.run(&["DELETE FROM t"]).await.expect("the writer goes on");
    }
    assert_eq!(engine.run(&["VACUUM"]).await.expect_err("full").reason, "TEMP_FILES_FULL");
    assert_eq!(temp_bytes(&engine), 0);
    assert_eq!(engine.column("PRAGMA integrity_check").await, [Value::Text("ok".to_owned())]);
}

#[tokio::test]
async fn a_reader_whose_sort_is_too_large_goes_on_with_its_snapshot() {
    let engine = limited().await;
    let snapshot = engine.begin_read(&Cancel::default()).await.expect("a snapshot");
    engine.run(&["INSERT INTO t VALUES (1)"]).await.expect("a row");
    let error = snapshot.execute(atomic(&[LARGE_SORT]), Cancel::default()).await.expect_err("full");
    assert_eq!(error.reason, "TEMP_FILES_FULL");
    let seen = snapshot.execute(atomic(&["SELECT count(*) FROM t"]), Cancel::default()).await.expect("the snapshot");
    assert_eq!(integer(&only(seen).rows[0][0]), 0, "what was written since is not to be seen");
    assert_eq!(temp_bytes(&engine), 0);
}

#[tokio::test]
async fn a_transaction_of_a_session_is_told_and_the_next_one_is_served() {
    let engine = limited().await;
    let transaction = engine.hold().await;
    transaction.execute(atomic(&["INSERT INTO t VALUES (1)"]), Cancel::default()).await.expect("a row");
    let error = transaction.execute(atomic(&[LARGE_SORT]), Cancel::default()).await.expect_err("full");
    assert_eq!(error.reason, "TEMP_FILES_FULL");
    transaction
        .execute(atomic(&["INSERT INTO t VALUES (2)"]), Cancel::default())
        .await
        .expect("the transaction goes on");
    transaction.commit(Cancel::default()).await.expect("a commit");
    assert_eq!(engine.integers().await, [1, 2]);
}

/// What uses temporary files or the database's own in other ways is as it is without the shim.
#[tokio::test]
async fn large_work_within_the_limit_is_done() {
    let engine = Engine::with(|config, _| config.temp_files = TempFiles::limited_to(64 << 20)).await;
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000) ";
    engine
        .run(&["CREATE TABLE l (b)", &format!("{rows} INSERT INTO l SELECT randomblob(1000) FROM n")])
        .await
        .expect("rows");
    engine.run(&["UPDATE l SET b = randomblob(1000)", "CREATE INDEX i ON l (b)"]).await.expect("a large transaction");
    let answers =
        engine.run_batch(each(&["UPDATE l SET b = b || 'x'", "no SQL", "DELETE FROM l WHERE rowid > 4000"])).await;
    assert_eq!(reasons(&answers.expect("an answer").results), ["ok", "SQLITE_ERROR", "ok"]);
    engine.run(&["VACUUM"]).await.expect("a compact file");
    let copy = engine.folder.path().canonicalize().expect("a path").join("copy.db");
    engine.run(&[&format!("VACUUM INTO '{}'", copy.display())]).await.expect("a copy");
    let count =
        |sqlite: &rusqlite::Connection| sqlite.query_row("SELECT count(*) FROM l", [], |row| row.get::<_, i64>(0));
    assert_eq!(count(&rusqlite::Connection::open(copy).expect("the copy")), Ok(4_000));
    assert_eq!(count(&engine.other_program()), Ok(4_000));
    assert_eq!(engine.column("PRAGMA integrity_check").await, [Value::Text("ok".to_owned())]);
    assert_eq!(temp_bytes(&engine), 0);
}
