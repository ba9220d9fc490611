//! Tests of the engine as a whole: the writer's nine traps, the revision, and the way between writer and readers.
//!
//! A group is made by holding the writer with a transaction while batches go into its queue ([`Engine::together`]), and no
//! test waits for time to pass: only for answers.

mod answers;
#[cfg(unix)]
mod attach;
mod bounds;
#[cfg(unix)]
mod failed_commit;
mod foreign_keys;
mod in_doubt;
mod in_time;
mod leaks;
mod limits;
mod order;
mod outside_transaction;
mod panics;
mod reading;
mod refusals;
mod repetition;
mod revision;
mod rollback;
mod sqlite_features;
mod temp_files;
mod transactions;

use std::{
    future::Future,
    ops::Deref,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use tempfile::TempDir;

use super::{
    Answer, Batch, BatchResult, Cancel, Column, Config, Database, Error, Kind, Mode, PendingAnswer, Read, RequestId,
    Route, RowSink, RowValues, SchemaGeneration, Statement, StatementResult, Synchronous, TempFiles, Value,
    WriteTransaction,
    readers::Readers,
    writer::{Bounds, Faults, Stage, Writer},
};
use crate::ledger::Ledger;

/// Longer than any test takes: what should have been interrupted, cut or answered by then was forgotten.
const FOREVER: Duration = Duration::from_hours(1);

/// A batch's way through the writer, as a test that hangs would see it.
const SOON: Duration = Duration::from_secs(30);

/// A statement that never ends, and changes nothing.
const ENDLESS_READ: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0";

/// A statement that never ends, and would write.
const ENDLESS_WRITE: &str = "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                             SELECT i FROM n WHERE i < 0";

/// Settings for a database in a folder, without limits that a test could meet.
pub(crate) fn config_in(folder: &Path) -> Config {
    let root = folder.canonicalize().expect("its canonical path");
    Config {
        path: root.join("data.db"),
        synchronous: Synchronous::Full,
        foreign_keys: true,
        attach_folders: vec![root],
        max_sql_bytes: 1 << 20,
        max_value_bytes: 1 << 26,
        max_answer_bytes: 1 << 20,
        temp_files: TempFiles::limited_to(4 << 30),
        ledger: Ledger::new(1 << 30),
        queue_jobs: 1_024,
        readers: 2,
        inline_readers: 2,
        max_memory_bytes: 1 << 30,
        max_wal_bytes: 1 << 30,
        snapshot_timeout: FOREVER,
        schema: SchemaGeneration::default(),
        transaction_idle_timeout: FOREVER,
        transaction_timeout: FOREVER,
        batch_timeout: FOREVER,
        flush_log: || (),
    }
}

/// A database of a test's own, with a table `t (a UNIQUE)`.
struct Engine {
    database: Database,
    folder: TempDir,
    faults: Faults,
}

impl Engine {
    async fn new() -> Self {
        Self::with(|_, _| {}).await
    }

    /// An engine whose settings and bounds the test has changed.
    async fn with(change: impl FnOnce(&mut Config, &mut Bounds)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut config = config_in(folder.path());
        // A loaded machine must not split a test's group.
        let mut bounds = Bounds { intake_time: FOREVER, beside_others_time: FOREVER, ..Bounds::default() };
        change(&mut config, &mut bounds);
        let faults = Faults::default();
        let writer = Writer::start_bounded(&config, bounds, &faults).expect("a writer");
        let readers = Arc::new(Readers::open(&config).expect("readers"));
        let engine = Self { database: Database { config, writer, readers }, folder, faults };
        engine.run(&["CREATE TABLE t (a UNIQUE)"]).await.expect("a table");
        engine
    }

    /// Sends statements to the writer as one atomic batch.
    async fn run(&self, statements: &[&str]) -> Result<BatchResult, Error> {
        self.run_batch(atomic(statements)).await
    }

    async fn run_batch(&self, batch: Batch) -> Result<BatchResult, Error> {
        fresh(self.send(batch)).await
    }

    /// Puts a batch into the writer's queue.
    fn send(&self, batch: Batch) -> PendingAnswer {
        self.submit(batch, Cancel::default())
    }

    /// Holds the writer, so that what is sent now will be a group.
    async fn hold(&self) -> WriteTransaction {
        self.begin_write(Cancel::default()).await.expect("the writer")
    }

    /// Runs batches in one group.
    async fn together(&self, batches: impl IntoIterator<Item = Batch>) -> Vec<Result<BatchResult, Error>> {
        let hold = self.hold().await;
        let mut pending = Vec::new();
        for batch in batches {
            pending.push(self.send(batch));
        }
        hold.roll_back(Cancel::default()).await.expect("the writer let go");
        let mut answers = Vec::new();
        for answer in pending {
            answers.push(fresh(answer).await);
        }
        answers
    }

    /// Runs a batch in the pool, where it must not turn out to write.
    async fn read_only(&self, batch: Batch) -> Result<BatchResult, Error> {
        match soon(self.read(batch, Cancel::default())).await? {
            Read::Done(result) => Ok(result),
            Read::Writes(batch) => panic!("{batch:?} writes"),
        }
    }

    /// The first column of a query's rows, read by a reader.
    async fn column(&self, sql: &str) -> Vec<Value> {
        let result = self.read_only(atomic(&[sql])).await.expect("the rows");
        only(result).rows.into_iter().map(|mut row| row.swap_remove(0)).collect()
    }

    /// What is in the table `t`.
    async fn integers(&self) -> Vec<i64> {
        self.column("SELECT a FROM t ORDER BY a").await.iter().map(integer).collect()
    }

    /// How many commits are in the write-ahead log: a frame that ends one holds the database's size
    /// (<https://sqlite.org/fileformat2.html#walformat>).
    fn commits(&self) -> usize {
        let wal = std::fs::read(self.path().with_extension("db-wal")).expect("the write-ahead log");
        let page_bytes = u32::from_be_bytes(wal[8..12].try_into().expect("four bytes")) as usize;
        let salt = &wal[16..24];
        wal[32..]
            .chunks_exact(24 + page_bytes)
            .take_while(|frame| &frame[8..16] == salt)
            .filter(|frame| frame[4..8] != [0; 4])
            .count()
    }

    /// A connection of another program to the same file.
    fn other_program(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).expect("the file")
    }
}

