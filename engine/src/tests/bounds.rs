//! Trap 6: nobody's answer waits for a huge batch, nor for a great many.

use super::*;

#[tokio::test]
async fn the_batches_that_wait_are_one_commit() {
    let engine = Engine::new().await;
    let before = engine.commits();
    let batches: Vec<String> = (0..100).map(|i| format!("INSERT INTO t VALUES ({i})")).collect();
    let answers = engine.together(batches.iter().map(|sql| atomic(&[sql]))).await;
    assert_eq!(revisions(&answers), (2..102).collect::<Vec<_>>());
    assert_eq!(engine.commits() - before, 1);
}

#[tokio::test]
async fn a_group_has_no_more_batches_than_its_bound() {
    let engine = Engine::with(|_, bounds| bounds.batches = 3).await;
    let before = engine.commits();
    let answers = engine.together((0..7).map(|_| atomic(&["INSERT INTO t VALUES (NULL)"]))).await;
    assert_eq!(revisions(&answers), [2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(engine.commits() - before, 3);
}

#[tokio::test]
async fn a_group_takes_no_more_once_it_has_its_bytes() {
    let engine = Engine::with(|_, bounds| bounds.size_bytes = 1_000).await;
    let before = engine.commits();
    let sized = |size_bytes| Batch { size_bytes, ..atomic(&["INSERT INTO t VALUES (NULL)"]) };
    // A huge one that comes first, two that fill a group, and the rest.
    let answers = engine.together([sized(5_000), sized(400), sized(600), sized(999)]).await;
    assert_eq!(revisions(&answers), [2, 3, 4, 5]);
    assert_eq!(engine.commits() - before, 3);
}

#[tokio::test]
async fn a_group_takes_no_more_once_its_time_is_up() {
    let engine = Engine::with(|_, bounds| bounds.intake_time = Duration::ZERO).await;
    let before = engine.commits();
    engine.together((0..3).map(|_| atomic(&["INSERT INTO t VALUES (NULL)"]))).await;
    assert_eq!(engine.commits() - before, 3);
}

/// Runs an endless batch among short ones: the one before it must be answered while it runs, those behind it once its
/// client has given up.
async fn assert_others_do_not_wait(endless: Batch) {
    let engine = Engine::with(|_, bounds| bounds.beside_others_time = Duration::from_millis(20)).await;
    let hold = engine.hold().await;
    let before = engine.send(atomic(&["INSERT INTO t VALUES (1)"]));
    let cancel = Cancel::default();
    let client = cancel.on_drop();
    let endless = engine.submit(endless, cancel);
    let after = engine.send(atomic(&["INSERT INTO t VALUES (3)"]));
    hold.roll_back(Cancel::default()).await.expect("the writer let go");

    fresh(before).await.expect("an answer while the endless batch runs");
    assert_eq!(engine.integers().await, [1]);
    drop(client);
    assert_eq!(fresh(endless).await.expect_err("given up").reason, "CANCELLED");
    assert_eq!(fresh(after).await.expect("an answer").revision, 3);
    assert_eq!(engine.integers().await, [1, 3]);
}

#[tokio::test]
async fn a_long_write_does_not_hold_up_those_beside_it() {
    assert_others_do_not_wait(atomic(&["INSERT INTO t VALUES (2)", ENDLESS_WRITE])).await;
    assert_others_do_not_wait(each(&["INSERT INTO t VALUES (2)", ENDLESS_WRITE])).await;
}

#[tokio::test]
async fn a_long_read_within_a_batch_does_not_hold_up_those_beside_it() {
    assert_others_do_not_wait(atomic(&["INSERT INTO t VALUES (2)", ENDLESS_READ])).await;
    assert_others_do_not_wait(each(&["INSERT INTO t VALUES (2)", ENDLESS_READ])).await;
}

#[tokio::test]
async fn a_batch_of_many_short_statements_is_noticed_between_them() {
    // Too short for SQLite to ask during any of them; with no time at all, the first look is one too many.
    let engine = Engine::with(|_, bounds| bounds.beside_others_time = Duration::ZERO).await;
    let before = engine.commits();
    let answers = engine.together((0..3).map(|_| atomic(&["INSERT INTO t VALUES (NULL)"]))).await;
    assert_eq!(revisions(&answers), [2, 3, 4]);
    assert_eq!(engine.commits() - before, 3);
}

#[tokio::test]
async fn an_answer_too_large_fails_its_batch_only() {
    let engine = Engine::new().await;
    let large = "INSERT INTO t VALUES (zeroblob(2000000)) RETURNING a";
    let answers = engine
        .together([atomic(&["INSERT INTO t VALUES (1)"]), atomic(&[large]), atomic(&["INSERT INTO t VALUES (2)"])])
        .await;
    assert_eq!(reasons(&answers), ["ok", "ANSWER_TOO_LARGE", "ok"]);
    assert_eq!(engine.integers().await, [1, 2]);
}

#[tokio::test]
async fn a_full_queue_refuses_with_a_hint_when_to_come_again() {
    let engine = Engine::with(|config, _| config.queue_jobs = 2).await;
    let hold = engine.hold().await;
    let waiting = [engine.send(atomic(&["SELECT 1"])), engine.send(atomic(&["SELECT 1"]))];
    let refused = engine.submit(atomic(&["SELECT 1"]), Cancel::default()).await.expect_err("a full queue");
    assert_eq!(refused.reason, "QUEUE_FULL");
    assert!(refused.retry_after.is_some());
    hold.roll_back(Cancel::default()).await.expect("the writer let go");
    for answer in waiting {
        fresh(answer).await.expect("an answer");
    }
}
