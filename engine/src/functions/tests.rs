//! Each function beside SQLite's own, on arguments of all kinds; and calls that would take SQLite's own for ever.

use std::time::{Duration, Instant};

use rusqlite::{
    Connection, Statement,
    types::{ToSqlOutput, Value, ValueRef},
};

use super::{
    super::{cancel::Interruption, sqlite3::memory},
    *,
};
use crate::Cancel;

const MAX_VALUE_BYTES: i32 = 64 << 20;

/// No call takes so long, even in an unoptimised build on a busy machine. Most of SQLite's own would take hours.
pub(super) const GENEROUS: Duration = Duration::from_secs(30);

pub(super) fn guarded() -> (Connection, Watch) {
    let connection = plain();
    let watch = Watch::default();
    watch.install(&connection, 1_000).expect("a setup that works");
    install(&connection, &watch, MAX_VALUE_BYTES).expect("a setup that works");
    (connection, watch)
}

pub(super) fn plain() -> Connection {
    memory::install().expect("before the first connection of the process");
    let connection = Connection::open_in_memory().expect("a setup that works");
    connection.set_limit(rusqlite::limits::Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES).expect("a setup that works");
    connection
}

/// The same numbers in each run (xorshift).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).expect("a 64-bit machine") % end
    }

    pub(super) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Bytes of few kinds, so that they often match one another.
    fn bytes(&mut self, pieces: &[&[u8]], max: usize) -> Vec<u8> {
        (0..self.below(max)).flat_map(|_| self.of(pieces).to_vec()).collect()
    }

    fn argument(&mut self, pieces: &[&[u8]], max: usize) -> Argument {
        match self.below(20) {
            0 => Argument::Other(Value::Null),
            1 => Argument::Other(Value::Integer(self.of(&[0, 1, -1, 11, 101, i64::MIN]))),
            2 => Argument::Other(Value::Real(self.of(&[0.0, 1.5, -1e300, 1e-7, f64::INFINITY]))),
            3 | 4 => Argument::Blob(self.bytes(pieces, max)),
            _ => Argument::Text(self.bytes(pieces, max)),
        }
    }
}

#[derive(Clone, Debug)]
enum Argument {
    Text(Vec<u8>),
    Blob(Vec<u8>),
    Other(Value),
}

impl rusqlite::ToSql for Argument {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Text(bytes) => ValueRef::Text(bytes),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
            Self::Other(value) => value.into(),
        }))
    }
}

/// What a statement gives: type and bytes of all columns, or the error.
fn outcome(statement: &mut Statement<'_>, arguments: &[Argument]) -> String {
    let columns = statement.column_count();
    let row = statement.query_row(rusqlite::params_from_iter(arguments), |row| {
        let values: Vec<_> = (0..columns).map(|index| format!("{:?}", row.get_ref(index))).collect();
        Ok(values.join(" "))
    });
    row.unwrap_or_else(|error| error.to_string())
}

fn same_for_random_arguments(expressions: &[&str], pieces: &[&[u8]], max: usize, rounds: usize) {
    let (guarded, plain) = (guarded().0, plain());
    for expression in expressions {
        let parameters = expression.matches('?').count();
        // The type of an argument after the call, too: to read a blob as text changes it.
        let types: Vec<_> = (1..=parameters).map(|number| format!("typeof(x{number})")).collect();
        let names: Vec<_> = (1..=parameters).map(|number| format!("? AS x{number}")).collect();
        let call = (1..=parameters).fold((*expression).to_owned(), |call, n| call.replacen('?', &format!("x{n}"), 1));
        let sql = format!("SELECT {call}, {} FROM (SELECT {} LIMIT -1 OFFSET 0)", types.join(", "), names.join(", "));
        let mut theirs = plain.prepare(&sql).expect("SQL that compiles");
        let mut ours = guarded.prepare(&sql).expect("SQL that compiles");
        let mut random = Random(0x5eed_0000_0000_0001 + expression.len() as u64);
        for _ in 0..rounds {
            let arguments: Vec<_> = (0..parameters).map(|_| random.argument(pieces, max)).collect();
            assert_eq!(
                outcome(&mut ours, &arguments),
                outcome(&mut theirs, &arguments),
                "{expression} of {arguments:?}"
            );
        }
    }
}

