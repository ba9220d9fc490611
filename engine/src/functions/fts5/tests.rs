//! The auxiliary functions beside SQLite's own, on tables of all kinds; and rows that would take SQLite's own for ever.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, ToSql, types::Value};

use super::super::{
    super::cancel::Interruption,
    tests::{GENEROUS, Random, guarded, plain},
};
use crate::Cancel;

/// The options of a table with the columns c0, c1 and c2, or the whole of it where it is not made like that.
const TABLES: &[&str] = &[
    "tokenize=unicode61",
    "tokenize=ascii, prefix='1 2'",
    "tokenize='porter unicode61'",
    "tokenize=trigram",
    "tokenize='trigram case_sensitive 1', detail=none",
    "tokenize=\"unicode61 separators 'b' tokenchars '.'\"",
    "detail=column",
    "detail=none",
    "columnsize=0",
    "content=''",
    "content='', columnsize=0",
    "content='', detail=none",
    "content='', contentless_delete=1, contentless_unindexed=1, u UNINDEXED",
    "content=source, content_rowid=id",
    "content=source, content_rowid=id, columnsize=0, detail=column",
    "content=source, content_rowid=id, tokenize=trigram",
    "content=source, content_rowid=id, columnsize=0",
    "u UNINDEXED, tokendata=1",
    "locale=1",
];

const WORDS: &[&str] =
    &["a", "b", "c", "ab", "abc", "bca", "running", "runs", "Ärger", "ärger", "日本", "x1", "e\u{301}"];

const BETWEEN: &[&str] =
    &[" ", " ", " ", " ", " ", "  ", ". ", ": ", ".", "\n", ".\t", ".\r", "...  ", ", ", "", "😀", " .. "];

const MARKS: &[&str] = &["'['", "']'", "'<b>'", "''", "NULL", "5", "x'2800'", "'x' || char(0) || 'y'", "'ä…'"];

fn text(random: &mut Random) -> String {
    let most = random.of(&[1, 4, 30, 30, 200]);
    let mut text = String::from(random.of(&["", "", "", " ", ". ", "\t"]));
    for _ in 0..random.below(most) {
        text += random.of(WORDS);
        text += if random.below(200) == 0 { "\0" } else { random.of(BETWEEN) };
    }
    text
}

fn value(random: &mut Random) -> Value {
    match random.below(30) {
        0 => Value::Null,
        1 => Value::Integer(17),
        2 => Value::Blob(text(random).into_bytes()),
        3 => Value::Text(" ".repeat(20) + "a.  " + &" ".repeat(20) + "b c"),
        _ => Value::Text(text(random)),
    }
}

fn query(random: &mut Random, depth: usize) -> String {
    let word = |random: &mut Random| random.of(WORDS).to_owned();
    if depth > 0 && random.below(3) > 0 {
        let operator = random.of(&["OR", "OR", "OR", "AND", "NOT"]);
        return format!("({} {operator} {})", query(random, depth - 1), query(random, depth - 1));
    }
    match random.below(12) {
        0 => format!("\"{}\"*", random.of(&["a", "r", "ab", "ä", "abc"])),
        1 => format!("\"{} {}\"", word(random), word(random)),
        2 => format!("\"{}\" + \"{}\"", word(random), word(random)),
        3 => format!("NEAR(\"{}\" \"{}\" a, {})", word(random), word(random), random.below(9)),
        4 => format!("^\"{}\"", word(random)),
        5 => format!("{{c0 c2}} : \"{}\"", word(random)),
        6 => format!("- c1 : \"{}\"", word(random)),
        7 => "\"abc\" OR \"bca\" OR \"a b\"".to_owned(),
        _ => format!("\"{}\"", word(random)),
    }
}

/// The call of a function, with all kinds of arguments.
fn call(random: &mut Random) -> String {
    let column = random.of(&["0", "0", "1", "2", "3", "-1", "-1", "4", "-2", "NULL", "'1'"]);
    let (open, close, ellipsis) = (random.of(MARKS), random.of(MARKS), random.of(MARKS));
    let width = match random.below(10) {
        0 => random.of(&["NULL", "'9'", "1000", "2147483000", "4294967299", "-2000000000"]).to_owned(),
        _ => (i64::try_from(random.below(141)).expect("small") - 70).to_string(),
    };
    match random.below(20) {
        0..10 => format!("snippet(t, {column}, {open}, {close}, {ellipsis}, {width})"),
        10..15 => format!("highlight(t, {column}, {open}, {close})"),
        15 => "bm25(t)".to_owned(),
        16 => "bm25(t, 2.5, '0.3', -1, 7, 9)".to_owned(),
        17 => "rank".to_owned(),
        18 => format!("snippet(t, {column}, {open}, {close}, {ellipsis})"),
        _ => format!("highlight(t, {})", [column; 4][..random.below(5)].join(", ")).replace(", )", ")"),
    }
}

