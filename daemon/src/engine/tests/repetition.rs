//! A batch with a request id is run once, however often it is sent.

use super::*;

fn request(id: &str, statements: &[&str]) -> Batch {
    let encode = |result: &BatchResult| result.revision.to_le_bytes().to_vec();
    Batch { request: Some(RequestId { id: id.into(), encode }), ..atomic(statements) }
}

async fn answer(pending: PendingAnswer) -> Result<Answer, Error> {
    soon(pending).await.expect("an answer")
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer_and_writes_nothing() {
    let engine = Engine::new().await;
    let insert = "INSERT INTO t VALUES (NULL)";
    let first = engine.run_batch(request("one", &[insert])).await.expect("a row");
    engine.run(&[insert]).await.expect("another's row");
    let again = answer(engine.send(request("one", &[insert])).await).await;
    assert_eq!(again, Ok(Answer::Replayed(first.revision.to_le_bytes().to_vec())));
    assert_eq!(engine.revision(), 3);
    assert_eq!(engine.column("SELECT count(*) FROM t").await, [Value::Integer(2)]);
}

#[tokio::test]
async fn a_request_repeated_within_its_own_group_is_run_once() {
    let engine = Engine::new().await;
    let hold = engine.hold().await;
    let insert = request("one", &["INSERT INTO t VALUES (1)"]);
    let again = request("one", &["INSERT INTO t VALUES (1)"]);
    let pending = [engine.send(insert).await, engine.send(again).await, engine.send(atomic(&["DELETE FROM t"])).await];
    hold.roll_back().await.expect("the writer let go");
    let [first, second, third] = pending;
    let revision = fresh(first).await.expect("a row").revision;
    assert_eq!(answer(second).await, Ok(Answer::Replayed(revision.to_le_bytes().to_vec())));
    assert_eq!(fresh(third).await.expect("an answer").revision, revision + 1);
}

#[tokio::test]
async fn a_stored_answer_tells_the_revision_that_the_batch_became_even_if_its_group_was_run_again() {
    let engine = Engine::new().await;
    let answers = engine
        .together([
            atomic(&["INSERT INTO t VALUES (1)"]),
            // In the first run, this one takes the revision that the request gets in the second.
            each(&["INSERT INTO t VALUES (2)", "INSERT OR ROLLBACK INTO t VALUES (1)"]),
            request("one", &["INSERT INTO t VALUES (3)"]),
            atomic(&["INSERT OR ROLLBACK INTO t VALUES (1)"]),
        ])
        .await;
    assert_eq!(reasons(&answers), ["ok", "ok", "ok", "SQLITE_CONSTRAINT_UNIQUE"]);
    let revision = answers[2].as_ref().expect("a row").revision;
    let again = answer(engine.send(request("one", &["INSERT INTO t VALUES (3)"])).await).await;
    assert_eq!(again, Ok(Answer::Replayed(revision.to_le_bytes().to_vec())));
    assert_eq!((revision, engine.revision()), (4, 4));
}

#[tokio::test]
async fn a_failed_request_may_be_sent_again_and_is_run_again() {
    let engine = Engine::new().await;
    engine.run(&["INSERT INTO t VALUES (1)"]).await.expect("a row");
    let sql = "INSERT INTO t VALUES (1)";
    engine.run_batch(request("one", &[sql])).await.expect_err("a key that is taken");
    engine.run(&["DELETE FROM t"]).await.expect("no rows");
    engine.run_batch(request("one", &[sql])).await.expect("a row");
}

#[tokio::test]
async fn a_request_id_used_for_other_statements_is_an_error() {
    let engine = Engine::new().await;
    engine.run_batch(request("one", &["INSERT INTO t VALUES (1)"])).await.expect("a row");
    for other in [
        request("one", &["INSERT INTO t VALUES (2)"]),
        request("one", &["INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1)"]),
        Batch { mode: Mode::Each, ..request("one", &["INSERT INTO t VALUES (1)"]) },
    ] {
        assert_eq!(engine.run_batch(other).await.expect_err("refused").reason, "REQUEST_ID_REUSED");
    }
}
