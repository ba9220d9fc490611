//! The databases that the cases work on. They are made once, by SQLite itself, and each daemon gets a copy.

use std::{fs, path::Path};

use rusqlite::Connection;

use super::case::Tables;

/// Recursive triggers are a chain of tables: each row inserted into one inserts two into the next.
const CHAIN_TABLES: usize = 24;

/// Views that join the one before with itself: the last has 2^15 tables.
const NESTED_VIEWS: usize = 16;

/// Tables and views of the large schema.
const TABLES: usize = 2_000;
const VIEWS: usize = 8_000;

/// A counter for the statements below.
const COUNT: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT";

/// Makes the database file.
pub(crate) fn make(tables: Tables, path: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; BEGIN;")?;
    match tables {
        Tables::Common => make_common(&connection)?,
        Tables::TenThousand => make_ten_thousand(&connection)?,
    }
    connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE);")?;
    connection.close().map_err(|(_, error)| error)?;
    fs::remove_file(path.with_extension("db-wal")).ok();
    fs::remove_file(path.with_extension("db-shm")).ok();
    Ok(())
}

fn make_common(connection: &Connection) -> rusqlite::Result<()> {
    let run = |sql: String| connection.execute_batch(&sql);
    // Many rows, with an index.
    run("CREATE TABLE big(id INTEGER PRIMARY KEY, k INTEGER, t TEXT); CREATE INDEX big_k ON big(k);".into())?;
    run(format!(
        "{COUNT} 300000) INSERT INTO big SELECT i, i * 7919 % 100003, printf('row %d of %08x and more', i, i * 77777) FROM n;"
    ))?;
    // One row a page: counting them is one opcode that reads the whole tree.
    run("CREATE TABLE leafy(id INTEGER PRIMARY KEY, body TEXT);".into())?;
    run(format!("{COUNT} 30000) INSERT INTO leafy SELECT i, printf('%.*c', 4000, 'x') FROM n;"))?;
    // Large values.
    run("CREATE TABLE blob(id INTEGER PRIMARY KEY, b BLOB);
         INSERT INTO blob VALUES (1, zeroblob(48000000)), (2, randomblob(12000000)), (3, randomblob(12000000)),
             (4, zeroblob(12000000));
         CREATE TABLE large(id INTEGER PRIMARY KEY, t TEXT);
         INSERT INTO large VALUES (1, printf('%.*c', 8000000, 'a')), (2, printf('%.*cb', 4000000, 'a'));"
        .into())?;
    // Documents: small ones, an object with many names, an array with many elements.
    run("CREATE TABLE doc(id INTEGER PRIMARY KEY, j TEXT);".into())?;
    run(format!(
        "{COUNT} 20000) INSERT INTO doc SELECT i, json_object('id', i, 'tags', json_array(i, i + 1, 'x' || i), \
         'in', json_object('a', i, 'b', hex(i))) FROM n;"
    ))?;
    run("CREATE TABLE wide_doc(id INTEGER PRIMARY KEY, j TEXT);".into())?;
    run(format!("{COUNT} 50000) INSERT INTO wide_doc SELECT 1, json_group_object('name' || i, i) FROM n;"))?;
    run(format!("{COUNT} 50000) INSERT INTO wide_doc SELECT 2, json_group_object('other' || i, i) FROM n;"))?;
    run(format!("{COUNT} 500000) INSERT INTO wide_doc SELECT 3, json_group_array(i) FROM n;"))?;
    // Full text, boxes.
    run("CREATE VIRTUAL TABLE fts USING fts5(t); CREATE VIRTUAL TABLE fts_old USING fts3(t);
         CREATE VIRTUAL TABLE fts_words USING fts5vocab(fts, instance);
         CREATE VIRTUAL TABLE box USING rtree(id, x0, x1, y0, y1);"
        .into())?;
    let words = "printf('a%d b%d c%d the same words in each row a b c d e f g h %x', i, i % 100, i % 7, i * 7919)";
    run(format!("{COUNT} 30000) INSERT INTO fts SELECT {words} FROM n;"))?;
    run(format!("{COUNT} 10000) INSERT INTO fts_old SELECT {words} FROM n;"))?;
    run("INSERT INTO fts VALUES (replace(printf('%.*c', 500000, 'x'), 'x', 'a b c '));
         INSERT INTO fts_old VALUES (replace(printf('%.*c', 100000, 'x'), 'x', 'a b c '));"
        .into())?;
    run(format!("{COUNT} 50000) INSERT INTO box SELECT i, i % 500, i % 500 + 9, i % 499, i % 499 + 9 FROM n;"))?;
    make_relations(connection)
}

