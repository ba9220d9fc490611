//! Whoever waits for the writer is answered in time, with the true reason, whatever the writer does; and what was given up
//! is not kept.

use std::{
    sync::mpsc::{Sender, channel},
    time::Instant,
};

use super::*;
use crate::Interruption;

/// How late an answer may be on a busy machine. What is promised is a tenth of a second.
const LATE: Duration = Duration::from_secs(5);

/// Has the writer block when it comes there, until the sender is dropped or used.
fn block(engine: &Engine, stage: Stage) -> Sender<()> {
    let (sender, receiver) = channel();
    engine.faults.add(stage, move || {
        let _ = receiver.recv();
        Ok(())
    });
    sender
}

fn in_a_moment() -> Cancel {
    Cancel::of(Some("process 1 (late), uid 1".into()), Some(Instant::now() + Duration::from_millis(50)))
}

/// The error of something that must be over soon after its deadline.
async fn late<T: std::fmt::Debug>(future: impl Future<Output = Result<T, Error>>) -> Error {
    tokio::time::timeout(LATE, future).await.expect("an answer in time").expect_err("its deadline has passed")
}

#[tokio::test]
async fn what_waits_behind_a_held_writer_hears_of_its_deadline_and_of_who_holds_the_writer() {
    let engine = Engine::new().await;
    let holder = Cancel::of(Some("process 4711 (python3), uid 1000".into()), None);
    let hold = engine.begin_write(holder).await.expect("the writer");
    let batch = late(engine.submit(atomic(&["INSERT INTO t VALUES (1)"]), in_a_moment())).await;
    let begin = late(engine.begin_write(in_a_moment())).await;
    for error in [batch, begin] {
        assert_eq!(error.reason, "DEADLINE_EXCEEDED");
        let (before, after) = error.message.split_once("the writer has been held for ").expect("who it is");
        assert!(before.contains("deadline"), "{error}");
        assert!(after.ends_with(" s by a transaction of process 4711 (python3), uid 1000"), "{error}");
    }
    hold.roll_back(Cancel::default()).await.expect("the writer let go");
    engine.run(&["INSERT INTO t VALUES (2)"]).await.expect("a row");
    assert_eq!(engine.integers().await, [2]);
}

#[tokio::test]
async fn what_is_cancelled_while_it_waits_is_answered_at_once() {
    let engine = Engine::new().await;
    let hold = engine.hold().await;
    let cancel = Cancel::default();
    let client = cancel.on_drop();
    let pending = engine.submit(atomic(&["INSERT INTO t VALUES (1)"]), cancel);
    let (error, ()) = tokio::join!(late(pending), async { drop(client) });
    assert_eq!(error.reason, "CANCELLED");
    hold.roll_back(Cancel::default()).await.expect("the writer let go");
}

#[tokio::test]
async fn a_place_in_a_full_queue_is_waited_for_up_to_the_deadline_only() {
    let engine = Engine::with(|config, _| config.queue_jobs = 1).await;
    let hold = engine.hold().await;
    let first = engine.send(atomic(&["INSERT INTO t VALUES (1)"]));
    let second = engine.submit(atomic(&["INSERT INTO t VALUES (2)"]), in_a_moment());
    let third = engine.send(atomic(&["INSERT INTO t VALUES (3)"]));
    assert_eq!(late(second).await.reason, "DEADLINE_EXCEEDED");
    hold.roll_back(Cancel::default()).await.expect("the writer let go");
    fresh(first).await.expect("a row");
    fresh(third).await.expect("a place behind the one that has given up");
    assert_eq!(engine.integers().await, [1, 3]);
}

