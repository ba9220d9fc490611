//! A panic in the writer's thread ends what is being done, with a true answer, and nothing else.

use super::*;

/// A fault that panics.
fn panics() -> Result<(), Error> {
    panic!("a mistake of the daemon's own, for this test")
}

async fn lives_on(engine: &Engine, value: i64) {
    engine.run(&[&format!("INSERT INTO t VALUES ({value})")]).await.expect("the next write");
    let transaction = engine.hold().await;
    transaction.commit(Cancel::default()).await.expect("the next transaction");
}

#[tokio::test]
async fn wherever_the_writer_panics_its_batches_hear_the_truth_and_others_go_on() {
    let engine = Engine::new().await;
    for (round, (stage, reason, is_known, is_kept)) in [
        (Stage::Begin, "WRITER_FAILED", true, false),
        (Stage::Batch, "DAEMON_BUG", true, false),
        (Stage::Commit, "WRITER_FAILED", false, false),
        (Stage::Committed, "WRITER_FAILED", false, true),
    ]
    .into_iter()
    .enumerate()
    {
        engine.run(&["DELETE FROM t"]).await.expect("no rows");
        let hold = engine.hold().await;
        let pending = engine.send(atomic(&["INSERT INTO t VALUES (1)"]));
        engine.faults.add(stage, panics);
        hold.roll_back(Cancel::default()).await.expect("the writer let go");
        let error = fresh(pending).await.expect_err("a panic");
        assert_eq!(error.reason, reason, "{stage:?}");
        assert_eq!(error.message.contains("is not known"), !is_known, "{stage:?}: {error}");
        assert_eq!(engine.integers().await == [1], is_kept, "{stage:?}");
        lives_on(&engine, 100 + i64::try_from(round).expect("a number")).await;
    }
}

#[tokio::test]
async fn a_panic_in_a_sessions_commit_ends_its_transaction_and_the_session_hears_of_it() {
    for stage in [Stage::Commit, Stage::Committed] {
        let engine = Engine::new().await;
        let transaction = engine.hold().await;
        transaction.execute(atomic(&["INSERT INTO t VALUES (1)"]), Cancel::default()).await.expect("a row");
        engine.faults.add(stage, panics);
        let error = soon(transaction.commit(Cancel::default())).await.expect_err("a panic");
        assert_eq!(error.reason, "WRITER_FAILED");
        assert!(error.message.contains("is not known"), "{error}");
        let late = soon(transaction.execute(atomic(&["SELECT 1"]), Cancel::default())).await;
        assert_eq!(late.expect_err("no transaction").reason, "WRITER_FAILED");
        lives_on(&engine, 2).await;
    }
}

#[tokio::test]
async fn a_writer_that_panics_again_and_again_serves_those_between() {
    let engine = Engine::new().await;
    for value in 0..10 {
        engine.faults.add(Stage::Begin, panics);
        let error = engine.run(&["INSERT INTO t VALUES (-1)"]).await.expect_err("a panic");
        assert_eq!(error.reason, "WRITER_FAILED");
        lives_on(&engine, value).await;
    }
    assert_eq!(engine.integers().await, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_thread_that_has_ended_is_told_of_and_refuses_with_the_true_reason() {
    let engine = Engine::new().await;
    let mut failed = std::pin::pin!(engine.failed());
    assert!(futures_util::poll!(failed.as_mut()).is_pending());
    engine.faults.add(Stage::Thread, panics);
    let _ = engine.run(&["INSERT INTO t VALUES (1)"]).await; // the thread may have come there before
    let reason = soon(failed).await;
    assert!(reason.contains("the writer's thread has ended"), "{reason}");
    assert_eq!(engine.run(&["INSERT INTO t VALUES (2)"]).await.expect_err("no writer").reason, "WRITER_FAILED");
    assert_eq!(soon(engine.begin_write(Cancel::default())).await.expect_err("no writer").reason, "WRITER_FAILED");
}

#[tokio::test]
async fn a_database_that_is_closed_has_not_failed() {
    let engine = Engine::new().await;
    engine.close();
    assert!(futures_util::poll!(std::pin::pin!(engine.failed())).is_pending());
}
