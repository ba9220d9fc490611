//! A commit that has failed may be in the write-ahead log all the same. Nobody is answered before that is cured, or told that
//! it is not known.

use rusqlite::ffi::{SQLITE_FULL, SQLITE_IOERR_FSYNC};

use super::*;

fn fails(code: i32) -> impl FnOnce() -> Result<(), Error> + Send + 'static {
    move || Err(Error::of_code(code, "the disk fails, for this test"))
}

#[tokio::test]
async fn a_failed_commit_is_overwritten_before_anybody_is_answered() {
    let engine = Engine::new().await;
    engine.run(&["INSERT INTO t VALUES (1)"]).await.expect("a row");
    let before = engine.commits();
    engine.faults.add(Stage::Commit, fails(SQLITE_IOERR_FSYNC));
    let error = engine.run(&["INSERT INTO t VALUES (2)"]).await.expect_err("no commit");
    assert_eq!(error.reason, "SQLITE_IOERR_FSYNC");
    assert!(error.message.starts_with("the commit failed, nothing was written"), "{error}");
    assert_eq!(engine.commits(), before + 1, "the marker");
    assert_eq!(engine.run(&["INSERT INTO t VALUES (3)"]).await.expect("a row").revision, 3);
    assert_eq!(engine.integers().await, [1, 3]);
}

#[tokio::test]
async fn as_long_as_it_is_not_known_nothing_is_acknowledged() {
    let engine = Engine::new().await;
    for is_sessions in [false, true] {
        engine.faults.add(Stage::Commit, fails(SQLITE_IOERR_FSYNC));
        for _ in 0..3 {
            engine.faults.add(Stage::Marker, fails(SQLITE_IOERR_FSYNC));
        }
        let error = if is_sessions {
            let transaction = engine.hold().await;
            transaction.execute(atomic(&["INSERT INTO t VALUES (1)"]), Cancel::default()).await.expect("a row");
            soon(transaction.commit(Cancel::default())).await.expect_err("no commit")
        } else {
            engine.run(&["INSERT INTO t VALUES (1)"]).await.expect_err("no commit")
        };
        assert!(error.message.contains("whether it was kept is not known"), "{error}");
        assert_eq!((error.kind, &*error.reason), (crate::Kind::DataLoss, "SQLITE_IOERR_FSYNC"));

        let refused = engine.run(&["INSERT INTO t VALUES (2)"]).await.expect_err("still in doubt");
        assert!(refused.message.contains("nothing of this request was written"), "{refused}");
        let refused = soon(engine.begin_write(Cancel::default())).await.expect_err("still in doubt");
        assert!(refused.message.contains("nothing of this request was written"), "{refused}");

        engine.run(&["INSERT INTO t VALUES (3)"]).await.expect("a disk that works again");
        assert_eq!(engine.integers().await, [3]);
        engine.run(&["DELETE FROM t"]).await.expect("no rows");
    }
}

#[tokio::test]
async fn a_frame_that_could_not_be_written_leaves_no_doubt() {
    let engine = Engine::new().await;
    engine.faults.add(Stage::Commit, fails(SQLITE_FULL));
    engine.faults.add(Stage::Marker, fails(SQLITE_FULL));
    let error = engine.run(&["INSERT INTO t VALUES (1)"]).await.expect_err("no commit");
    assert_eq!(error.reason, "SQLITE_FULL");
    assert!(error.message.starts_with("the commit failed, nothing was written"), "{error}");
    engine.run(&["INSERT INTO t VALUES (2)"]).await.expect("a row");
    assert_eq!(engine.integers().await, [2]);
}

#[tokio::test]
async fn a_commit_in_doubt_is_settled_when_the_database_is_closed() {
    let engine = Engine::new().await;
    engine.faults.add(Stage::Commit, fails(SQLITE_IOERR_FSYNC));
    engine.faults.add(Stage::Marker, fails(SQLITE_IOERR_FSYNC));
    engine.run(&["INSERT INTO t VALUES (1)"]).await.expect_err("no commit");
    engine.close();
    let rows = engine.other_program().query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0));
    assert_eq!(rows, Ok(0));
}
