//! `skylinedb-cli proxy`: what passes through it, and what becomes of it when one of the two sides goes. Who may come in is
//! in `proxy_access`; all of Python's tests run through it in `python`.
#![cfg(unix)]

mod support;

use std::{
    fs,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::json;
use skylinedb::{Code, DatabaseError, Error, TransactionKind, Value, params};
use support::{Daemon, Folder, MIB, Proxy, StopOnDrop, wait_until};
use tokio_stream::StreamExt;

/// How long calls in hand may take at the end.
const GRACE: Duration = Duration::from_secs(10);

/// What a million rows may cost beyond what was there before. The rows together are over 100 MiB.
const FLAT_BYTES: usize = 32 * MIB;

const MILLION: &str = "
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000)
    SELECT i, printf('%.100c', 'x') AS filler FROM n";
const ENDLESS_READ: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
const ENDLESS_WRITE: &str = "
    INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0";

#[test]
fn every_service_passes_over_tcp_and_over_a_socket() {
    let daemon = Daemon::start();
    for proxy in [Proxy::tcp(daemon.folder()), Proxy::unix(daemon.folder())] {
        let listed = proxy.grpcurl(&[], &["list"]).success();
        for service in ["skylinedb.v1.SkylineDbService", "grpc.health.v1.Health"] {
            assert!(listed.stdout.lines().any(|line| line == service), "no {service} in {listed:#?}");
        }
        let health = proxy.grpcurl(&[], &["grpc.health.v1.Health/Check"]).success().json();
        assert_eq!(health["status"], "SERVING");
        let pong = proxy.grpcurl(&[], &["skylinedb.v1.SkylineDbService/Ping"]).success().json();
        assert_eq!(pong["pid"], daemon.pid());
        let request = json!({"statements": [{"sql": "SELECT ? AS x", "parameters": [{"text": "snow ☃"}]}]}).to_string();
        let done = proxy.grpcurl(&["-d", &request], &["skylinedb.v1.SkylineDbService/Execute"]).success().json();
        assert_eq!(done["results"][0]["rows"][0]["values"][0]["text"], "snow ☃");
        let unknown = proxy.grpcurl(&[], &["skylinedb.v1.SkylineDbService/NoSuchCall"]);
        assert_ne!(unknown.code, Some(0), "{unknown:#?}");
    }
}

#[tokio::test]
async fn the_library_has_its_calls_sessions_and_errors() {
    let daemon = Daemon::start();
    let proxy = Proxy::unix(daemon.folder());
    let client = proxy.client().await;
    client.execute("CREATE TABLE t(x UNIQUE)", params![]).await.expect("a table");
    for client in [client.clone(), client.clone().without_stream()] {
        client.execute("DELETE FROM t", params![]).await.expect("a write");
        client.execute("INSERT INTO t VALUES (1)", params![]).await.expect("a write");
        let error =
            database_error(client.execute("INSERT INTO t VALUES (1)", params![]).await.expect_err("it is there"));
        assert_eq!((error.reason.as_str(), error.statement_index), ("SQLITE_CONSTRAINT_UNIQUE", Some(0)));
    }

    let mut session = client.session().await.expect("a session");
    let mut transaction = session.transaction(TransactionKind::Write).await.expect("a transaction");
    transaction.execute("INSERT INTO t VALUES (2)", params![]).await.expect("a write");
    assert_eq!(daemon.value("SELECT count(*) FROM t"), 1, "it is not committed yet");
    transaction.commit().await.expect("a commit");
    let mut transaction = session.transaction(TransactionKind::Write).await.expect("another one");
    transaction.execute("DELETE FROM t", params![]).await.expect("a write");
    drop(transaction);
    drop(session);
    drop(client);
    assert_eq!(daemon.value("SELECT group_concat(x) FROM t"), "1,2");
}

#[tokio::test]
async fn a_million_rows_pass_in_flat_memory() {
    let daemon = Daemon::start();
    let proxy = Proxy::unix(daemon.folder());
    let client = proxy.client().await;
    client.query("SELECT 1", params![]).await.expect("a query");
    let before = (proxy.peak_rss_bytes(), daemon.peak_rss_bytes());

    let mut rows = client.query(MILLION, params![]).await.expect("a query");
    let mut count = 0;
    while let Some(row) = rows.next().await {
        count += 1;
        assert_eq!(row.expect("a row").values()[0], Value::Integer(count));
    }

    assert_eq!(count, 1_000_000);
    let grew = (proxy.peak_rss_bytes().saturating_sub(before.0), daemon.peak_rss_bytes().saturating_sub(before.1));
    println!("the proxy grew by {} KiB, the daemon by {} KiB", grew.0 / 1024, grew.1 / 1024);
    assert!(grew.0 < FLAT_BYTES, "the proxy grew by {} bytes", grew.0);
    assert!(grew.1 < FLAT_BYTES, "the daemon grew by {} bytes", grew.1);
}