/// Letters, characters of two to four bytes, their parts, and a NUL.
const PIECES: &[&[u8]] = &[
    b"a",
    b"b",
    b"A",
    b" ",
    b"1",
    "ä".as_bytes(),
    "€".as_bytes(),
    "😀".as_bytes(),
    b"\xc3",
    b"\xa4",
    b"\xe2\x82",
    b"\x80",
    b"\xff",
    b"\0",
];

#[test]
fn searching_gives_what_sqlite_gives() {
    same_for_random_arguments(&["instr(?, ?)", "replace(?, ?, ?)"], PIECES, 4, 3_000);
    same_for_random_arguments(&["instr(?, ?)", "replace(?, ?, ?)"], &[b"a", b"b", b"\xa4"], 12, 3_000);
    same_for_random_arguments(
        &["unhex(?, ?)"],
        &[b"a", b"1", b"F", b"-", b" ", "ä".as_bytes(), b"\xc3", b"\0"],
        6,
        5_000,
    );
}

#[test]
fn trimming_gives_what_sqlite_gives() {
    let one = ["trim(?)", "ltrim(?)", "rtrim(?)"];
    let two = ["trim(?, ?)", "ltrim(?, ?)", "rtrim(?, ?)"];
    same_for_random_arguments(&one, &[b"a", b" ", b"\0", b"\xc3"], 6, 1_000);
    same_for_random_arguments(&two, PIECES, 6, 3_000);
    // Long enough for the index, and of pieces that are one another's beginnings and ends.
    same_for_random_arguments(&two, &[b"\xc3", b"\xa4", b"\xa4", b"a"], 300, 1_000);
    same_for_random_arguments(&two, &[b"\xc3\xa4", b"\xc3\xa4\xa4", b"\xa4", b"\xe2\x82\xac", b"\xff"], 150, 1_000);
}

#[test]
fn patterns_match_what_sqlite_matches() {
    let pieces: &[&[u8]] = &[
        b"a",
        b"a",
        b"b",
        b"A",
        b"%",
        b"_",
        b"*",
        b"?",
        b"[",
        b"]",
        b"^",
        b"-",
        b"!",
        "ä".as_bytes(),
        b"\xc3",
        b"\xa4",
        b"\0",
    ];
    let expressions = ["? LIKE ?", "? GLOB ?", "? LIKE ? ESCAPE '!'", "? LIKE ? ESCAPE '%'", "? LIKE ? ESCAPE '_'"];
    same_for_random_arguments(&expressions, pieces, 8, 6_000);
    same_for_random_arguments(&["? LIKE ? ESCAPE ?"], pieces, 3, 3_000);
    same_for_random_arguments(&["? LIKE ?"], &[b"a", b"b", b"%", b"_"], 14, 5_000);
    same_for_random_arguments(&["? GLOB ?"], &[b"a", b"b", b"*", b"?", b"[a]", b"[^b]", b"[a-b]"], 14, 5_000);
}

