//! A million rows pass through the daemon, the CLI and the client library in flat memory.

mod support;

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    process::Stdio,
};

use skylinedb::{Value, params};
use support::{Daemon, MIB, peak_rss_bytes, start};
use tokio_stream::StreamExt;

const ROWS: i64 = 1_000_000;

/// What a million rows of more than 100 bytes may cost beyond what was there before. The rows together are over 100 MiB.
const FLAT_BYTES: usize = 32 * MIB;

/// A million rows that no table needs to hold.
const MILLION: &str = "
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000)
    SELECT i, 'row ' || i AS name, i * 0.5 AS half, printf('%.100c', 'x') AS filler FROM n";

#[test]
fn the_cli_and_the_daemon_stay_flat_in_every_format() {
    let daemon = Daemon::start();
    daemon.cli(["query", "SELECT 1"]).success();
    // A format takes half a minute under Wine, whose pipes are slow.
    let formats: &[_] = if cfg!(windows) { &["json"] } else { &["json", "csv", "line", "table"] };
    for format in formats {
        let daemon_before = daemon.peak_rss_bytes();
        let mut cli = start(daemon.folder().cli_command().args(["query", "--format", *format, MILLION]));
        let mut output = BufReader::new(cli.stdout());

        // Near the end, but with more to come than any pipe holds, so that the CLI is still there to be measured.
        let mut lines = 0;
        let mut line = String::new();
        let mut cli_before = 0;
        while lines < ROWS * 9 / 10 && output.read_line(&mut line).expect("a line") > 0 {
            lines += 1;
            line.clear();
            if lines == 1 {
                cli_before = peak_rss_bytes(cli.pid());
            }
        }
        let cli_grew = peak_rss_bytes(cli.pid()).saturating_sub(cli_before);
        let daemon_grew = daemon.peak_rss_bytes().saturating_sub(daemon_before);
        std::io::copy(&mut output, &mut std::io::sink()).expect("the rest");
        assert!(cli.wait().success());

        println!("{format}: the CLI grew by {} MiB, the daemon by {} MiB", cli_grew / MIB, daemon_grew / MIB);
        assert!(cli_grew < FLAT_BYTES, "{format}: the CLI grew by {cli_grew} bytes");
        assert!(daemon_grew < FLAT_BYTES, "{format}: the daemon grew by {daemon_grew} bytes");
    }
}

#[tokio::test]
async fn the_library_and_the_daemon_stay_flat() {
    let daemon = Daemon::start();
    let client = daemon.client().await;
    client.query("SELECT 1", params![]).await.expect("a query");
    let before = (peak_rss_bytes(std::process::id()), daemon.peak_rss_bytes());

    let mut rows = client.query(MILLION, params![]).await.expect("a query");
    let mut count = 0;
    while let Some(row) = rows.next().await {
        count += 1;
        assert_eq!(row.expect("a row").values()[0], Value::Integer(count));
    }

    assert_eq!(count, ROWS);
    assert!(peak_rss_bytes(std::process::id()).saturating_sub(before.0) < FLAT_BYTES, "the client");
    assert!(daemon.peak_rss_bytes().saturating_sub(before.1) < FLAT_BYTES, "the daemon");
}

#[tokio::test]
async fn a_table_of_a_million_rows_streams_flat_and_complete() {
    let daemon = Daemon::start();
    daemon.execute("CREATE TABLE big(i INTEGER PRIMARY KEY, filler TEXT)");
    daemon.execute(
        "INSERT INTO big WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000)
         SELECT i, printf('%.100c', 'x') FROM n",
    );
    let before = daemon.peak_rss_bytes();
    let client = daemon.client().await;

    let mut rows = client.query("SELECT * FROM big ORDER BY i", params![]).await.expect("a query");
    let mut sum = 0;
    while let Some(row) = rows.next().await {
        let Value::Integer(i) = row.expect("a row").values()[0] else { panic!("an integer") };
        sum += i;
    }

    assert_eq!(sum, ROWS * (ROWS + 1) / 2);
    assert!(daemon.peak_rss_bytes().saturating_sub(before) < FLAT_BYTES);
}

#[tokio::test]
async fn slow_readers_cost_no_memory_and_hold_nobody_up() {
    const SLOW: usize = 4;
    let daemon = Daemon::start();
    daemon.execute("CREATE TABLE t(x)");
    let client = daemon.client().await;
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let mut rows = client.query(MILLION, params![]).await.expect("a query");
        rows.next().await.expect("a first row").expect("no error");
        slow.push(rows);
    }
    let before = daemon.peak_rss_bytes();

    let other = daemon.client().await;
    for x in 0..500 {
        other.execute("INSERT INTO t VALUES (?)", params![x]).await.expect("a write");
    }

    let grew = daemon.peak_rss_bytes().saturating_sub(before);
    assert!(grew < FLAT_BYTES, "the daemon grew by {grew} bytes while nobody took the rows");
    let mut rows = slow.pop().expect("a reader");
    drop(slow);
    let mut count = 1;
    while let Some(row) = rows.next().await {
        row.expect("a row");
        count += 1;
    }
    assert_eq!(count, ROWS, "whoever is slow gets everything nevertheless");
}

#[test]
fn a_reader_that_goes_away_frees_its_connection() {
    const READERS: usize = 40; // far more than the daemon has connections
    let daemon = Daemon::start();
    for _ in 0..READERS {
        let mut cli =
            start(daemon.folder().cli_command().args(["query", "--format", "csv", MILLION]).stderr(Stdio::null()));
        cli.stdout().read_exact(&mut [0; 1000]).expect("the first bytes");
        // Dropped, and so killed, in the middle of its rows.
    }
    daemon.cli(["query", "SELECT 1"]).success();
}

#[test]
fn the_cli_ends_quietly_when_its_reader_has_enough() {
    let daemon = Daemon::start();
    let stderr = daemon.folder().path().join("stderr");
    let mut command = daemon.folder().cli_command();
    command.args(["query", "--format", "csv", MILLION]).stderr(File::create(&stderr).expect("a file"));
    let mut cli = start(&mut command);
    let mut first = String::new();
    BufReader::new(cli.stdout()).read_line(&mut first).expect("a line"); // and the pipe is closed
    assert!(cli.wait().success());
    assert_eq!(first.trim_end(), "i,name,half,filler");
    assert_eq!(std::fs::read_to_string(stderr).expect("read"), "");
}