impl Deref for Engine {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A test that has failed may still hold the writer.
        if !std::thread::panicking() {
            self.database.close();
        }
    }
}

/// A sink that collects.
#[derive(Default)]
struct Rows(Arc<Mutex<Vec<Vec<Value>>>>);

impl RowSink for Rows {
    fn columns(&mut self, _: Vec<Column>) -> Result<(), Error> {
        Ok(())
    }

    fn row(&mut self, row: &RowValues<'_>) -> Result<(), Error> {
        let values = row.iter().map(|value| Value::try_from(value).expect("a value")).collect();
        self.0.lock().expect("the rows").push(values);
        Ok(())
    }
}

fn batch(mode: Mode, statements: &[&str]) -> Batch {
    let size_bytes = statements.iter().map(|sql| sql.len()).sum();
    Batch { statements: statements.iter().map(|sql| statement(sql)).collect(), mode, request: None, size_bytes }
}

fn atomic(statements: &[&str]) -> Batch {
    batch(Mode::Atomic, statements)
}

fn each(statements: &[&str]) -> Batch {
    batch(Mode::Each, statements)
}

fn statement(sql: &str) -> Statement {
    Statement { sql: sql.to_owned(), ..Statement::default() }
}

/// What comes, or a failed test instead of one that hangs.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("an answer; nobody is going to give one")
}

/// The answer to a batch that has not been run before.
async fn fresh(answer: PendingAnswer) -> Result<BatchResult, Error> {
    match soon(answer).await? {
        Answer::Fresh(result) => Ok(result),
        Answer::Replayed(_) => panic!("an old answer"),
    }
}

/// The result of a batch's only statement.
fn only(mut result: BatchResult) -> StatementResult {
    assert_eq!(result.results.len(), 1);
    result.results.remove(0).expect("no error")
}

fn integer(value: &Value) -> i64 {
    match value {
        Value::Integer(integer) => *integer,
        other => panic!("{other:?} is not an integer"),
    }
}

/// The reasons of the errors, "ok" where there is none.
fn reasons<T>(answers: &[Result<T, Error>]) -> Vec<&str> {
    answers.iter().map(|answer| answer.as_ref().map_or_else(|error| &*error.reason, |_| "ok")).collect()
}

/// The revisions of the batches that were committed.
fn revisions(answers: &[Result<BatchResult, Error>]) -> Vec<u64> {
    answers.iter().flatten().map(|result| result.revision).collect()
}