#[tokio::test]
async fn whoever_does_not_take_the_rows_costs_no_memory_and_holds_nobody_up() {
    let daemon = Daemon::start();
    daemon.execute("CREATE TABLE t(x)");
    let proxy = Proxy::unix(daemon.folder());
    let slow_client = proxy.client().await;
    let mut slow = slow_client.query(MILLION, params![]).await.expect("a query");
    slow.next().await.expect("a first row").expect("no error");
    let before = (proxy.peak_rss_bytes(), daemon.peak_rss_bytes());

    let other = proxy.client().await;
    for client in [&slow_client, &other] {
        for x in 0..250 {
            client.execute("INSERT INTO t VALUES (?)", params![x]).await.expect("a write");
        }
    }

    assert!(proxy.peak_rss_bytes().saturating_sub(before.0) < FLAT_BYTES, "the proxy");
    assert!(daemon.peak_rss_bytes().saturating_sub(before.1) < FLAT_BYTES, "the daemon");
    let mut count = 1;
    while let Some(row) = slow.next().await {
        row.expect("a row");
        count += 1;
    }
    assert_eq!(count, 1_000_000, "whoever is slow gets everything nevertheless");
}

#[tokio::test]
async fn a_long_request_passes() {
    let daemon = Daemon::start();
    let proxy = Proxy::unix(daemon.folder());
    let blob = vec![7; 8 * MIB];
    let done = proxy.client().await.execute("SELECT length(?)", params![blob]).await.expect("a read");
    assert_eq!(done.rows[0].get::<i64>(0).expect("a number"), 8 << 20);
}

/// The writer has nothing else to do, so that the last write only succeeds if the endless one was interrupted.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_gives_up_or_has_no_time_for_the_daemon_gives_up() {
    let daemon = Daemon::start();
    daemon.execute("CREATE TABLE t(x)");
    let proxy = Proxy::unix(daemon.folder());
    for client in [proxy.client().await, proxy.client().await.without_stream()] {
        let mut write = Box::pin(client.execute(ENDLESS_WRITE, params![]));
        tokio::select! {
            outcome = write.as_mut() => panic!("it ended: {outcome:?}"),
            () = wait_for_the_writer(&daemon) => {}
        }
        drop(write);
        daemon.execute("INSERT INTO t VALUES (1)");

        let hasty = client.clone().with_timeout(Duration::from_millis(300));
        let late = database_error(hasty.execute(ENDLESS_WRITE, params![]).await.expect_err("it has no end"));
        assert_eq!(late.reason, "DEADLINE_EXCEEDED", "{late}");
        daemon.execute("INSERT INTO t VALUES (1)");
    }
    let client = proxy.client().await;
    for _ in 0..40 {
        // Far more than the daemon has connections for readers.
        let mut rows = client.query(ENDLESS_READ, params![]).await.expect("a query");
        rows.next().await.expect("a first row").expect("no error");
    }
    client.execute("SELECT 1", params![]).await.expect("a read");
}

#[tokio::test]
async fn the_daemon_may_go_and_come_again() {
    let mut daemon = Daemon::start();
    let folder = daemon.folder().clone();
    let proxy = Proxy::unix(&folder);
    let client = proxy.client().await.without_stream();
    let first = client.ping().await.expect("a ping").pid;
    let mut rows = client.query(ENDLESS_READ, params![]).await.expect("a query");
    rows.next().await.expect("a first row").expect("no error");

    daemon.kill9();

    let broken = loop {
        match rows.next().await.expect("an answer that broke must not look complete") {
            Ok(_) => {}
            Err(error) => break database_error(error),
        }
    };
    assert_eq!((broken.code, broken.reason.as_str()), (Code::Unavailable, "CONNECTION_LOST"), "{broken}");
    let gone = database_error(client.ping().await.expect_err("nobody is there"));
    assert_eq!((gone.code, gone.reason.as_str()), (Code::Unavailable, "DAEMON_UNAVAILABLE"), "{gone}");
    assert!(gone.message.contains(&folder.endpoint().display().to_string()), "{gone}");

    for _ in 0..3 {
        let mut next = Daemon::builder_in(&folder).start();
        let pong = client.ping().await.expect("the same client reaches the next one");
        assert_eq!(pong.pid, next.pid());
        assert_ne!(pong.pid, first);
        next.stop();
        assert_eq!(database_error(client.ping().await.expect_err("nobody is there")).reason, "DAEMON_UNAVAILABLE");
    }
}

#[tokio::test]
async fn a_call_in_hand_when_the_daemon_dies_is_told_that_its_fate_is_unknown() {
    let mut daemon = Daemon::start();
    daemon.execute("CREATE TABLE t(x)");
    let proxy = Proxy::unix(daemon.folder());
    let client = proxy.client().await.without_stream();
    let write = tokio::spawn(async move { client.execute(ENDLESS_WRITE, params![]).await });
    wait_for_the_writer(&daemon).await;
    daemon.kill9();
    let error = database_error(write.await.expect("the task").expect_err("it broke"));
    assert_eq!((error.code, error.reason.as_str()), (Code::Unavailable, "CONNECTION_LOST"), "{error}");
    assert!(error.message.contains("is not known"), "{error}");
}

