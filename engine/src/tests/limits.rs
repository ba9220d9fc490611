//! What a statement may take of memory and time, and where it is run: nothing that can take long runs on the runtime's threads.

use super::*;

/// Compiles to 2^20 tables: `a` is one table, and each name after it joins the one before with itself.
fn explodes() -> String {
    let names: Vec<String> = (0..20)
        .map(|level| match level {
            0 => "n0(x) AS (SELECT 1)".to_owned(),
            _ => format!("n{level}(x) AS (SELECT p.x FROM n{0} p, n{0} q)", level - 1),
        })
        .collect();
    format!("WITH {} SELECT x FROM n19", names.join(", "))
}

/// Where a text is run once it is known: it is looked at when it comes the second time.
async fn route(engine: &Engine, sql: &str) -> Route {
    for _ in 0..2 {
        soon(engine.read(atomic(&[sql]), Cancel::default())).await.expect("a read");
    }
    engine.route(&atomic(&[sql]))
}

#[tokio::test]
async fn a_text_that_explodes_while_it_is_compiled_is_refused_wherever_it_is_sent() {
    let engine = Engine::new().await;
    let sql = explodes();
    assert_eq!(engine.route(&atomic(&[&sql])), Route::Pool, "it is compiled in the pool");
    let error = soon(engine.read(atomic(&[&sql]), Cancel::default())).await.expect_err("it explodes");
    assert_eq!((&*error.reason, error.kind), ("STATEMENT_TOO_LARGE", Kind::Exhausted), "{error}");
    let query = engine.query(statement(&sql), Cancel::default(), Box::new(Rows::default()));
    assert_eq!(soon(query).await.expect_err("it explodes").reason, "STATEMENT_TOO_LARGE");
    let write = format!("INSERT INTO t {sql}");
    let answers =
        engine.together(["INSERT INTO t VALUES (1)", &write, "INSERT INTO t VALUES (2)"].map(|sql| atomic(&[sql])));
    assert_eq!(reasons(&answers.await), ["ok", "STATEMENT_TOO_LARGE", "ok"]);
    assert_eq!(engine.integers().await, [1, 2]);
}

#[tokio::test]
async fn a_long_text_is_compiled_by_the_pool_first_and_refused_if_that_takes_long() {
    let engine = Engine::new().await;
    engine.run(&["CREATE TABLE k (id INTEGER PRIMARY KEY)"]).await.expect("a table");
    let row = |table: &str| format!("({})", vec![format!("{table}.id"); 9_000].join(","));
    let slow = format!("INSERT INTO t SELECT 1 FROM k a, k b WHERE {} = {}", row("a"), row("b"));
    let after_a_write = atomic(&["INSERT INTO t VALUES (1)", &slow]);
    assert_eq!(engine.route(&after_a_write), Route::Pool);
    let (read, write) =
        tokio::join!(engine.read(after_a_write, Cancel::default()), engine.run(&["INSERT INTO t VALUES (2)"]));
    write.expect("it does not wait for the other");
    let error = read.expect_err("it takes seconds to compile");
    assert_eq!((&*error.reason, error.statement_index), ("STATEMENT_TOO_LARGE", Some(1)), "{error}");
    let error = engine.look_at_long(atomic(&[&slow]), &Cancel::default()).await.expect_err("as long");
    assert_eq!(error.reason, "STATEMENT_TOO_LARGE");

    let broken = slow.replace("SELECT 1", "SELECT 1, 2"); // found to be too many when all is compiled
    let error =
        engine.look_at_long(atomic(&[&broken]), &Cancel::default()).await.expect_err("as long as one that compiles");
    assert_eq!(error.reason, "STATEMENT_TOO_LARGE");

    let rows: Vec<String> = (10..10_010).map(|i| format!("({i})")).collect();
    let long = format!("INSERT INTO t VALUES {}", rows.join(","));
    let Ok(Read::Writes(batch)) = engine.read(atomic(&[&long]), Cancel::default()).await else { panic!("it writes") };
    engine.submit(batch, Cancel::default()).await.expect("a long text, but an ordinary one");
    assert_eq!(engine.column("SELECT count(*) FROM t").await.iter().map(integer).collect::<Vec<_>>(), [10_001]);
}

#[tokio::test]
async fn long_texts_do_not_take_all_readers() {
    let engine = Engine::with(|config, _| config.readers = 2).await;
    engine.run(&["CREATE TABLE k (id INTEGER PRIMARY KEY)"]).await.expect("a table");
    let row = |table: &str| format!("({})", vec![format!("{table}.id"); 9_000].join(","));
    let slow = format!("SELECT 1 FROM k a, k b WHERE {} = {}", row("a"), row("b"));
    let mut long =
        Box::pin(futures_util::future::join_all((0..4).map(|_| engine.read(atomic(&[&slow]), Cancel::default()))));
    tokio::select! {
        biased;
        _ = &mut long => panic!("each takes seconds to compile"),
        count = engine.column("SELECT count(*) FROM k") => assert_eq!(count, [Value::Integer(0)]),
    }
    let soon = Some(std::time::Instant::now() + Duration::from_millis(50));
    let error = engine.read(atomic(&[&slow]), Cancel::at(soon)).await.expect_err("it waits behind the others");
    assert!(error.reason == "DEADLINE_EXCEEDED" && error.message.contains("more than 32 KiB"), "{error}");
}

