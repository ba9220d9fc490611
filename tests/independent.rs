//! A client's ordinary requests share a stream, and yet none waits for another.

mod support;

use skylinedb::{TransactionKind, params};
use support::Daemon;

/// Takes a second or so.
const LONG_READ: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000000) SELECT max(hex(i)) FROM n";

#[tokio::test(flavor = "multi_thread")]
async fn a_short_read_overtakes_a_long_one_of_the_same_client() {
    let daemon = Daemon::start();
    let client = daemon.client().await;
    let long = tokio::spawn({
        let client = client.clone();
        async move { client.execute(LONG_READ, params![]).await }
    });
    let mut overtakers = 0;
    while !long.is_finished() {
        client.execute("SELECT 1", params![]).await.expect("a short read");
        client.query("SELECT 1", params![]).await.expect("a short query");
        overtakers += 1;
    }
    long.await.expect("a task").expect("the long read");
    assert!(overtakers > 10, "only {overtakers} short reads were answered while the long one ran");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_overtakes_a_write_that_waits_for_a_transaction_of_the_same_client() {
    let daemon = Daemon::builder().arg("--transaction-idle-timeout").arg("1h").start();
    daemon.execute("CREATE TABLE t(x)");
    let client = daemon.client().await;
    let mut session = client.session().await.expect("a session");
    let mut transaction = session.transaction(TransactionKind::Write).await.expect("a transaction");
    transaction.execute("INSERT INTO t VALUES (1)", params![]).await.expect("an insert");
    let write = tokio::spawn({
        let client = client.clone();
        async move { client.execute("INSERT INTO t VALUES (2)", params![]).await }
    });
    let count = "SELECT count(*) FROM t";
    let seen = client.execute(count, params![]).await.expect("a read").rows[0].get::<i64>(0).expect("a number");
    assert_eq!(seen, 0, "nothing of it is committed");
    transaction.commit().await.expect("a commit");
    write.await.expect("a task").expect("the write");
    let seen = client.execute(count, params![]).await.expect("a read").rows[0].get::<i64>(0).expect("a number");
    assert_eq!(seen, 2);
}

#[tokio::test]
async fn a_query_is_whole_whether_it_is_short_or_long() {
    use tokio_stream::StreamExt as _;
    let daemon = Daemon::start();
    let client = daemon.client().await;
    for count in [0, 1, 100, 100_000] {
        let sql =
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?1) SELECT i FROM n WHERE ?1 > 0";
        let mut rows = client.query(sql, params![count.max(1)]).await.expect("a query");
        assert_eq!(rows.columns().len(), 1);
        let mut seen = 0;
        while let Some(row) = rows.next().await {
            seen += 1;
            assert_eq!(row.expect("a row").get::<i64>(0).expect("a number"), seen);
        }
        assert_eq!(seen, count.max(1));
    }
}
