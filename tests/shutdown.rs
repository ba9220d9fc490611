//! How a daemon ends: no new work, what is in hand is finished, and nothing is left lying about.

mod support;

use std::fs;

use skylinedb::{Error, TransactionKind, params};
use support::{Daemon, SIGNALS, Signal, endpoint_exists, is_free, wait_until};
use tokio_stream::StreamExt;

/// Takes a second or so, and writes.
const LONG_WRITE: &str = "
    INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) SELECT i FROM n";
const LONG_READ: &str = "
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) SELECT i, hex(randomblob(20)) FROM n";
const ENDLESS_READ: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";

/// A drain that nobody can wait for: the test fails if the daemon needs it.
const ENDLESS_DRAIN: &str = "1h";

#[test]
fn shutdown_and_signals_end_it_cleanly() {
    for (name, signal) in with_shutdown() {
        let mut daemon = Daemon::start();
        daemon.execute("CREATE TABLE t(x)");
        daemon.execute("INSERT INTO t VALUES (1)");

        match signal {
            Some(signal) => daemon.signal(signal),
            None => drop(daemon.cli(["shutdown"]).success()),
        }

        let status = daemon.wait();
        assert_eq!(status.code(), Some(0), "{name}: {status}\n{}", daemon.log());
        assert_clean(&daemon);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_in_hand_is_finished_and_answered() {
    let mut daemon = Daemon::builder().arg("--drain-timeout").arg("60s").start();
    daemon.execute("CREATE TABLE t(x)");
    let client = daemon.client().await;
    let write = tokio::spawn(async move { client.execute(LONG_WRITE, params![]).await });
    wait_for_a_writer(&daemon);

    daemon.terminate();

    write.await.expect("the task").expect("the write in hand");
    assert!(daemon.wait().success());
    let rows: i64 =
        daemon.folder().open_file().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).expect("count");
    assert_eq!(rows, 1_000_000);
    assert_clean(&daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_in_hand_gets_all_its_rows() {
    let mut daemon = Daemon::builder().arg("--drain-timeout").arg("60s").start();
    let client = daemon.client().await;
    let mut rows = client.query(LONG_READ, params![]).await.expect("a query");
    rows.next().await.expect("a first row").expect("no error");

    daemon.terminate();

    let mut count = 1;
    while let Some(row) = rows.next().await {
        row.expect("a row");
        count += 1;
    }
    assert_eq!(count, 1_000_000);
    drop((rows, client));
    assert!(daemon.wait().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn new_work_is_refused_with_a_reason() {
    let mut daemon = Daemon::builder().arg("--drain-timeout").arg("60s").start();
    let client = daemon.client().await;
    let rows = client.query(LONG_READ, params![]).await.expect("a query that keeps the daemon busy");

    daemon.terminate();

    loop {
        let Err(error) = client.execute("SELECT 1", params![]).await else { continue };
        // Until the daemon has closed the connection it says why; after that nobody is there.
        match error {
            Error::Database(error) => assert_eq!(error.reason, "SHUTTING_DOWN", "{error}"),
            other => assert!(matches!(other, Error::NotRunning { .. }), "{other}"),
        }
        break;
    }
    drop((rows, client));
    assert!(daemon.wait().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_session_and_an_idle_connection_hold_nothing_up() {
    let mut daemon = Daemon::builder().arg("--drain-timeout").arg(ENDLESS_DRAIN).start();
    let idle = daemon.client().await;
    let client = daemon.client().await;
    let session = client.session().await.expect("a session");
    session.execute("SELECT 1", params![]).await.expect("a request");

    daemon.terminate();

    assert!(daemon.wait().success());
    assert_clean(&daemon);
    assert!(session.execute("SELECT 1", params![]).await.is_err());
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_nobody_ends_is_rolled_back_when_the_drain_is_over() {
    let mut daemon = Daemon::builder().arg("--drain-timeout").arg("200ms").start();
    daemon.execute("CREATE TABLE t(x)");
    let client = daemon.client().await;
    let mut session = client.session().await.expect("a session");
    let mut transaction = session.transaction(TransactionKind::Write).await.expect("a transaction");
    transaction.execute("INSERT INTO t VALUES (1)", params![]).await.expect("an insert");

    daemon.terminate();

    daemon.wait();
    assert_clean(&daemon);
    let rows: i64 =
        daemon.folder().open_file().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).expect("count");
    assert_eq!(rows, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_without_an_end_is_cut_when_the_drain_is_over() {
    let mut daemon = Daemon::builder().arg("--drain-timeout").arg("200ms").start();
    let client = daemon.client().await;
    let mut rows = client.query(ENDLESS_READ, params![]).await.expect("a query");
    rows.next().await.expect("a first row").expect("no error");

    daemon.terminate();

    daemon.wait();
    assert_clean(&daemon);
    while let Some(row) = rows.next().await {
        if row.is_err() {
            return;
        }
    }
    panic!("a stream that was cut must not look complete");
}

#[test]
fn a_second_signal_or_shutdown_changes_nothing() {
    let mut daemon = Daemon::start();
    daemon.execute("CREATE TABLE t(x)");
    daemon.terminate();
    daemon.signal(Signal::INT);
    assert!(daemon.wait().success());
    assert_clean(&daemon);
}

#[tokio::test] // on one thread, which is blocked: this client's connection does nothing at all
async fn a_frozen_client_holds_nothing_up() {
    let mut daemon = Daemon::builder().arg("--drain-timeout").arg(ENDLESS_DRAIN).start();
    let client = daemon.client().await;
    let session = client.session().await.expect("a session");
    session.execute("SELECT 1", params![]).await.expect("a request");

    daemon.terminate();

    assert!(daemon.wait().success());
    assert_clean(&daemon);
}

/// Waits until the daemon is in a write transaction: then nobody else can have one.
fn wait_for_a_writer(daemon: &Daemon) {
    let mut file = rusqlite::Connection::open(daemon.folder().database()).expect("open the database file");
    file.busy_timeout(std::time::Duration::ZERO).expect("no waiting");
    wait_until("the write to begin", || {
        file.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).is_err()
    });
}

/// What ends a daemon: the signals, and the call.
fn with_shutdown() -> impl Iterator<Item = (&'static str, Option<Signal>)> {
    SIGNALS.into_iter().map(|(name, signal)| (name, Some(signal))).chain([("Shutdown", None)])
}

/// Nobody listens, the lock is free, and what was in the write-ahead log is in the database.
#[track_caller]
fn assert_clean(daemon: &Daemon) {
    let folder = daemon.folder();
    assert!(!endpoint_exists(&folder.endpoint()), "the socket is removed");
    let wal_bytes = fs::metadata(folder.wal()).map_or(0, |wal| wal.len());
    assert_eq!(wal_bytes, 0, "the write-ahead log is checkpointed");
    assert!(is_free(&folder.lock()), "the lock is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_during_the_drain_is_done_and_answered() {
    let mut daemon = Daemon::builder().arg("--drain-timeout").arg("60s").start();
    daemon.execute("CREATE TABLE t(x)");
    let client = daemon.client().await;
    let mut session = client.session().await.expect("a session");
    let mut transaction = session.transaction(TransactionKind::Write).await.expect("a transaction");
    transaction.execute("INSERT INTO t VALUES (1)", params![]).await.expect("an insert");

    daemon.terminate();
    daemon.wait_for_log("shutting down");

    transaction.execute("INSERT INTO t VALUES (2)", params![]).await.expect("the transaction goes on");
    transaction.commit().await.expect("the commit is answered as what it is");
    drop((session, client));
    assert!(daemon.wait().success());
    let rows: i64 =
        daemon.folder().open_file().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).expect("count");
    assert_eq!(rows, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_not_to_be_written_is_not_even_when_the_work_is_cut_short() {
    let mut daemon = Daemon::builder().arg("--drain-timeout").arg("0s").start();
    daemon.execute("CREATE TABLE t(x)");
    let mut writers = Vec::new();
    for writer in 0..8_i64 {
        let client = daemon.client().await.without_stream();
        writers.push(tokio::spawn(async move {
            for number in 0.. {
                let x = writer * 1_000_000 + number;
                match client.execute("INSERT INTO t VALUES (?)", params![x]).await {
                    Ok(_) => {}
                    Err(Error::Database(error)) if error.reason == "SHUTTING_DOWN" => return Some(x),
                    Err(_) => return None, // the connection broke: nothing was said
                }
            }
            None
        }));
    }
    daemon.terminate();
    daemon.wait();
    let file = daemon.folder().open_file();
    for writer in writers {
        if let Some(refused) = writer.await.expect("a writer") {
            let found: i64 =
                file.query_row("SELECT count(*) FROM t WHERE x = ?", [refused], |row| row.get(0)).expect("count");
            assert_eq!(found, 0, "{refused} was said not to be written");
        }
    }
}

/// An open write transaction, which only its session's end, or the drain's, will end.
async fn open_transaction(session: &mut skylinedb::Session) -> skylinedb::Transaction<'_> {
    let mut transaction = session.transaction(TransactionKind::Write).await.expect("a transaction");
    transaction.execute("INSERT INTO t VALUES (1)", params![]).await.expect("a row");
    transaction
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grace_time_or_force_comes_before_the_daemons_own() {
    for arguments in [&["--grace", "100ms"][..], &["--force"]] {
        let mut daemon = Daemon::builder().arg("--drain-timeout").arg(ENDLESS_DRAIN).start();
        daemon.execute("CREATE TABLE t(x)");
        let client = daemon.client().await;
        let mut session = client.session().await.expect("a session");
        let transaction = open_transaction(&mut session).await;

        let output = daemon.cli([&["shutdown"], arguments].concat()).success();

        assert_eq!(output.stdout, "✓ Daemon shutdown requested\n");
        assert!(output.stderr.starts_with(&format!("PID {} has ended, after ", daemon.pid())), "{output:#?}");
        assert!(daemon.wait().success());
        let error = transaction.commit().await.expect_err("it was rolled back");
        assert!(matches!(&error, Error::Database(error) if error.reason == "SHUTTING_DOWN"), "{error}");
        let rows: i64 =
            daemon.folder().open_file().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).expect("count");
        assert_eq!(rows, 0);
        assert_clean(&daemon);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_sessions_that_are_cut_learn_that_the_daemon_shuts_down() {
    const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let mut daemon = Daemon::builder().arg("--drain-timeout").arg(ENDLESS_DRAIN).start();
    daemon.execute("CREATE TABLE t(x)");
    let client = daemon.client().await;
    let session = client.session().await.expect("a session");
    let cut = async {
        let other = daemon.client().await;
        let write = tokio::spawn(async move { other.execute(&format!("INSERT INTO t {ENDLESS}"), params![]).await });
        let folder = daemon.folder().clone();
        tokio::task::block_in_place(|| {
            wait_for_a_writer(&daemon);
            folder.cli(["shutdown", "--force"]).success();
        });
        write.await.expect("the task")
    };
    let (ordered, independent, write) =
        tokio::join!(session.execute(ENDLESS, params![]), client.execute(ENDLESS, params![]), cut);
    for outcome in [ordered, independent, write] {
        match outcome {
            Err(Error::Database(error)) => assert_eq!(error.reason, "SHUTTING_DOWN", "{error}"),
            other => panic!("{other:?}"),
        }
    }
    drop((session, client));
    assert!(daemon.wait().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_the_drain_can_hurry_it() {
    for (way, signal) in with_shutdown() {
        let mut daemon = Daemon::builder().arg("--drain-timeout").arg(ENDLESS_DRAIN).start();
        daemon.execute("CREATE TABLE t(x)");
        let (client, other) = (daemon.client().await, daemon.client().await);
        let mut session = client.session().await.expect("a session");
        let transaction = open_transaction(&mut session).await;
        daemon.cli(["shutdown", "--no-wait"]).success();
        daemon.wait_for_log("shutting down as requested");
        assert!(daemon.is_running());

        match signal {
            Some(signal) => daemon.signal(signal),
            None => drop(other.shutdown_within(std::time::Duration::ZERO).await.expect("it still listens")),
        }

        assert!(daemon.wait().success(), "{way}");
        transaction.commit().await.expect_err("it was rolled back");
        assert_clean(&daemon);
    }
}