/// All rows with their types and bytes, or the error behind them.
fn rows(connection: &Connection, sql: &str, parameters: &[&dyn ToSql]) -> String {
    let mut seen = String::new();
    let outcome = connection.prepare(sql).and_then(|mut statement| {
        let columns = statement.column_count();
        let mut rows = statement.query(parameters)?;
        while let Some(row) = rows.next()? {
            for column in 0..columns {
                let _ = write!(seen, "{:?} ", row.get_ref(column)?);
            }
        }
        Ok(())
    });
    format!("{seen}{outcome:?}")
}

fn setup(connections: &[&Connection], options: &str, random: &mut Random) {
    let has_source = options.contains("source");
    let of_locale = if options.contains("locale") { "fts5_locale('de', ?2)" } else { "?2" };
    for connection in connections {
        let sql = format!(
            "DROP TABLE IF EXISTS t; DROP TABLE IF EXISTS t_content; DROP TABLE IF EXISTS source; CREATE TABLE source(id INTEGER PRIMARY KEY, c0, c1, c2);
             CREATE VIRTUAL TABLE t USING fts5(c0, c1, c2, {options})"
        );
        connection.execute_batch(&sql).expect("a table");
    }
    for id in 1..=12 {
        let (a, b, c) = (value(random), value(random), value(random));
        for connection in connections {
            if has_source {
                connection.execute("INSERT INTO source VALUES (?, ?, ?, ?)", (id, &a, &b, &c)).expect("a row");
            }
            let sql = format!("INSERT INTO t(rowid, c0, c1, c2) VALUES (?1, {of_locale}, ?3, ?4)");
            connection.execute(&sql, (id, &a, &b, &c)).expect("a row");
        }
    }
    if has_source && random.below(2) == 0 {
        // The index is then not that of the text.
        let sql = "DELETE FROM source WHERE id = 3; UPDATE source SET c1 = 'a. b: c' WHERE id % 3 = 0;
                   UPDATE source SET c2 = NULL, c0 = c0 || '. abc' WHERE id % 5 = 1";
        for connection in connections {
            connection.execute_batch(sql).expect("rows");
        }
    }
}

fn same_for_random_queries(encoding: &str, seed: u64, rounds: usize) {
    let (ours, theirs) = (guarded().0, plain());
    let mut random = Random(seed);
    for connection in [&ours, &theirs] {
        connection.execute_batch(&format!("PRAGMA encoding = '{encoding}'")).expect("a setup that works");
    }
    let mut results = 0;
    for options in TABLES.iter().cycle().take(rounds * TABLES.len()) {
        setup(&[&ours, &theirs], options, &mut random);
        for _ in 0..60 {
            let query = query(&mut random, 2);
            let (condition, order) = match random.below(8) {
                0 => ("?1 IS NOT NULL", ""),
                1 | 2 => ("t MATCH ?1", "ORDER BY rank"),
                3 => ("t MATCH ?1", "ORDER BY rowid DESC"),
                _ => ("t MATCH ?1", ""),
            };
            let (one, other) = (call(&mut random), call(&mut random));
            let sql = format!("SELECT rowid, {one}, {other} FROM t WHERE {condition} {order}");
            let expected = rows(&theirs, &sql, &[&query]);
            assert_eq!(rows(&ours, &sql, &[&query]), expected, "{options}: {sql} with {query:?}");
            results += usize::from(expected.contains("Text("));
        }
    }
    assert!(results > rounds * TABLES.len() * 10, "only {results} queries found anything");
}

#[test]
fn the_functions_give_what_sqlite_gives() {
    same_for_random_queries("UTF-8", 0x5eed_0000_0000_0003, 12);
}

#[test]
fn the_functions_give_what_sqlite_gives_in_utf_16() {
    same_for_random_queries("UTF-16le", 0x5eed_0000_0000_0004, 3);
}

#[test]
fn a_second_phrase_counts_as_much_as_with_sqlite() {
    let (ours, theirs) = (guarded().0, plain());
    for connection in [&ours, &theirs] {
        connection.execute_batch("CREATE VIRTUAL TABLE t USING fts5(c0)").expect("a table");
    }
    let other = "x ".repeat(1_100);
    for (count, between, width) in (995..=1_005).flat_map(|n| [(n, " ", 1_050), (n, ". ", 1_050), (n / 10, ". ", 200)])
    {
        for stop in ["", ". "] {
            let text = format!("{other}{between}{}{other}{between}y{stop} a b {other}", "a ".repeat(count));
            let sql = "SELECT snippet(t, 0, '[', ']', '…', ?2) FROM t WHERE t MATCH ?1";
            let [ours, theirs] = [&ours, &theirs].map(|connection| {
                connection.execute("DELETE FROM t", []).expect("rows");
                connection.execute("INSERT INTO t VALUES (?)", [&text]).expect("a row");
                rows(connection, sql, &[&"a OR b", &width])
            });
            assert_eq!(ours, theirs, "{count}, {between:?}, {stop:?}");
        }
    }
}

