//! The main job on real input: the Chinook sample database, loaded through the CLI.

mod support;

use std::{fs, path::Path};

use support::Daemon;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/chinook/chinook.sql");

/// Three of the eleven counts that everybody can look up; the others are compared with SQLite's.
const KNOWN_COUNTS: [(&str, i64); 3] = [("Track", 3503), ("PlaylistTrack", 8715), ("InvoiceLine", 2240)];

const JOIN: &str = "
    SELECT Artist.Name AS artist, count(*) AS tracks, round(sum(InvoiceLine.UnitPrice * InvoiceLine.Quantity), 2) AS sales
    FROM Artist JOIN Album USING (ArtistId) JOIN Track USING (AlbumId) JOIN InvoiceLine USING (TrackId)
    GROUP BY Artist.ArtistId ORDER BY sales DESC, artist LIMIT 3";

#[test]
fn the_eleven_tables_have_the_rows_that_sqlite_itself_gives_them() {
    let daemon = loaded();
    let expected = loaded_by_sqlite();
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let tables: Vec<String> = expected
        .prepare(names)
        .expect("prepare")
        .query_map([], |row| row.get(0))
        .expect("query")
        .map(|name| name.expect("a name"))
        .collect();
    assert_eq!(tables.len(), 11);

    for table in &tables {
        let count = format!("SELECT count(*) AS rows FROM \"{table}\"");
        let rows: i64 = expected.query_row(&count, [], |row| row.get(0)).expect("count");
        assert_eq!(daemon.value(&count), rows, "{table}");
    }
    for (table, rows) in KNOWN_COUNTS {
        assert_eq!(daemon.value(&format!("SELECT count(*) FROM {table}")), rows, "{table}");
    }
}

#[test]
fn every_table_has_the_same_content_as_with_sqlite_itself() {
    let mut daemon = loaded();
    daemon.stop();
    let loaded = daemon.folder().open_file();
    let expected = loaded_by_sqlite();
    for table in [
        "Album",
        "Artist",
        "Customer",
        "Employee",
        "Genre",
        "Invoice",
        "InvoiceLine",
        "MediaType",
        "Playlist",
        "PlaylistTrack",
        "Track",
    ] {
        assert_eq!(content(&loaded, table), content(&expected, table), "{table}");
    }
}

#[test]
fn a_join_is_printed_as_a_table() {
    let output = loaded().cli(["query", "--format", "table", JOIN]).success();
    let lines: Vec<&str> = output.stdout.lines().collect();
    for (artist, tracks, sales) in
        [("Iron Maiden", "140", "138.6"), ("U2", "107", "105.93"), ("Metallica", "91", "90.09")]
    {
        let line = lines
            .iter()
            .find(|line| line.contains(artist))
            .unwrap_or_else(|| panic!("no {artist} in\n{}", output.stdout));
        assert!(line.contains(tracks) && line.contains(sales), "{line}");
    }
    let header = lines.iter().find(|line| line.contains("artist")).expect("a header");
    assert!(header.contains("tracks") && header.contains("sales"), "{header}");
}

#[test]
fn loading_it_twice_is_harmless_because_the_script_says_so() {
    let daemon = loaded();
    daemon.cli(["execute", "--file", SCRIPT]).success();
    assert_eq!(daemon.value("SELECT count(*) FROM Track"), 3503);
}

fn loaded() -> Daemon {
    let daemon = Daemon::start();
    assert!(Path::new(SCRIPT).is_file());
    daemon.cli(["execute", "--file", SCRIPT]).success();
    daemon
}

fn loaded_by_sqlite() -> rusqlite::Connection {
    let script = fs::read_to_string(SCRIPT).expect("read the script");
    let database = rusqlite::Connection::open_in_memory().expect("a database in memory");
    database.execute_batch(script.trim_start_matches('\u{feff}')).expect("run the script");
    database
}

/// Every value of a table, as SQLite writes it as a literal.
fn content(database: &rusqlite::Connection, table: &str) -> Vec<Vec<rusqlite::types::Value>> {
    let mut select = database.prepare(&format!("SELECT * FROM \"{table}\" ORDER BY 1, 2")).expect("prepare");
    let columns = select.column_count();
    let rows = select.query_map([], |row| (0..columns).map(|column| row.get(column)).collect()).expect("query");
    rows.map(|row| row.expect("a row")).collect()
}
