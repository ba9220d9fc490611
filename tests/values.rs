//! Every value comes back as it was given, bit for bit, by every way in and out.

mod support;

use skylinedb::{Client, Params, Value, params};
use support::{Daemon, MIB};
use tokio_stream::StreamExt;

/// Blobs up to this size; together with its way back it fits into a message of 64 MiB and an answer of 16 MiB.
const LARGEST_BYTES: usize = 15 * MIB;

#[tokio::test]
async fn values_come_back_bit_for_bit() {
    let daemon = Daemon::start();
    daemon.execute("CREATE TABLE kept(id INTEGER PRIMARY KEY, x)");
    let client = daemon.client().await;
    for (given, kind) in values() {
        let back = there_and_back(&client, &given).await;
        assert!(same(&back, &given), "{given:?} came back as {back:?}");
        let stored = one(&client, "SELECT typeof(x) FROM kept", params![]).await;
        assert_eq!(stored, Value::Text(kind.to_owned()), "{given:?}");
    }
}

#[tokio::test]
async fn the_file_has_the_bits_that_were_given() {
    let daemon = Daemon::start();
    daemon.execute("CREATE TABLE kept(id INTEGER PRIMARY KEY, x)");
    let client = daemon.client().await;
    let file = daemon.folder().open_file();
    for (given, _) in values() {
        there_and_back(&client, &given).await;
        let stored =
            file.query_row("SELECT x FROM kept", [], |row| row.get::<_, rusqlite::types::Value>(0)).expect("a value");
        let stored = match stored {
            rusqlite::types::Value::Null => Value::Null,
            rusqlite::types::Value::Integer(integer) => Value::Integer(integer),
            rusqlite::types::Value::Real(real) => Value::Real(real),
            rusqlite::types::Value::Text(text) => Value::Text(text),
            rusqlite::types::Value::Blob(blob) => Value::Blob(blob),
        };
        assert!(same(&stored, &given), "{given:?} is stored as {stored:?}");
    }
}

#[tokio::test]
async fn a_nan_becomes_null_as_sqlite_has_it() {
    let daemon = Daemon::start();
    let client = daemon.client().await;
    daemon.execute("CREATE TABLE kept(id INTEGER PRIMARY KEY, x)");
    assert_eq!(there_and_back(&client, &Value::Real(f64::NAN)).await, Value::Null);
}

#[tokio::test]
async fn text_that_is_not_utf_8_comes_as_a_blob_with_every_byte() {
    let daemon = Daemon::start();
    let client = daemon.client().await;
    assert_eq!(
        one(&client, "SELECT CAST(x'61ff00fe' AS TEXT)", params![]).await,
        Value::Blob(vec![0x61, 0xff, 0x00, 0xfe])
    );
}

#[tokio::test]
async fn named_parameters_keep_every_bit_too() {
    let daemon = Daemon::start();
    let client = daemon.client().await;
    for (given, _) in values() {
        let back = one(&client, "SELECT :x", Params::named([("x", given.clone())])).await;
        assert!(same(&back, &given), "{given:?} came back as {back:?}");
    }
}

#[tokio::test]
async fn the_rowid_can_be_any_64_bit_integer() {
    let daemon = Daemon::start();
    daemon.execute("CREATE TABLE kept(id INTEGER PRIMARY KEY)");
    let client = daemon.client().await;
    for rowid in [i64::MIN, -1, 0, 1 << 53, (1 << 53) + 1, i64::MAX] {
        let inserted = client.execute("INSERT INTO kept VALUES (?)", params![rowid]).await.expect("an insert");
        assert_eq!(inserted.last_insert_rowid, rowid);
    }
}

#[test]
fn the_cli_prints_integers_exactly_and_blobs_in_full() {
    let daemon = Daemon::start();
    let sql =
        "SELECT 9223372036854775807 AS max, -9223372036854775808 AS min, 9007199254740993 AS odd, 'a\u{2603}' AS text";
    let output = daemon.cli(["query", "--format", "json", sql]).success();
    for digits in ["9223372036854775807", "-9223372036854775808", "9007199254740993", "a\u{2603}"] {
        assert!(output.stdout.contains(digits), "{output:#?}");
    }
}

/// A value of every kind and at every edge, and what SQLite calls its type.
fn values() -> Vec<(Value, &'static str)> {
    let integers = [0, 1, -1, 127, 128, -129, 1 << 53, (1 << 53) + 1, i64::MAX, i64::MIN];
    let reals =
        [0.0, -0.0, 0.1, 1e300, -5e-324, f64::MIN_POSITIVE, f64::MAX, f64::MIN, f64::INFINITY, f64::NEG_INFINITY];
    let texts =
        ["", "a", "\0", "a\0b\0", "snow \u{2603}", "\u{10ffff}", "'quoted; -- not a comment", "\u{feff}BOM", "\r\n"];
    let blobs = [vec![], vec![0], (0..=255).collect(), pattern(MIB), pattern(LARGEST_BYTES)];
    let mut values = vec![(Value::Null, "null")];
    values.extend(integers.map(|integer| (Value::Integer(integer), "integer")));
    values.extend(reals.map(|real| (Value::Real(real), "real")));
    values.extend(texts.map(|text| (Value::Text(text.to_owned()), "text")));
    values.push((Value::Text("x".repeat(LARGEST_BYTES)), "text"));
    values.extend(blobs.map(|blob| (Value::Blob(blob), "blob")));
    values
}

fn pattern(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

/// Stores a value, looks that RETURNING gives it back, and reads it again.
async fn there_and_back(client: &Client, given: &Value) -> Value {
    let insert = "INSERT OR REPLACE INTO kept VALUES (1, ?) RETURNING x";
    let inserted = client.execute(insert, params![given.clone()]).await.expect("an insert");
    let returned = inserted.rows[0].values()[0].clone();
    let read = one(client, "SELECT x FROM kept", params![]).await;
    assert!(same(&read, &returned), "RETURNING gave {returned:?}, SELECT gave {read:?}");
    read
}

/// The only value of a query.
async fn one(client: &Client, sql: &str, params: Params) -> Value {
    let mut rows = client.query(sql, params).await.expect("a query");
    let row = rows.next().await.expect("a row").expect("no error");
    row.values()[0].clone()
}

/// Equal with every bit, where `==` takes 0.0 for -0.0.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Real(left), Value::Real(right)) => left.to_bits() == right.to_bits(),
        _ => left == right,
    }
}
