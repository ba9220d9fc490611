//! A daemon that nobody uses ends by itself; and nothing is lost if somebody comes in that instant.

mod support;

use skylinedb::{Batch, Client, Error, Statement, TransactionKind, params, start::StartOptions};
use support::{Daemon, Folder, StopOnDrop, endpoint_exists, program};

/// Long enough that a test can do something before, short enough to wait for.
const SHORT: &str = "300ms";

#[test]
fn one_that_nobody_uses_ends_and_says_why() {
    let mut daemon = Daemon::builder().arg("--idle-timeout").arg(SHORT).start();
    assert!(daemon.wait().success());
    assert!(daemon.log().contains("nobody has used the daemon for 300ms (--idle-timeout)"), "{}", daemon.log());
    assert!(!endpoint_exists(&daemon.folder().endpoint()));
}

#[test]
fn pings_and_health_checks_are_no_use() {
    let mut daemon = Daemon::builder().arg("--idle-timeout").arg(SHORT).start();
    let mut pings = 0;
    while daemon.is_running() {
        daemon.cli(["ping"]);
        pings += 1;
    }
    assert!(pings > 1, "it was asked {pings} times");
    assert!(daemon.wait().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_a_use_from_its_first_request_until_it_closes() {
    let mut daemon = Daemon::builder().arg("--idle-timeout").arg(SHORT).start();
    let client = daemon.client().await.without_stream();
    client.execute("CREATE TABLE t(x)", params![]).await.expect("a table");
    tokio::time::sleep(std::time::Duration::from_secs(1)).await; // three times as long as it would wait
    client.execute("INSERT INTO t VALUES (1)", params![]).await.expect("it is still there");
    drop(client);
    assert!(daemon.wait().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_with_nothing_but_pings_is_no_use() {
    let mut daemon = Daemon::builder().arg("--idle-timeout").arg(SHORT).start();
    let client = daemon.client().await.without_stream();
    client.ping().await.expect("a pong");
    assert!(daemon.wait().success());
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_session_and_work_in_hand_are_a_use() {
    let mut daemon = Daemon::builder().arg("--idle-timeout").arg(SHORT).start();
    let client = daemon.client().await;
    let session = client.session().await.expect("a session");
    tokio::time::sleep(std::time::Duration::from_secs(1)).await; // three times as long as it would wait
    session.execute("CREATE TABLE t(x)", params![]).await.expect("it is still there");
    drop(session);
    let long = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000000) SELECT count(*) FROM n";
    let unary = client.clone().without_stream();
    unary.execute(long, params![]).await.expect("work in hand is not cut");
    drop((client, unary));
    assert!(daemon.wait().success());
}

#[test]
fn with_0_it_never_ends_by_itself() {
    let mut never = Daemon::builder().arg("--idle-timeout").arg("0").start();
    let mut ends = Daemon::builder().arg("--idle-timeout").arg("1ms").start();
    assert!(ends.wait().success());
    assert!(never.is_running());
    never.stop();
}

/// Writes again and again, to a daemon that ends all the time: each pause is about as long as the daemon waits. Each write is
/// kept exactly once, or its client is told that it was not; no client waits for ever.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_in_the_instant_of_the_exit_is_served_or_told_to_come_again() {
    const WRITES: i64 = 50;
    // On a busy machine, and under Wine, a client that has started a daemon may take a while to come to it.
    const IDLE_MS: u64 = if cfg!(windows) { 500 } else { 100 };
    let folder = Folder::new();
    let _stop = StopOnDrop(folder.endpoint());
    let options = || {
        let options = StartOptions::new().program(program("skylinedb-daemon"));
        let options = options.database(folder.database()).endpoint(folder.endpoint());
        options.argument("--idle-timeout").argument(format!("{IDLE_MS}ms"))
    };
    for number in 0..WRITES {
        write_once(&options(), 2 * number).await;
        // From some milliseconds before the daemon's end to some after it.
        let pause = IDLE_MS - 10 + number.unsigned_abs() % 20;
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
        let options = options();
        let other = tokio::spawn(async move { write_once(&options, 2 * number + 1).await });
        other.await.expect("another writer");
    }
    let client = Client::connect_or_start(options()).await.expect("a client");
    let session = client.session().await.expect("a session");
    let kept = session.execute("SELECT count(*), count(DISTINCT x) FROM t", params![]).await.expect("a count");
    let kept = (kept.rows[0].get::<i64>(0).expect("a number"), kept.rows[0].get::<i64>(1).expect("a number"));
    assert_eq!(kept, (2 * WRITES, 2 * WRITES));
}

/// Keeps on until a row is written. A write whose fate is not known is asked for again by its request id.
async fn write_once(options: &StartOptions, number: i64) {
    loop {
        let Ok(client) = Client::connect_or_start(options.clone()).await else { continue };
        let batch = Batch::new()
            .push(Statement::new("CREATE TABLE IF NOT EXISTS t(x)", params![]))
            .push(Statement::new("INSERT INTO t VALUES (?)", params![number]))
            .request_id(format!("row {number}"));
        match client.execute_batch(batch).await {
            Ok(_) => return,
            Err(Error::Database(error)) => assert_eq!(error.reason, "SHUTTING_DOWN", "{error}"),
            Err(Error::NotRunning { .. } | Error::ConnectionLost { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_is_a_use_and_is_not_cut() {
    let mut daemon =
        Daemon::builder().arg("--idle-timeout").arg("1ms").arg("--transaction-idle-timeout").arg("1h").spawn();
    // It may end before anybody has come: then the next one is tried.
    let (client, mut session) = loop {
        let Ok(client) = Client::connect(daemon.folder().endpoint()).await else {
            if !daemon.is_running() {
                let folder = daemon.folder().clone();
                let again = Daemon::builder_in(&folder).arg("--idle-timeout").arg("1ms");
                daemon = again.arg("--transaction-idle-timeout").arg("1h").spawn();
            }
            continue;
        };
        let Ok(session) = client.session().await else { continue };
        // The client has the session before the daemon counts it.
        if session.execute("CREATE TABLE t(x)", params![]).await.is_ok() {
            break (client, session);
        }
    };
    let mut transaction = session.transaction(TransactionKind::Write).await.expect("a transaction");
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    transaction.execute("INSERT INTO t VALUES (1)", params![]).await.expect("a row");
    transaction.commit().await.expect("a commit");
    drop((session, client));
    assert!(daemon.wait().success());
}
