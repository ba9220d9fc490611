//! Trap 7: what is sent first is run first, and what nobody waits for any more is not run.

use std::{pin::pin, time::Instant};

use super::*;

#[tokio::test]
async fn batches_run_in_the_order_in_which_they_were_sent_even_around_one_that_runs_alone() {
    let engine = Engine::with(|_, bounds| bounds.batches = 4).await;
    engine.run(&["CREATE TABLE log (place INTEGER PRIMARY KEY, sent)"]).await.expect("a table");
    let mut batches = Vec::new();
    for sent in 0..20 {
        batches.push(atomic(&[&format!("INSERT INTO log (sent) VALUES ({sent})")]));
        match sent {
            5 => batches.push(atomic(&["VACUUM"])),
            9 => batches.push(atomic(&["PRAGMA wal_checkpoint"])),
            13 => batches.push(atomic(&["INSERT OR ROLLBACK INTO log VALUES (1, 1)"])),
            _ => {}
        }
    }
    let answers = engine.together(batches).await;
    let committed = revisions(&answers);
    assert!(committed.is_sorted(), "{committed:?}");
    let sent: Vec<i64> = engine.column("SELECT sent FROM log ORDER BY place").await.iter().map(integer).collect();
    assert_eq!(sent, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_transaction_takes_its_turn_between_the_batches_around_it() {
    let engine = Engine::new().await;
    let hold = engine.hold().await;
    let before = engine.send(atomic(&["INSERT INTO t VALUES (1)"]));
    let mut opening = pin!(engine.begin_write(Cancel::default()));
    in_the_queue(opening.as_mut()).await;
    let mut after = engine.send(atomic(&["INSERT INTO t SELECT max(a) + 1 FROM t"]));
    hold.roll_back(Cancel::default()).await.expect("the writer let go");

    let transaction = soon(opening).await.expect("a transaction");
    let before = fresh(before).await.expect("an answer before the transaction opens");
    assert_eq!(transaction.revision(), before.revision);
    assert!(futures_util::poll!(&mut after).is_pending(), "no answer while the transaction is open");
    transaction.execute(atomic(&["INSERT INTO t VALUES (10)"]), Cancel::default()).await.expect("a row");
    let revision = transaction.commit(Cancel::default()).await.expect("a commit");
    assert_eq!(fresh(after).await.expect("an answer").revision, revision + 1);
    assert_eq!(engine.integers().await, [1, 10, 11]);
}

#[tokio::test]
async fn a_batch_whose_client_has_gone_before_it_began_is_dropped() {
    let engine = Engine::new().await;
    let hold = engine.hold().await;
    let first = engine.send(atomic(&["INSERT INTO t VALUES (1)"]));
    let cancel = Cancel::default();
    let client = cancel.on_drop();
    let gone = engine.submit(atomic(&["INSERT INTO t VALUES (2)"]), cancel);
    let late = Cancel::at(Some(Instant::now()));
    let late = engine.submit(atomic(&["INSERT INTO t VALUES (3)"]), late);
    let last = engine.send(atomic(&["INSERT INTO t VALUES (4)"]));
    drop(client);
    hold.roll_back(Cancel::default()).await.expect("the writer let go");

    let answers = [fresh(first).await, fresh(gone).await, fresh(late).await, fresh(last).await];
    assert_eq!(reasons(&answers), ["ok", "CANCELLED", "DEADLINE_EXCEEDED", "ok"]);
    assert_eq!(revisions(&answers), [2, 3]);
    assert_eq!(engine.integers().await, [1, 4]);
}

#[tokio::test]
async fn a_transaction_whose_client_has_gone_before_it_began_holds_nobody_up() {
    let engine = Engine::new().await;
    let hold = engine.hold().await;
    {
        let mut opening = pin!(engine.begin_write(Cancel::default()));
        in_the_queue(opening.as_mut()).await;
    }
    let answer = engine.send(atomic(&["INSERT INTO t VALUES (1)"]));
    hold.roll_back(Cancel::default()).await.expect("the writer let go");
    fresh(answer).await.expect("an answer");
}

#[tokio::test]
async fn nobody_waits_in_vain_when_the_writer_closes() {
    let engine = Engine::new().await;
    let hold = engine.hold().await;
    let answer = engine.send(atomic(&["INSERT INTO t VALUES (1)"]));
    drop(hold);
    engine.close();
    fresh(answer).await.expect("an answer to what was in the queue");
    let late = engine.submit(atomic(&["INSERT INTO t VALUES (2)"]), Cancel::default()).await;
    assert_eq!(late.expect_err("too late").reason, "SHUTTING_DOWN");
}

/// Lets a request get into the queue, where it waits because the writer is held.
async fn in_the_queue<T>(request: std::pin::Pin<&mut impl Future<Output = T>>) {
    tokio::select! {
        biased;
        _ = request => panic!("the writer is not held"),
        () = std::future::ready(()) => {}
    }
}