fn make_relations(connection: &Connection) -> rusqlite::Result<()> {
    let run = |sql: String| connection.execute_batch(&sql);
    // A foreign key whose column has no index, and keys that refer to nothing.
    run("CREATE TABLE parent(id INTEGER PRIMARY KEY);
         CREATE TABLE child(id INTEGER PRIMARY KEY, parent REFERENCES parent DEFERRABLE INITIALLY DEFERRED);"
        .into())?;
    run(format!("{COUNT} 20000) INSERT INTO parent SELECT i FROM n;"))?;
    run(format!("{COUNT} 20000) INSERT INTO child SELECT i, i FROM n;"))?;
    // Unique, for UPSERT and for conflicts.
    run("CREATE TABLE keyed(k TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID;".into())?;
    run(format!("{COUNT} 20000) INSERT INTO keyed SELECT 'key' || i, i FROM n;"))?;
    // An expensive generated column.
    run("CREATE TABLE made(a TEXT, b AS (replace(hex(a), '6', a)) STORED);".into())?;
    for table in 0..=CHAIN_TABLES {
        run(format!("CREATE TABLE chain{table}(x);"))?;
    }
    for table in 0..CHAIN_TABLES {
        let next = table + 1;
        run(format!(
            "CREATE TRIGGER chain_of{table} AFTER INSERT ON chain{table} BEGIN
                 INSERT INTO chain{next} VALUES (new.x), (new.x + 1); END;"
        ))?;
    }
    // A trigger that makes its own table grow, if recursive triggers are on.
    run("CREATE TABLE looped(x); CREATE TRIGGER looped_on AFTER INSERT ON looped WHEN new.x < 1000000 BEGIN
             INSERT INTO looped VALUES (new.x + 1); END;"
        .into())?;
    // Many columns, many indexes.
    let columns = |count: usize| (0..count).map(|i| format!("c{i}")).collect::<Vec<_>>().join(", ");
    run(format!("CREATE TABLE columns({});", columns(1_990)))?;
    run(format!("INSERT INTO columns(c0) {COUNT} 500) SELECT i FROM n;"))?;
    run(format!("CREATE TABLE indexed({});", columns(60)))?;
    for index in 0..60 {
        run(format!("CREATE INDEX indexed_c{index} ON indexed(c{index}, c{});", (index + 1) % 60))?;
    }
    // Points, for reads by key.
    run("CREATE TABLE point(id INTEGER PRIMARY KEY, name TEXT);".into())?;
    run(format!("{COUNT} 10000) INSERT INTO point SELECT i, 'name ' || i FROM n;"))?;
    run("CREATE TABLE written(id INTEGER PRIMARY KEY, x);".into())
}

/// The same table names as far as bystanders use them, and 10,000 tables and views.
fn make_ten_thousand(connection: &Connection) -> rusqlite::Result<()> {
    let run = |sql: String| connection.execute_batch(&sql);
    run("CREATE TABLE point(id INTEGER PRIMARY KEY, name TEXT);".into())?;
    run(format!("{COUNT} 10000) INSERT INTO point SELECT i, 'name ' || i FROM n;"))?;
    run("CREATE TABLE written(id INTEGER PRIMARY KEY, x);".into())?;
    for table in 0..TABLES {
        run(format!("CREATE TABLE t{table}(id INTEGER PRIMARY KEY, a TEXT, b TEXT);"))?;
    }
    // SQLite looks through the whole schema for each CREATE; this way it does not, and there are enough of them to parse.
    run(format!(
        "PRAGMA writable_schema = ON; {COUNT} {VIEWS}) INSERT INTO sqlite_schema
             SELECT 'view', 'v' || i, 'v' || i, 0, printf('CREATE VIEW v%d AS SELECT id, a, b FROM t%d', i, i % {TABLES}) FROM n;
         PRAGMA writable_schema = OFF;"
    ))
}

/// Views of views, the last of which SQLite cannot compile: a case makes them itself, because they burden every change of
/// the schema.
pub(crate) fn nested_views() -> Vec<String> {
    let first = "CREATE VIEW v0 AS SELECT 1 AS x".to_owned();
    let others = (1..=NESTED_VIEWS).map(|i| {
        let before = i - 1;
        format!("CREATE VIEW v{i} AS SELECT a.x FROM v{before} a, v{before} b")
    });
    std::iter::once(first).chain(others).collect()
}
