//! Many processes write to one database at once. None of them is told to wait, to retry or to come again.

mod support;

use std::{collections::BTreeSet, env, fmt::Write, thread};

use skylinedb::{Batch, Client, Statement, Value, params};
use support::{Daemon, command, run};

const PROCESSES: u32 = 32;
const ROWS_PER_PROCESS: u32 = 1000;
const TABLE: &str = "CREATE TABLE written(process INTEGER, row INTEGER, PRIMARY KEY (process, row)) WITHOUT ROWID";

/// Names the writer's number to [`one_writer`].
const WRITER: &str = "TEST_WRITER";
/// Names the socket to [`one_writer`].
const SOCKET: &str = "TEST_SOCKET";

#[test]
fn processes_that_write_a_row_a_batch_lose_none_and_every_batch_is_a_revision() {
    let daemon = Daemon::start();
    daemon.execute(TABLE);
    let before = revision(&daemon);

    let outputs = in_parallel(|process| {
        let mut writer = command(env::current_exe().expect("this program"));
        writer.args(["--exact", "one_writer", "--ignored", "--nocapture"]);
        run(writer.env(WRITER, process.to_string()).env(SOCKET, daemon.folder().endpoint()), b"").success()
    });

    let revisions: BTreeSet<u64> = outputs
        .iter()
        .flat_map(|output| output.stdout.lines().filter_map(|line| line.strip_prefix("revision ")))
        .map(|revision| revision.parse().expect("a revision"))
        .collect();
    let batches = u64::from(PROCESSES * ROWS_PER_PROCESS);
    assert!(revisions.into_iter().eq(before + 1..=before + batches), "every batch got a revision of its own");
    assert_eq!(revision(&daemon), before + batches);
    assert_all_rows(&daemon);
}

/// The process that the test above starts: its own connection, a row a batch.
#[test]
#[ignore = "a part of the test above, in a process of its own"]
fn one_writer() {
    let (process, socket) = (env::var(WRITER).expect(WRITER), env::var(SOCKET).expect(SOCKET));
    let process: i64 = process.parse().expect("a number");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = Client::connect(socket).await.expect("connect");
        let mut revisions = String::from("\n");
        for row in 0..ROWS_PER_PROCESS {
            let insert = Statement::new("INSERT INTO written VALUES (?, ?)", params![process, i64::from(row)]);
            let result = client.execute_batch(Batch::new().push(insert)).await.expect("no error, no busy");
            writeln!(revisions, "revision {}", result.revision).expect("write to a string");
        }
        print!("{revisions}");
    });
}

#[test]
fn processes_of_the_cli_lose_no_row_and_every_batch_is_a_revision() {
    for (mode, batches) in [("each", PROCESSES * ROWS_PER_PROCESS), ("atomic", PROCESSES)] {
        let daemon = Daemon::start();
        daemon.execute(TABLE);
        let before = revision(&daemon);

        in_parallel(|process| {
            let mut script = String::new();
            for row in 0..ROWS_PER_PROCESS {
                writeln!(script, "INSERT INTO written VALUES ({process}, {row});").expect("write to a string");
            }
            daemon.cli_with_input(["execute", "--mode", mode], script).success()
        });

        assert_eq!(revision(&daemon), before + u64::from(batches), "--mode {mode}");
        assert_all_rows(&daemon);
    }
}

#[test]
fn readers_see_only_whole_batches_while_others_write() {
    const TRANSFERS: usize = 200;
    let daemon = Daemon::start();
    daemon.execute("CREATE TABLE account(name TEXT PRIMARY KEY, balance INTEGER)");
    daemon.execute("INSERT INTO account VALUES ('a', 1000), ('b', 0)");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let writer = daemon.client().await;
        let reader = daemon.client().await;
        let transfers = tokio::spawn(async move {
            for _ in 0..TRANSFERS {
                let take = Statement::new("UPDATE account SET balance = balance - 1 WHERE name = 'a'", params![]);
                let give = Statement::new("UPDATE account SET balance = balance + 1 WHERE name = 'b'", params![]);
                writer.execute_batch(Batch::new().push(take).push(give)).await.expect("a transfer");
            }
        });
        while !transfers.is_finished() {
            let sum = reader.execute("SELECT sum(balance) FROM account", params![]).await.expect("a read");
            assert_eq!(sum.rows[0].values(), [Value::Integer(1000)]);
        }
        transfers.await.expect("the writer");
    });
}

fn in_parallel<T: Send>(work: impl Fn(u32) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let workers: Vec<_> = (0..PROCESSES)
            .map(|process| {
                scope.spawn({
                    let work = &work;
                    move || work(process)
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker")).collect()
    })
}

fn revision(daemon: &Daemon) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { daemon.client().await.ping().await.expect("ping").revision })
}

#[track_caller]
fn assert_all_rows(daemon: &Daemon) {
    assert_eq!(daemon.value("SELECT count(*) FROM written"), PROCESSES * ROWS_PER_PROCESS);
    let complete = format!(
        "SELECT count(*) FROM (SELECT 1 FROM written GROUP BY process HAVING count(*) = {ROWS_PER_PROCESS} AND max(row) = {ROWS_PER_PROCESS} - 1)"
    );
    assert_eq!(daemon.value(&complete), PROCESSES);
}