#[tokio::test]
async fn the_schema_has_no_long_texts() {
    let engine = Engine::new().await;
    let view = format!("CREATE VIEW v AS SELECT {}", vec!["1234567890 AS a"; 10_000].join(","));
    assert_eq!(engine.run(&[&view]).await.expect_err("160 KB").reason, "SCHEMA_TEXT_TOO_LONG");
    let view = |i: usize| format!("CREATE VIEW v{i} AS SELECT '{}' AS a", "x".repeat(60_000));
    for i in 0..69 {
        engine.run(&[&view(i)]).await.expect("4 MiB in all");
    }
    let result = engine.run_batch(each(&["INSERT INTO t VALUES (1)", &view(69)])).await.expect("a batch");
    assert!(matches!(&result.results[1], Err(error) if error.reason == "SCHEMA_TOO_LARGE"));
    let columns: Vec<String> =
        (0..10).map(|i| format!("ALTER TABLE t ADD COLUMN c{i} DEFAULT '{}'", "x".repeat(60_000))).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    assert_eq!(engine.run(&columns).await.expect_err("it is full").reason, "SCHEMA_TOO_LARGE");
    assert_eq!(engine.integers().await, [1]);
    assert_eq!(engine.column("SELECT count(*) FROM sqlite_schema WHERE type = 'view'").await, [Value::Integer(69)]);
    engine.run(&["DROP VIEW v1", "CREATE VIEW v1 AS SELECT 1"]).await.expect("it is smaller now");
}

#[tokio::test]
async fn a_statement_takes_no_more_memory_than_it_may_and_the_connection_goes_on() {
    let engine = Engine::with(|config, _| config.max_memory_bytes = 64 << 20).await;
    let large = "SELECT length(printf('%.*c', 30000000, 'x'))";
    for _ in 0..5 {
        let error = engine.read_only(atomic(&[large])).await.expect_err("30 MB are more than a quarter");
        assert_eq!(error.reason, "STATEMENT_TOO_LARGE", "{error}");
        let write = format!("INSERT INTO t {large}");
        assert_eq!(engine.run(&[&write]).await.expect_err("as much").reason, "STATEMENT_TOO_LARGE");
    }
    engine.run(&["INSERT INTO t SELECT length(printf('%.*c', 3000000, 'x'))"]).await.expect("less");
    assert_eq!(engine.integers().await, [3_000_000]);
}

#[tokio::test]
async fn only_what_is_short_after_each_operation_is_run_on_the_runtimes_threads() {
    let engine = Engine::new().await;
    engine
        .run(&["CREATE TABLE u (a INTEGER PRIMARY KEY, b TEXT, c)", "CREATE INDEX i ON u (b)"])
        .await
        .expect("a table");
    for short in [
        "SELECT * FROM u WHERE a = 1",
        "SELECT b, length(c) FROM u WHERE b = 'x' ORDER BY c DESC LIMIT 10",
        "SELECT b, count(*), max(c) FROM u GROUP BY b",
        "SELECT u.a, v.a FROM u JOIN u AS v ON u.b = v.b WHERE v.a IN (1, 2, 3)",
        "SELECT coalesce(b, upper(c)) FROM u WHERE a BETWEEN 1 AND 9",
        "SELECT c ->> '$.name' FROM u WHERE a = 1",
        "SELECT b FROM u WHERE EXISTS (SELECT 1 FROM t WHERE t.a = u.a)",
    ] {
        assert_eq!(engine.route(&atomic(&[short])), Route::Pool, "it is not known yet: {short}");
        assert_eq!(route(&engine, short).await, Route::Now, "{short}");
    }
    for long in [
        "SELECT count(*) FROM u",
        "SELECT b FROM u WHERE b LIKE '%x%'",
        "SELECT b FROM u WHERE b GLOB '*x*'",
        "SELECT json_patch(b, c) FROM u",
        "SELECT printf('%.*c', 1000000, b) FROM u",
        "SELECT group_concat(b) FROM u",
        "SELECT * FROM json_each('[1]')",
        "PRAGMA integrity_check",
        "EXPLAIN SELECT 1",
    ] {
        assert_eq!(route(&engine, long).await, Route::Pool, "{long}");
    }
    for (sql, expected) in [
        ("insert into u values (1, 2, 3)", Route::Writer),
        ("  DELETE FROM u", Route::Writer),
        ("INSERTED", Route::Pool),
        ("WITH n AS (SELECT 1) DELETE FROM u", Route::Pool),
    ] {
        assert_eq!(engine.route(&atomic(&[sql])), expected, "{sql}");
    }
}