#[test]
fn the_daemon_is_shut_down_through_it_and_it_stays() {
    let mut daemon = Daemon::start();
    let folder = daemon.folder().clone();
    let proxy = Proxy::unix(&folder);
    let through = |arguments: &[&str]| {
        let mut cli = support::command(support::program("skylinedb-cli"));
        support::run(cli.arg("--endpoint").arg(proxy.socket()).args(arguments), b"")
    };
    let done = through(&["shutdown"]).success();
    assert!(done.stdout.contains("Daemon shutdown requested"), "{done:#?}");
    assert!(daemon.wait().success());
    let refused = through(&["ping"]).failure(1);
    assert!(refused.stderr.contains("DAEMON_UNAVAILABLE") && refused.stderr.contains("daemon.sock"), "{refused:#?}");
    let _next = Daemon::builder_in(&folder).start();
    through(&["ping"]).success();
}

#[tokio::test]
async fn with_start_the_daemon_is_there_when_it_is_called_for() {
    let folder = Folder::new();
    let stop = StopOnDrop(folder.endpoint());
    let mut command = Proxy::command(&folder);
    command.env("SKYLINEDB_LOCK_FILE", folder.lock()).env("SKYLINEDB_DAEMON", support::program("skylinedb-daemon"));
    command.arg("--start").arg("--database").arg(folder.database());
    let listen = format!("unix:{}", Proxy::socket_in(&folder).display());
    let proxy = Proxy::start_command(command.args(["--listen", &listen]));
    let first = stop.pid().expect("it is started with the proxy");
    let client = proxy.client().await;
    assert_eq!(client.ping().await.expect("a ping").pid, first);
    assert_eq!(client.shutdown().await.expect("it ends"), first);
    wait_until("the first one's end", || stop.pid().is_none());
    let second = client.ping().await.expect("a ping").pid;
    assert_ne!(second, first);
    assert_eq!(stop.pid(), Some(second));
}

#[test]
fn another_database_than_the_one_that_is_meant_is_refused() {
    let daemon = Daemon::start();
    let mut command = Proxy::command(daemon.folder());
    let refused = support::run(command.args(["--database", "other.db"]), b"").failure(1);
    assert!(refused.stderr.contains("another database") && refused.stdout.is_empty(), "{refused:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_calls_in_hand_are_finished_and_nothing_is_left() {
    for signal in [Signal::TERM, Signal::INT] {
        let daemon = Daemon::start();
        let mut proxy = Proxy::unix(daemon.folder());
        let client = proxy.client().await;
        let mut rows = client.query(MILLION, params![]).await.expect("a query");
        rows.next().await.expect("a first row").expect("no error");

        proxy.signal(signal);

        wait_until("the socket's end", || !proxy.socket().exists());
        let mut count = 1;
        while let Some(row) = rows.next().await {
            row.expect("a row");
            count += 1;
        }
        assert_eq!(count, 1_000_000);
        drop((rows, client));
        let (status, rest) = proxy.wait();
        assert!(status.success() && rest.is_empty(), "{status} {rest:?}");
        daemon.cli(["ping"]).success();
    }
}

#[tokio::test]
async fn what_has_no_end_is_cut_after_the_grace_time_or_by_a_second_signal() {
    for signals in [1, 2] {
        let daemon = Daemon::start();
        let mut proxy = Proxy::unix(daemon.folder());
        let client = proxy.client().await;
        let mut rows = client.query(ENDLESS_READ, params![]).await.expect("a query");
        rows.next().await.expect("a first row").expect("no error");

        let begin = Instant::now();
        proxy.signal(Signal::TERM);
        wait_until("the socket's end", || !proxy.socket().exists());
        if signals == 2 {
            proxy.signal(Signal::TERM);
        }
        assert!(proxy.wait().0.success());
        assert_eq!(begin.elapsed() < GRACE, signals == 2, "{:?}", begin.elapsed());

        loop {
            match rows.next().await {
                Some(Ok(_)) => {}
                Some(Err(_)) => break,
                None => panic!("a stream that was cut must not look complete"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_client_holds_the_end_up_no_longer_than_it_must() {
    let daemon = Daemon::start();
    let mut proxy = Proxy::unix(daemon.folder());
    let idle = proxy.client().await.without_stream();
    idle.ping().await.expect("a ping");
    let begin = Instant::now();
    proxy.stop();
    assert!(begin.elapsed() < GRACE, "it was waited for");
    assert!(fs::symlink_metadata(proxy.socket()).is_err());
    assert!(matches!(idle.ping().await, Err(Error::NotRunning { .. })));
    daemon.client().await.ping().await.expect("the daemon is untouched");
}

/// Waits until a write keeps the writer busy.
async fn wait_for_the_writer(daemon: &Daemon) {
    // What the writer has in hand grows its log file only at the end; a write that has to wait shows that it is busy.
    let client = daemon.client().await.with_timeout(Duration::from_millis(100)).without_stream();
    while client.execute("INSERT INTO t VALUES (0)", params![]).await.is_ok() {}
}

#[track_caller]
fn database_error(error: Error) -> DatabaseError {
    match error {
        Error::Database(error) => *error,
        other => panic!("not the proxy's or the daemon's answer: {other:?}"),
    }
}