#[test]
fn wrong_arguments_are_refused_as_by_sqlite() {
    let (ours, theirs) = (guarded().0, plain());
    setup(&[&ours, &theirs], "prefix=1", &mut Random(7));
    for call in ["snippet(t)", "snippet(t, 1, 2, 3, 4, 5, 6)", "snippet(1)", "snippet()", "highlight(t, 1)", "bm25(2)"]
    {
        for condition in ["t MATCH 'a'", "1"] {
            let sql = format!("SELECT {call} FROM t WHERE {condition}");
            let error = rows(&theirs, &sql, &[]);
            assert!(error.contains("Err("), "{sql}: {error}");
            assert_eq!(rows(&ours, &sql, &[]), error, "{sql}");
        }
    }
    for (column, condition) in [(9, "1"), (9, "t MATCH 'a OR b'"), (-9, "1")] {
        let sql = format!("SELECT snippet(t, {column}, 'x', 'y', 'z', 5) FROM t WHERE {condition}");
        assert_eq!(rows(&ours, &sql, &[]), rows(&theirs, &sql, &[]), "{sql}");
    }
}

/// A table with one row of a million matches.
fn with_large_row() -> (Connection, crate::cancel::Watch) {
    let (ours, watch) = guarded();
    ours.execute_batch(
        "CREATE VIRTUAL TABLE t USING fts5(c0);
         INSERT INTO t VALUES (replace(printf('%.*c', 250000, 'x'), 'x', 'a b. c d '));
         CREATE VIRTUAL TABLE spaces USING fts5(c0, tokenize=trigram);
         INSERT INTO spaces VALUES (printf('%.*c', 1000000, ' ') || 'abc')",
    )
    .expect("a table");
    (ours, watch)
}

fn many_phrases(count: usize) -> String {
    (0..count).map(|number| format!("a{number}")).collect::<Vec<_>>().join(" OR ")
}

#[test]
fn a_row_with_very_many_matches_takes_little_time() {
    let (ours, watch) = with_large_row();
    let phrases = format!("a OR b OR {}", many_phrases(100));
    for (call, table, query) in [
        ("highlight(t, 0, '<', '>')", "t", "a OR b OR c"),
        ("highlight(t, 0, '<', '>')", "t", &phrases),
        ("snippet(t, 0, '<', '>', '…', 64)", "t", "a OR b OR c"),
        ("snippet(t, -1, '<', '>', '…', 2000000)", "t", "a OR b OR c"),
        ("snippet(t, -1, '<', '>', '…', 900000)", "t", &phrases),
        ("snippet(spaces, 0, '<', '>', '…', 64)", "spaces", "abc"),
        ("bm25(t)", "t", &phrases),
    ] {
        let started = Instant::now();
        watch.begin(&Cancel::at(Some(started + GENEROUS)), None);
        let sql = format!("SELECT length({call}) FROM {table} WHERE {table} MATCH ?");
        let result = ours.query_row(&sql, [query], |row| row.get::<_, i64>(0));
        assert_eq!(watch.end(), None, "{sql}: {result:?}");
        assert!(result.is_ok_and(|length| length > 0), "{sql}");
        assert!(started.elapsed() < GENEROUS, "{sql}");
    }
}

#[test]
fn a_call_ends_with_its_statement() {
    let (ours, watch) = with_large_row();
    let same = vec!["a OR b OR c OR d"; 100].join(" OR ");
    let started = Instant::now();
    ours.query_row("SELECT 1 FROM t WHERE t MATCH ?", [&same], |_| Ok(())).expect("a row");
    // Enough for FTS5 to find the row, so that it is the function that ends.
    let deadline = 5 * started.elapsed() + Duration::from_millis(100);
    for call in ["highlight(t, 0, '<', '>')", "snippet(t, 0, '<', '>', '…', 64)", "bm25(t)"] {
        let started = Instant::now();
        watch.begin(&Cancel::at(Some(started + deadline)), None);
        let sql = format!("SELECT {call} FROM t WHERE t MATCH ?");
        let error = ours.query_row(&sql, [&same], |_| Ok(())).expect_err("it would take a minute");
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::OperationInterrupted), "{sql}: {error}");
        assert_eq!(watch.end(), Some(Interruption::Deadline), "{sql}");
        assert!(started.elapsed() < deadline + GENEROUS, "{sql}");
    }
}

#[test]
fn a_result_is_as_long_as_a_value_may_be() {
    let (ours, _) = with_large_row();
    let sql = "SELECT highlight(t, 0, printf('%.*c', 1000, '<'), '>') FROM t WHERE t MATCH 'a'";
    let error = ours.query_row(sql, [], |_| Ok(())).expect_err("250 MB");
    assert_eq!(error.sqlite_error_code(), Some(ErrorCode::TooBig), "{error}");
}