#[test]
fn json_functions_give_what_sqlite_gives() {
    let (guarded, plain) = (guarded().0, plain());
    for sql in [
        "json_patch('{\"a\":1,\"b\":{\"c\":2}}', '{\"b\":{\"c\":null,\"d\":[1]},\"e\":\"x\"}')",
        "json_patch('{}', NULL)",
        "json_patch('{', '{}')",
        "json_patch(jsonb('{\"a\":1}'), '{\"a\":2}')",
        "hex(jsonb_patch('{\"a\":1}', '{\"b\":2}'))",
        "json_array(json_patch('{}', '{\"a\":1}'))",
        "subtype(json_patch('{}', '{}'))",
        "json_set('{}', '$.a', '[1]', '$.b', json('[1, 2]'), '$.c', 1.5, '$.d', NULL, '$.e', jsonb('[3]'))",
        "json_set('{}', '$.a', x'00')",
        "json_set('{}', '$.a')",
        "json_set('{}')",
        "json_set()",
        "json_set('{}', 'a', 1)",
        "json_set(NULL, '$.a', 1)",
        "json_insert('[1,2]', '$[#]', 3)",
        "json_replace('{\"a\":1}', '$.a', json_object('b', 2))",
        "json_remove('{\"a\":1,\"b\":2}', '$.a', '$.c')",
        "json_remove('{}', '$')",
        "json_array_insert('[1,3]', '$[1]', 2)",
        "hex(jsonb_set('{}', '$.a', 1))",
        "json_array(json_set('{}', '$.a', 1))",
        "json_extract('[1,2,3,4,5,6]', '$[0]', '$[1]', '$[2]', '$[3]', '$[4]', '$[9]')",
        "json_array(json_extract('[1,2]', '$[0]', '$[1]', '$[2]', '$[3]', '$[4]'))",
        "hex(jsonb_extract('[1,2]', '$[0]', '$[1]', '$[2]', '$[3]', '$[4]'))",
        "json_extract('[1,2]', '$[0]', '$[1]', '$[2]', '$[3]', NULL)",
        "json_extract('[1,2]', '$[0]', '$[1]', '$[2]', '$[3]', 'x')",
        "json_extract(5, '$', '$', '$', '$', '$')",
    ] {
        let result = |connection: &Connection| {
            let sql = format!("SELECT {sql}");
            connection.prepare(&sql).map_or_else(|error| error.to_string(), |mut s| outcome(&mut s, &[]))
        };
        assert_eq!(result(&guarded), result(&plain), "{sql}");
    }
}

#[test]
fn indexes_are_used_for_patterns_as_by_sqlite() {
    let query_plan = |connection: &Connection, condition: &str| -> Vec<String> {
        connection
            .execute_batch(
                "CREATE TABLE IF NOT EXISTS t(a TEXT, b TEXT COLLATE NOCASE);
                 CREATE INDEX IF NOT EXISTS ta ON t(a); CREATE INDEX IF NOT EXISTS tb ON t(b)",
            )
            .expect("a setup that works");
        let mut statement =
            connection.prepare(&format!("EXPLAIN QUERY PLAN SELECT * FROM t WHERE {condition}")).expect("SQL");
        let details = statement.query_map([], |row| row.get(3)).expect("a query");
        details.collect::<rusqlite::Result<_>>().expect("rows")
    };
    let (guarded, plain) = (guarded().0, plain());
    for (condition, is_search) in [
        ("b LIKE 'x%'", true),
        ("b LIKE 'x!%%' ESCAPE '!'", true),
        ("a GLOB 'x*'", true),
        ("a LIKE 'x%'", false),
        ("b LIKE '%x'", false),
        ("a GLOB '[x]*'", false),
    ] {
        let ours = query_plan(&guarded, condition);
        assert_eq!(ours, query_plan(&plain, condition), "{condition}");
        assert_eq!(ours[0].starts_with("SEARCH"), is_search, "{condition}: {ours:?}");
    }
}

#[test]
fn indexes_over_the_functions_are_whole_to_other_programs() {
    let folder = tempfile::tempdir().expect("a setup that works");
    let path = folder.path().join("x.db");
    memory::install().expect("before the first connection of the process");
    let connection = Connection::open(&path).expect("a setup that works");
    install(&connection, &Watch::default(), MAX_VALUE_BYTES).expect("a setup that works");
    connection
        .execute_batch(
            "PRAGMA trusted_schema = OFF;
             CREATE TABLE t(a, b AS (trim(a, 'x')) STORED, CHECK (a NOT LIKE 'bad%'));
             CREATE INDEX by_replace ON t(replace(a, 'l', 'ä'));
             CREATE INDEX by_json ON t(json_set('{}', '$.a', a)) WHERE instr(a, 'a') > 0;
             INSERT INTO t(a) VALUES ('xhallo'), (NULL), (12.5), (CAST(x'ff6c' AS TEXT))",
        )
        .expect("functions that the schema may use");
    assert!(connection.execute("INSERT INTO t(a) VALUES ('badly')", []).is_err());
    drop(connection);
    let other = Connection::open(&path).expect("a setup that works");
    let verdict: String = other.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a verdict");
    assert_eq!(verdict, "ok");
}