#[tokio::test]
async fn what_is_known_of_a_statement_is_forgotten_when_the_schema_changes() {
    let engine = Engine::new().await;
    engine.run(&["CREATE VIEW v AS SELECT a FROM t"]).await.expect("a view");
    let sql = "SELECT * FROM v";
    assert_eq!(route(&engine, sql).await, Route::Now);
    engine.run(&["DROP VIEW v", "CREATE VIEW v AS SELECT count(*) FROM t"]).await.expect("another view");
    assert_eq!(engine.route(&atomic(&[sql])), Route::Pool, "it is looked at anew");
    assert_eq!(route(&engine, sql).await, Route::Pool, "and is long now");
}

#[tokio::test]
async fn a_snapshot_that_is_over_keeps_nothing_of_the_log() {
    let engine = Engine::new().await;
    let busy =
        async || only(engine.run(&["PRAGMA wal_checkpoint(TRUNCATE)"]).await.expect("a checkpoint")).rows[0][0].clone();
    let snapshot = soon(engine.begin_read(&Cancel::default())).await.expect("a snapshot");
    engine.run(&["INSERT INTO t VALUES (1)"]).await.expect("a row");
    drop(snapshot);
    assert_eq!(busy().await, Value::Integer(0), "the log can be emptied at once");
}

#[tokio::test]
async fn a_snapshot_ends_with_its_time_idle_or_at_work() {
    let engine = Engine::with(|config, _| config.snapshot_timeout = Duration::from_millis(300)).await;
    let snapshot = soon(engine.begin_read(&Cancel::default())).await.expect("a snapshot");
    let running = snapshot.execute(atomic(&[ENDLESS_READ]), Cancel::default());
    assert_eq!(soon(running).await.expect_err("its time is over").reason, "SNAPSHOT_TIMEOUT");
    let after = snapshot.execute(atomic(&["SELECT 1"]), Cancel::default());
    assert_eq!(soon(after).await.expect_err("it is over").reason, "SNAPSHOT_TIMEOUT");
    let alone = engine.read(atomic(&[ENDLESS_READ]), Cancel::default());
    assert_eq!(soon(alone).await.expect_err("as much").reason, "SNAPSHOT_TIMEOUT");
}

#[tokio::test]
async fn the_oldest_snapshot_ends_when_the_log_is_too_large() {
    let engine = Engine::with(|config, _| config.max_wal_bytes = 1 << 20).await;
    let snapshot = soon(engine.begin_read(&Cancel::default())).await.expect("a snapshot");
    soon(async {
        loop {
            engine.run(&["INSERT INTO t VALUES (randomblob(200000))"]).await.expect("a row");
            let read = snapshot.execute(atomic(&["SELECT count(*) FROM t"]), Cancel::default()).await;
            match read {
                Ok(result) => assert_eq!(only(result).rows, [[Value::Integer(0)]], "it shows the same"),
                Err(error) => break assert_eq!(error.reason, "WAL_TOO_LARGE"),
            }
        }
    })
    .await;
}

/// A sink that cannot be stopped, as some of SQLite's operations cannot, until it is told to go on.
struct Blocks(std::sync::mpsc::Receiver<()>);

impl RowSink for Blocks {
    fn columns(&mut self, _: Vec<Column>) -> Result<(), Error> {
        Ok(())
    }

    fn row(&mut self, _: &RowValues<'_>) -> Result<(), Error> {
        let _ = self.0.recv();
        Ok(())
    }
}

#[tokio::test]
async fn a_read_that_cannot_be_stopped_is_answered_soon_after_its_deadline() {
    let engine = Engine::with(|config, _| config.readers = 1).await;
    let (go_on, wait) = std::sync::mpsc::channel();
    let cancel = Cancel::at(Some(std::time::Instant::now() + Duration::from_millis(20)));
    let error = soon(engine.query(statement("SELECT 1"), cancel, Box::new(Blocks(wait)))).await.expect_err("late");
    assert_eq!(error.reason, "DEADLINE_EXCEEDED");
    assert_eq!(engine.column("SELECT 1").await, [Value::Integer(1)], "the other connection goes on");
    drop(go_on);
}

#[tokio::test]
async fn a_snapshot_that_a_statement_has_lost_is_not_replaced_by_another() {
    let engine = Engine::with(|config, _| config.max_memory_bytes = 64 << 20).await;
    let snapshot = soon(engine.begin_read(&Cancel::default())).await.expect("a snapshot");
    let large = atomic(&["SELECT length(printf('%.*c', 30000000, 'x'))"]);
    let error = soon(snapshot.execute(large, Cancel::default())).await.expect_err("too much memory");
    assert_eq!(error.reason, "STATEMENT_TOO_LARGE");
    engine.run(&["INSERT INTO t VALUES (1)"]).await.expect("a row");
    match soon(snapshot.execute(atomic(&["SELECT count(*) FROM t"]), Cancel::default())).await {
        Ok(result) => assert_eq!(only(result).rows, [[Value::Integer(0)]], "it shows the same"),
        Err(error) => assert_eq!(error.reason, "TRANSACTION_LOST"),
    }
}