#[tokio::test]
async fn requests_that_wait_for_a_place_keep_their_order() {
    let engine = Engine::with(|config, _| config.queue_jobs = 2).await;
    let hold = engine.hold().await;
    let pending: Vec<_> = (0..50).map(|i| engine.send(atomic(&[&format!("INSERT INTO t VALUES ({i})")]))).collect();
    hold.roll_back(Cancel::default()).await.expect("the writer let go");
    let mut revisions = Vec::new();
    for answer in pending {
        revisions.push(fresh(answer).await.expect("a row").revision);
    }
    assert_eq!(revisions, (2..52).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_batch_in_which_sqlite_is_stuck_is_answered_in_time_and_not_kept() {
    let engine = Engine::new().await;
    let hold = engine.hold().await;
    let stuck = engine.submit(atomic(&["INSERT INTO t VALUES (1)"]), in_a_moment());
    let beside = engine.send(atomic(&["INSERT INTO t VALUES (2)"]));
    // It is run, and its deadline passes before the group is committed.
    let gate = block(&engine, Stage::Batch);
    let second = block(&engine, Stage::Batch);
    drop(gate);
    hold.roll_back(Cancel::default()).await.expect("the writer let go");
    assert_eq!(late(stuck).await.reason, "DEADLINE_EXCEEDED");
    drop(second);
    assert_eq!(fresh(beside).await.expect("a row").revision, 2);
    assert_eq!(engine.integers().await, [2]);
}

#[tokio::test]
async fn a_commit_that_takes_long_is_not_said_to_be_undone() {
    let engine = Engine::new().await;
    let hold = engine.hold().await;
    let gate = block(&engine, Stage::Commit);
    let pending = engine.submit(atomic(&["INSERT INTO t VALUES (1)"]), Cancel::at(Some(Instant::now() + LATE / 10)));
    hold.roll_back(Cancel::default()).await.expect("the writer let go");
    assert_eq!(late(pending).await.reason, "COMMIT_UNKNOWN");
    drop(gate);
    engine.run(&["INSERT INTO t VALUES (2)"]).await.expect("a row");
    assert_eq!(engine.integers().await, [1, 2]);
}

#[tokio::test]
async fn an_operation_in_which_sqlite_is_stuck_is_answered_in_time_and_the_next_ones_wait_for_it() {
    let engine = Engine::new().await;
    let transaction = engine.hold().await;
    let gate = block(&engine, Stage::Batch);
    let stuck = transaction.execute(atomic(&["INSERT INTO t VALUES (1)"]), in_a_moment());
    assert_eq!(late(stuck).await.reason, "DEADLINE_EXCEEDED");
    let rows = transaction.query(statement("SELECT 1"), in_a_moment(), Box::new(Rows::default()));
    assert_eq!(late(rows).await.reason, "DEADLINE_EXCEEDED");
    let next = transaction.execute(atomic(&["INSERT INTO t VALUES (2)"]), Cancel::default());
    let commit = transaction.commit(Cancel::default());
    let open = async { drop(gate) };
    let (next, commit, ()) = soon(async { tokio::join!(next, commit, open) }).await;
    next.expect("a row");
    commit.expect("a commit");
    assert_eq!(engine.integers().await, [2], "the one that was given up is undone");
}

#[tokio::test]
async fn a_sessions_commit_that_is_given_up_while_it_waits_rolls_back() {
    let engine = Engine::new().await;
    let transaction = engine.hold().await;
    transaction.execute(atomic(&["INSERT INTO t VALUES (1)"]), Cancel::default()).await.expect("a row");
    let gate = block(&engine, Stage::Batch);
    let stuck = transaction.execute(atomic(&["SELECT 1"]), in_a_moment());
    assert_eq!(late(stuck).await.reason, "DEADLINE_EXCEEDED");
    assert_eq!(late(transaction.commit(in_a_moment())).await.reason, "DEADLINE_EXCEEDED");
    drop(gate);
    engine.run(&["INSERT INTO t VALUES (2)"]).await.expect("the others' turn");
    assert_eq!(engine.integers().await, [2]);
}

#[tokio::test]
async fn a_long_batch_is_ended_when_others_wait_and_not_before() {
    let engine = Engine::with(|config, _| config.batch_timeout = Duration::from_millis(100)).await;
    let endless = engine.send(atomic(&["INSERT INTO t VALUES (1)", ENDLESS_WRITE]));
    tokio::pin!(endless);
    // No other write waits: it goes on after its time.
    tokio::time::timeout(Duration::from_millis(500), &mut endless).await.expect_err("no end");
    let other = engine.send(atomic(&["INSERT INTO t VALUES (2)"]));
    assert_eq!(soon(endless).await.expect_err("ended").reason, "BATCH_TIMEOUT");
    fresh(other).await.expect("its turn");
    assert_eq!(engine.integers().await, [2]);
}

#[tokio::test]
async fn those_who_have_given_up_do_not_end_a_long_batch() {
    let engine = Engine::with(|config, _| config.batch_timeout = Duration::from_millis(300)).await;
    let cancel = Cancel::default();
    let client = cancel.on_drop();
    let endless = engine.submit(atomic(&[ENDLESS_READ]), cancel);
    let given_up = late(engine.submit(atomic(&["SELECT 1"]), in_a_moment())).await;
    assert_eq!(given_up.reason, "DEADLINE_EXCEEDED");
    tokio::pin!(endless);
    tokio::time::timeout(Duration::from_millis(600), &mut endless).await.expect_err("no end");
    client.give_up(Interruption::ClientGone);
    assert_eq!(soon(endless).await.expect_err("given up").reason, "CANCELLED");
}
