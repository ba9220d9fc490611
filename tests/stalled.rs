//! Clients that stop reading take nothing from the others, and a read transaction that has ended pins no write-ahead log.

mod support;

use std::{fs, time::Duration};

use skylinedb::{Client, Rows, Session, TransactionKind, params};
use support::Daemon;
use tokio_stream::StreamExt;

/// As many as the daemon has connections for reading, by default.
const STALLED: usize = 16;

/// How long another client's read may take. The daemon takes a connection back from a client that stalls within seconds.
const READ_PATIENCE: Duration = Duration::from_secs(10);

/// How long the daemon may take to learn that a client has dropped something.
const DROP_PATIENCE: Duration = Duration::from_secs(5);

/// Far more rows than fit between the daemon and a client.
const BIG: &str = "
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000000)
    SELECT i, printf('%.200c', 'x') FROM n";

/// A read that takes some milliseconds, so that it is not one for the runtime's thread.
const LONG: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 50000) SELECT max(i)";

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_stop_reading_a_query_do_not_take_the_readers() {
    let daemon = Daemon::start();
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let client = daemon.client().await;
        stalled.push((stalled_query(client.query(BIG, params![]).await.expect("a query")).await, client));
    }
    assert_reads_go_on(&daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_stop_reading_a_query_do_not_take_the_readers() {
    let daemon = Daemon::start();
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let client = daemon.client().await;
        let session = client.session().await.expect("a session");
        stalled.push((stalled_query(session.query(BIG, params![]).await.expect("a query")).await, session, client));
    }
    assert_reads_go_on(&daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_that_stops_reading_many_queries_does_not_take_the_readers() {
    let daemon = Daemon::start();
    let client = daemon.client().await;
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        stalled.push(stalled_query(client.query(BIG, params![]).await.expect("a query")).await);
    }
    assert_reads_go_on(&daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_transaction_that_has_ended_pins_no_log() {
    for end in [SnapshotEnd::Commit, SnapshotEnd::Rollback, SnapshotEnd::Drop, SnapshotEnd::SessionsEnd] {
        let daemon = Daemon::start();
        let client = daemon.client().await;
        make_rows(&client).await;
        let mut session = client.session().await.expect("a session");
        let mut transaction = session.transaction(TransactionKind::Read).await.expect("a transaction");
        transaction.execute("SELECT count(*) FROM t", params![]).await.expect("a read");
        write(&client).await;
        assert!(!checkpoint(&client).await, "{end:?}: an open snapshot pins the log, or this test shows nothing");

        let is_known_to_be_over = match end {
            SnapshotEnd::Commit => transaction.commit().await.map(drop).is_ok(),
            SnapshotEnd::Rollback => transaction.rollback().await.is_ok(),
            SnapshotEnd::Drop => {
                drop(transaction);
                session.execute("SELECT 1", params![]).await.is_ok() // it is run after the rollback
            }
            SnapshotEnd::SessionsEnd => {
                drop(transaction);
                drop(session);
                false
            }
        };

        if is_known_to_be_over {
            assert!(checkpoint(&client).await, "{end:?}: the log is pinned by a transaction that has ended");
        } else {
            assert!(matches!(end, SnapshotEnd::SessionsEnd), "{end:?} was refused");
            wait_until_emptied(&client).await;
        }
        assert_eq!(fs::metadata(daemon.folder().wal()).map_or(0, |wal| wal.len()), 0, "{end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_was_given_up_pins_no_log() {
    let daemon = Daemon::start();
    let client = daemon.client().await;
    make_rows(&client).await;
    let rows = client.query("SELECT a.x, b.x FROM t a, t b, t c", params![]).await.expect("a query");
    let rows = stalled_query(rows).await;
    write(&client).await;
    assert!(!checkpoint(&client).await, "a query that runs pins the log, or this test shows nothing");

    drop(rows);

    wait_until_emptied(&client).await;
    assert_eq!(fs::metadata(daemon.folder().wal()).map_or(0, |wal| wal.len()), 0);
}

/// How a read transaction ends.
#[derive(Clone, Copy, Debug)]
enum SnapshotEnd {
    Commit,
    Rollback,
    Drop,
    SessionsEnd,
}

/// A query of which one row was taken, and no other will be.
async fn stalled_query(mut rows: Rows<'static>) -> Rows<'static> {
    rows.next().await.expect("a first row").expect("no error");
    rows
}

/// Reads that the daemon has not seen before, short and long, in every way.
async fn assert_reads_go_on(daemon: &Daemon) {
    let client = daemon.client().await;
    let session = client.session().await.expect("a session");
    for number in 0..10 {
        let short = format!("SELECT {number}, 'a text that is new'");
        let long = format!("{LONG} + {number} FROM n");
        for sql in [short, long] {
            within(&sql, client.execute(&sql, params![])).await;
            within(&sql, on_session(&session, &sql)).await;
            within(&sql, async {
                let mut rows = client.query(&sql, params![]).await?;
                while let Some(row) = rows.next().await {
                    row?;
                }
                Ok(())
            })
            .await;
        }
    }
}

async fn on_session(session: &Session, sql: &str) -> Result<(), skylinedb::Error> {
    session.execute(sql, params![]).await.map(drop)
}

async fn within<T>(what: &str, work: impl Future<Output = Result<T, skylinedb::Error>>) {
    let outcome = tokio::time::timeout(READ_PATIENCE, work).await;
    let outcome = outcome.unwrap_or_else(|_| panic!("{what}: not answered within {READ_PATIENCE:?}"));
    outcome.unwrap_or_else(|error| panic!("{what}: {error}"));
}

async fn make_rows(client: &Client) {
    client.execute("CREATE TABLE t(x)", params![]).await.expect("a table");
    write(client).await;
}

async fn write(client: &Client) {
    const ROWS: &str = "
        INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000) SELECT hex(zeroblob(500)) FROM n";
    client.execute(ROWS, params![]).await.expect("rows");
}

/// Copies the log into the database and empties it. Whether that could be done.
async fn checkpoint(client: &Client) -> bool {
    let answer = client.execute("PRAGMA wal_checkpoint(TRUNCATE)", params![]).await.expect("a checkpoint");
    answer.rows[0].get::<i64>("busy").expect("a number") == 0
}

async fn wait_until_emptied(client: &Client) {
    let emptied = tokio::time::timeout(DROP_PATIENCE, async { while !checkpoint(client).await {} });
    emptied.await.unwrap_or_else(|_| panic!("the log is pinned {DROP_PATIENCE:?} after the snapshot's end"));
}