#[test]
fn the_functions_leave_the_connection_its_store_of_small_allocations() {
    let (guarded, plain) = (guarded().0, plain());
    for connection in [&guarded, &plain] {
        connection.query_row("SELECT group_concat(name) FROM pragma_table_list", [], |_| Ok(())).expect("a query");
    }
    let used = crate::sqlite3_function::lookaside_used;
    assert_eq!(used(&guarded).0, used(&plain).0);
    assert!(used(&guarded).1 > 0, "small allocations come from malloc");
}

#[test]
fn every_hostile_call_ends() {
    let a = |count: usize| format!("printf('%.*c', {count}, 'a')");
    let (million, half) = (a(4_000_000), a(2_000_000));
    let spread = |count: usize, text: &str| format!("replace({}, 'a', '{text}')", a(count));
    let (ours, watch) = guarded();
    for (sql, is_refused) in [
        (format!("instr({million}, {half} || 'b')"), false),
        (format!("instr(CAST({million} AS BLOB), CAST({half} || 'b' AS BLOB))"), false),
        (format!("replace({million}, {half} || 'b', 'x')"), false),
        (format!("replace({million}, 'a', 'xyz')"), false),
        (format!("trim({million}, {} || 'a')", spread(400_000, "b")), false),
        (format!("trim({}, {} || 'ö')", spread(300_000, "ö"), spread(200_000, "ä")), false),
        (format!("rtrim({}, {} || 'ö')", spread(300_000, "ö"), spread(200_000, "ä")), false),
        (format!("trim('ö' || {million}, {})", spread(1_000_000, "ä")), true),
        (format!("unhex({}, {} || '-')", spread(500_000, "-"), spread(500_000, "ä")), false),
        // A level of recursion for each % overflows the stack in SQLite's own.
        (format!("{} LIKE {}", a(25_000), spread(25_000, "%a")), false),
        (format!("{} GLOB {}", a(25_000), spread(25_000, "*a")), false),
        (
            format!(
                "json_patch('{{' || {} || '\"a\":0}}', '{{' || {} || '\"a\":1}}')",
                spread(40_000, "\"b\":0,"),
                spread(40_000, "\"c\":1,")
            ),
            true,
        ),
        (format!("json_set('[' || {} || '0]'{})", spread(4_000_000, "0,"), ", '$[#-1]', 1".repeat(120)), true),
        (format!("json_extract('[' || {} || '0]'{})", spread(4_000_000, "0,"), ", '$[#-1]'".repeat(250)), true),
        (format!("json_remove('[' || {} || '0]', '${}')", spread(4_000_000, "0,"), "[0]".repeat(900)), true),
    ] {
        let started = Instant::now();
        watch.begin(&Cancel::at(Some(started + GENEROUS)), None);
        let result = ours.query_row(&format!("SELECT length({sql})"), [], |_| Ok(()));
        let interruption = watch.end();
        let sql = &sql[..sql.len().min(200)];
        assert_eq!((result.is_err(), interruption), (is_refused, None), "{sql}: {result:?}");
        assert!(started.elapsed() < GENEROUS, "{sql}");
    }
}

#[test]
fn a_pattern_that_takes_long_ends_with_its_statement() {
    let (ours, watch) = guarded();
    for sql in [
        "SELECT printf('%.*c', 40000000, 'a') LIKE printf('%%%.*cb', 40000, 'a')",
        "SELECT printf('%.*c', 40000000, 'a') GLOB printf('*[%.*c]', 40000, 'b')",
    ] {
        let cancel = Cancel::at(Some(Instant::now() + Duration::from_millis(200)));
        watch.begin(&cancel, None);
        let started = Instant::now();
        let error = ours.query_row(sql, [], |_| Ok(())).expect_err("it would take half an hour");
        assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::OperationInterrupted), "{sql}: {error}");
        assert_eq!(watch.end(), Some(Interruption::Deadline), "{sql}");
        assert!(started.elapsed() < GENEROUS, "{sql}");
    }
}
