//! Programs that do with the database file what they should not: hold its lock, or truncate it underneath the daemon.
#![cfg(target_os = "linux")]

mod support;

use std::{
    env,
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use skylinedb::{Client, Code, Error, Params, Value, params};
use support::{Daemon, Folder, Running, run};

/// Set in the process that holds the lock: the database.
const LOCKED_DATABASE: &str = "SKYLINEDB_TEST_LOCKED_DATABASE";

/// Not a test of its own: the other program.
#[test]
fn holds_the_lock_of_a_database() {
    let Some(database) = env::var_os(LOCKED_DATABASE) else { return };
    let connection = rusqlite::Connection::open(database).expect("the database");
    connection.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    println!("locked");
    loop {
        std::thread::park();
    }
}

/// Starts a process that holds the write lock until it is dropped.
fn holder(database: &Path) -> Running {
    let mut command = support::command(env::current_exe().expect("this program"));
    command.args(["--exact", "--nocapture", "holds_the_lock_of_a_database"]).env(LOCKED_DATABASE, database);
    let mut holder = support::start(&mut command);
    let mut lines = BufReader::new(holder.stdout()).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line.contains("locked"))), "it did not get the lock");
    holder
}

#[test]
fn a_process_that_holds_the_lock_is_named_to_a_client_and_when_the_daemon_starts() {
    let mut daemon = Daemon::start();
    daemon.execute("CREATE TABLE t(x)");
    let holder = holder(&daemon.folder().database());
    // The kernel keeps the first 15 bytes of a name.
    let named = &format!("another process (PID {}, other_programs", holder.pid());
    let refused = daemon.cli(["execute", "INSERT INTO t VALUES (1)"]);
    assert!(refused.stderr.contains(named), "{named}: {refused:?}");
    daemon.stop();
    let refused = run(&mut daemon.folder().daemon_command([""; 0]), b"").failure(1);
    assert!(refused.stderr.contains(named), "{named}: {refused:?}");
    drop(holder);
    let daemon = Daemon::builder_in(daemon.folder()).start();
    daemon.execute("INSERT INTO t VALUES (1)");
}

/// A daemon with some megabytes that are in the file, and one row that is in the log only.
async fn daemon_with_rows() -> (Daemon, Client) {
    let daemon = Daemon::start();
    let client = daemon.client().await;
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
                INSERT INTO t SELECT i, randomblob(3000) FROM n";
    for sql in [
        "CREATE TABLE t(id INTEGER PRIMARY KEY, b)",
        rows,
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "INSERT INTO t VALUES (1001, NULL)",
    ] {
        client.execute(sql, params![]).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    // Known to be short from then on, it is read from the mapped file.
    for _ in 0..5 {
        read(&client, 500).await.expect("a row");
    }
    (daemon, client)
}

async fn read(client: &Client, id: i64) -> Result<(), Error> {
    let id = Params::positional(vec![Value::Integer(id)]);
    client.execute("SELECT length(b) FROM t WHERE id = ?", id).await.map(drop)
}

fn truncate(folder: &Folder, file: &str) {
    let file = File::options().write(true).open(folder.path().join(file)).expect("a file of the database");
    file.set_len(0).expect("it is truncated");
}

#[tokio::test]
async fn a_database_file_that_is_truncated_is_data_loss_and_the_daemons_end() {
    let (mut daemon, client) = daemon_with_rows().await;
    truncate(daemon.folder(), "data.db");
    let mut reasons = Vec::new();
    for id in 1..=1_000 {
        match read(&client, id).await {
            Ok(()) => {}
            Err(Error::Database(error)) if error.code == Code::DataLoss => reasons.push(error.reason),
            Err(_) => break, // it has ended
        }
    }
    assert!(reasons.iter().any(|reason| reason == "DATABASE_TRUNCATED"), "{reasons:?}");
    let status = daemon.wait();
    assert_eq!(status.code(), Some(1), "{status}: {}", daemon.log());
    assert!(daemon.log().contains("DATABASE_TRUNCATED"), "{}", daemon.log());
    // SQLite would remove the log.
    let refused = run(&mut daemon.folder().daemon_command([""; 0]), b"").failure(1);
    assert!(refused.stderr.contains("truncated the file"), "{refused:?}");
    assert_ne!(daemon.folder().wal().metadata().expect("the log").len(), 0);
}

#[tokio::test]
async fn a_shared_memory_file_that_is_truncated_is_the_daemons_end_and_no_commit_is_lost() {
    let (mut daemon, client) = daemon_with_rows().await;
    truncate(daemon.folder(), "data.db-shm");
    let mut written = 1_001_i64;
    while client.execute("INSERT INTO t VALUES (NULL, NULL)", params![]).await.is_ok() {
        written += 1;
    }
    let status = daemon.wait();
    assert_eq!(status.code(), Some(1), "{status}: {}", daemon.log());
    assert!(daemon.log().contains("DATABASE_TRUNCATED"), "{}", daemon.log());
    let daemon = Daemon::builder_in(daemon.folder()).start();
    assert_eq!(daemon.value("SELECT count(*) FROM t"), written);
    assert_eq!(daemon.value("PRAGMA integrity_check"), "ok");
}
