//! How large an answer may be, and that one that is too large is no other's loss.

use super::*;

/// Within the budget of the engine's answers (1 MiB), and not twice.
const LARGE: &str = "SELECT zeroblob(600000)";
const TOO_LARGE: &str = "SELECT zeroblob(600000), zeroblob(600000)";

fn each_reason(result: &BatchResult) -> Vec<&str> {
    reasons(&result.results)
}

#[tokio::test]
async fn a_read_that_is_too_large_leaves_the_later_ones_their_room() {
    let engine = Engine::new().await;
    let batch = each(&[TOO_LARGE, LARGE, LARGE, "SELECT 1"]);
    let result = engine.read_only(batch).await.expect("a batch of mode EACH");
    assert_eq!(each_reason(&result), ["ANSWER_TOO_LARGE", "ok", "ANSWER_TOO_LARGE", "ok"]);
}

#[tokio::test]
async fn a_write_that_is_too_large_leaves_the_later_ones_their_room() {
    let engine = Engine::new().await;
    let returning = |size| format!("INSERT INTO t VALUES (NULL) RETURNING zeroblob({size})");
    let statements = [returning(2_000_000), returning(600_000), returning(600_000), returning(1)];
    let batch = each(&statements.each_ref().map(String::as_str));
    let result = engine.run_batch(batch).await.expect("a batch of mode EACH");
    assert_eq!(each_reason(&result), ["ANSWER_TOO_LARGE", "ok", "ANSWER_TOO_LARGE", "ok"]);
    assert_eq!(integer(&engine.column("SELECT count(*) FROM t").await[0]), 2, "what has failed is undone");
}

#[tokio::test]
async fn a_row_is_no_larger_than_one_that_could_be_stored() {
    let engine = Engine::with(|config, _| (config.max_value_bytes, config.max_answer_bytes) = (1 << 20, 1 << 30)).await;
    let most = "SELECT zeroblob(500000), NULL, zeroblob(548576), 1";
    let more = "SELECT zeroblob(500000), NULL, zeroblob(548577), 1";
    engine.read_only(atomic(&[most])).await.expect("1 MiB");
    let error = engine.read_only(atomic(&[more])).await.expect_err("a byte more");
    assert_eq!(error.reason, "ROW_TOO_LARGE");
    assert!(error.message.contains("--max-value-bytes"), "{error}");

    let rows = Rows::default();
    let outcome = engine.query(statement(more), Cancel::default(), Box::new(Rows(Arc::clone(&rows.0)))).await;
    assert_eq!(outcome.expect_err("a byte more").reason, "ROW_TOO_LARGE");
    assert_eq!(rows.0.lock().expect("the rows")[0].len(), 2, "what is too large has not been looked at");
}
