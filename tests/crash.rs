//! The daemon is killed with -9 in the middle of a write load, again and again. What it had acknowledged is there; of
//! what it had not, all of a batch or nothing.

mod support;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use skylinedb::{Batch, Client, Statement, TransactionKind, params};
use support::{Daemon, Folder, wait_until};

const ROUNDS: usize = 5;
const WRITERS: usize = 8;
const ROWS_PER_BATCH: i64 = 3;

/// The names of the batches that the daemon has acknowledged.
type Acknowledged = Arc<Mutex<BTreeSet<String>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_batch_is_there_and_no_half_of_another() {
    let folder = Folder::new();
    let acknowledged = Acknowledged::default();
    for round in 0..ROUNDS {
        let mut daemon = Daemon::builder_in(&folder).start();
        if round == 0 {
            daemon.execute("CREATE TABLE written(batch TEXT, row INTEGER, filler BLOB)");
        }
        assert_sound(&folder, &acknowledged);

        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let client = daemon.client().await;
            let name = format!("round {round}, writer {writer}");
            writers.push(tokio::spawn(write_until_it_fails(client, name, Arc::clone(&acknowledged))));
        }
        // Not at the same point every time: after 50 batches, then after 250 more, and so on.
        let enough = count(&acknowledged) + 50 + 200 * round;
        tokio::task::block_in_place(|| wait_until("a write load", || count(&acknowledged) >= enough));
        daemon.kill9();
        for writer in writers {
            writer.await.expect("a writer");
        }
    }

    let daemon = Daemon::builder_in(&folder).start();
    assert_sound(&folder, &acknowledged);
    daemon.execute("INSERT INTO written VALUES ('after all', 0, NULL)");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_with_the_same_request_id_after_a_crash_writes_once() {
    let folder = Folder::new();
    let acknowledged = Acknowledged::default();
    let mut daemon = Daemon::builder_in(&folder).start();
    daemon.execute("CREATE TABLE written(batch TEXT, row INTEGER, filler BLOB)");
    for round in 0..ROUNDS {
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let client = daemon.client().await;
            let name = format!("round {round}, writer {writer}");
            writers.push(tokio::spawn(write_until_it_fails(client, name, Arc::clone(&acknowledged))));
        }
        let enough = count(&acknowledged) + 50;
        tokio::task::block_in_place(|| wait_until("a write load", || count(&acknowledged) >= enough));
        daemon.kill9();
        let mut unanswered = Vec::new();
        for writer in writers {
            unanswered.push(writer.await.expect("a writer"));
        }

        daemon = Daemon::builder_in(&folder).start();
        let client = daemon.client().await;
        for name in unanswered {
            client.execute_batch(batch(&name).request_id(&name)).await.expect("the retry");
            acknowledged.lock().expect("a set").insert(name);
        }
        assert_sound(&folder, &acknowledged);
    }
}

#[tokio::test]
async fn a_transaction_that_was_open_is_rolled_back() {
    let mut daemon = Daemon::start();
    daemon.execute("CREATE TABLE written(x)");
    let client = daemon.client().await;
    let mut session = client.session().await.expect("a session");
    let mut transaction = session.transaction(TransactionKind::Write).await.expect("a transaction");
    transaction.execute("INSERT INTO written VALUES (1)", params![]).await.expect("an insert");
    daemon.kill9();

    let daemon = Daemon::builder_in(daemon.folder()).start();
    assert_eq!(daemon.value("SELECT count(*) FROM written"), 0);
    daemon.execute("INSERT INTO written VALUES (1)");
}

/// Writes batch after batch until the daemon is no more, and tells the name of the one that got no answer.
async fn write_until_it_fails(client: Client, writer: String, acknowledged: Acknowledged) -> String {
    for number in 0.. {
        let name = format!("{writer}, batch {number}");
        if client.execute_batch(batch(&name).request_id(&name)).await.is_err() {
            return name;
        }
        acknowledged.lock().expect("a set").insert(name);
    }
    unreachable!("the daemon is killed before that");
}

/// Rows that belong together, some of them with a filler so that a batch is many pages.
fn batch(name: &str) -> Batch {
    let insert = "INSERT INTO written VALUES (?, ?, zeroblob(? * 3000))";
    (0..ROWS_PER_BATCH).fold(Batch::new(), |batch, row| batch.push(Statement::new(insert, params![name, row, row])))
}

fn count(acknowledged: &Acknowledged) -> usize {
    acknowledged.lock().expect("a set").len()
}

/// Looks into the file itself: it is whole, has every acknowledged batch, and no batch in part or twice.
#[track_caller]
fn assert_sound(folder: &Folder, acknowledged: &Acknowledged) {
    let file = folder.open_file();
    let integrity: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
    assert_eq!(integrity, "ok");

    let mut select =
        file.prepare("SELECT batch, count(*), count(DISTINCT row) FROM written GROUP BY batch").expect("prepare");
    let batches = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("query");
    let mut found = BTreeSet::new();
    for batch in batches {
        let (name, rows, different): (String, i64, i64) = batch.expect("a row");
        assert_eq!((rows, different), (ROWS_PER_BATCH, ROWS_PER_BATCH), "{name} is whole");
        found.insert(name);
    }
    let lost: Vec<String> = acknowledged.lock().expect("a set").difference(&found).cloned().collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
}
