//! Trap 8: a COMMIT that fails. And trap 1 once more, with an I/O error.
//!
//! The failure is a real one: these tests run themselves again in a process whose files may not grow beyond a limit, where the
//! write-ahead log cannot be written.

use std::{env, process::Command};

use super::*;

/// Set in the process whose files are limited.
const IS_LIMITED: &str = "SKYLINEDB_TEST_FILES_ARE_LIMITED";

/// Fits into the page cache, so that it is written by COMMIT only, and not into the limit.
const FAILS_AT_COMMIT: &str = "INSERT INTO large VALUES (zeroblob(1500000))";

/// Does not fit into the page cache, and so is written before it ends.
const FAILS_BEFORE_COMMIT: &str = "INSERT INTO large VALUES (zeroblob(8000000))";

#[test]
fn a_failed_commit_fails_every_batch_of_the_group_with_the_true_error() {
    with_limited_files("a_failed_commit_fails_every_batch_of_the_group_with_the_true_error", || async {
        let engine = engine().await;
        let group = || [atomic(&["INSERT INTO t VALUES (1)"]), atomic(&[FAILS_AT_COMMIT]), atomic(&["SELECT 1"])];
        for _ in 0..2 {
            let answers = engine.together(group()).await;
            assert_eq!(reasons(&answers), ["SQLITE_IOERR_WRITE"; 3]);
            assert_eq!(engine.revision(), 2);
            assert!(engine.integers().await.is_empty());
        }
        let answers =
            engine.together([atomic(&["INSERT INTO t VALUES (1)"]), atomic(&["INSERT INTO t VALUES (2)"])]).await;
        assert_eq!(revisions(&answers), [3, 4]);
        assert_eq!(engine.integers().await, [1, 2]);
    });
}

#[test]
fn a_failed_commit_of_a_sessions_transaction_is_told_and_frees_the_writer() {
    with_limited_files("a_failed_commit_of_a_sessions_transaction_is_told_and_frees_the_writer", || async {
        let engine = engine().await;
        let transaction = engine.hold().await;
        transaction.execute(atomic(&[FAILS_AT_COMMIT]), Cancel::default()).await.expect("a row in memory");
        assert_eq!(transaction.commit(Cancel::default()).await.expect_err("no commit").reason, "SQLITE_IOERR_WRITE");
        assert_eq!(engine.run(&["INSERT INTO t VALUES (1)"]).await.expect("a row").revision, 3);
        assert_eq!(engine.integers().await, [1]);
    });
}

#[test]
fn an_io_error_in_one_batch_spares_the_others_of_its_group() {
    with_limited_files("an_io_error_in_one_batch_spares_the_others_of_its_group", || async {
        let engine = engine().await;
        let answers = engine
            .together([
                atomic(&["INSERT INTO t VALUES (1)"]),
                atomic(&[FAILS_BEFORE_COMMIT]),
                atomic(&["INSERT INTO t VALUES (2)"]),
            ])
            .await;
        assert_eq!(reasons(&answers), ["ok", "SQLITE_IOERR_WRITE", "ok"]);
        assert_eq!(revisions(&answers), [3, 4]);
        assert_eq!(engine.integers().await, [1, 2]);
    });
}

#[tokio::test]
async fn after_a_failed_commit_the_connection_is_opened_anew() {
    let engine = Engine::new().await;
    // What makes the commit fail here is that the revision cannot be written.
    let other = engine.other_program();
    other
        .execute_batch("CREATE TRIGGER no BEFORE UPDATE ON skylinedb_meta BEGIN SELECT RAISE(FAIL, 'no revision'); END")
        .expect("a trigger");
    // How often a connection has seen others change the file: a new connection has not.
    let seen = || async { integer(&only(engine.run(&["PRAGMA data_version"]).await.expect("a number")).rows[0][0]) };
    let new = seen().await;
    for value in 0..5 {
        other.execute("INSERT INTO t VALUES (?1)", [value]).expect("a row");
        seen().await;
    }
    assert!(seen().await > new);

    let answers =
        engine.together([atomic(&["INSERT INTO t VALUES (10)"]), atomic(&["INSERT INTO t VALUES (11)"])]).await;
    for answer in answers {
        let error = answer.expect_err("no commit");
        assert_eq!(error.reason, "SQLITE_CONSTRAINT_TRIGGER");
        assert_eq!(error.message, "the commit failed, nothing was written: no revision");
    }
    other.execute_batch("DROP TRIGGER no").expect("no trigger");
    assert!(seen().await <= new, "the old connection is still in use");
    assert_eq!(engine.run(&["INSERT INTO t VALUES (10)"]).await.expect("a row").revision, 2);
    assert_eq!(engine.integers().await, [0, 1, 2, 3, 4, 10]);
}

async fn engine() -> Engine {
    let engine = Engine::new().await;
    // Without an index, which would hold every value once more.
    engine.run(&["CREATE TABLE large (a)"]).await.expect("a table");
    engine
}

/// Runs a test of this module in a process of its own, whose files may not grow beyond 512 KiB or 1 MiB: the unit is the
/// shell's.
fn with_limited_files<F: Future<Output = ()>>(name: &str, test: impl FnOnce() -> F) {
    if env::var_os(IS_LIMITED).is_some() {
        return tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test());
    }
    let module = module_path!().split_once("::").expect("a crate's name").1;
    let output = Command::new("/bin/sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1024; exec \"$0\" --exact --nocapture \"$1\""])
        .arg(env::current_exe().expect("this program"))
        .arg(format!("{module}::{name}"))
        .env(IS_LIMITED, "1")
        .output()
        .expect("a shell");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
