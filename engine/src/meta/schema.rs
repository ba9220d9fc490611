//! The tables themselves, their format, and the revision.

use rusqlite::Connection;

use super::{
    super::{
        connection::{GuardedConnection, prepare_own},
        error::{Error, Kind},
    },
    requests::CREATE_REQUESTS,
};

/// Brings the tables from one format to the next. It must leave tables alone that it has changed already: every step is taken each
/// time, because another program may have removed a table.
type Step = fn(&Connection) -> rusqlite::Result<()>;

/// The way to the newest format; the first step makes the tables. A change of the tables is a further step, and never a change of
/// an earlier one: files of every format are upgraded when they are opened.
const STEPS: [Step; 1] = [make];

const CREATE_META: &str = "
    CREATE TABLE IF NOT EXISTS skylinedb_meta (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        revision INTEGER NOT NULL,
        format INTEGER NOT NULL
    ) STRICT;";

/// Makes the tables if they are not there, with this revision, and upgrades those of an earlier format. Returns the revision.
///
/// # Errors
/// `DATABASE_TOO_NEW` if a newer version has made the tables.
pub(crate) fn create(connection: &GuardedConnection, revision: u64) -> Result<u64, Error> {
    connection.run("BEGIN IMMEDIATE;")?;
    let created = create_in_transaction(connection, revision).and_then(|()| {
        let found = find_revision(&connection.sqlite)?;
        connection.run("COMMIT;")?;
        found.ok_or_else(|| Error::internal("making skylinedb_meta"))
    });
    if created.is_err() && connection.in_transaction() {
        connection.run("ROLLBACK;")?;
    }
    created
}

/// As [`create`], in the open transaction.
pub(crate) fn create_in_transaction(connection: &GuardedConnection, revision: u64) -> Result<(), Error> {
    upgrade(connection, revision, &STEPS)
}

/// The first format.
fn make(sqlite: &Connection) -> rusqlite::Result<()> {
    sqlite.execute_batch(CREATE_META)?;
    sqlite.execute_batch(CREATE_REQUESTS)
}

/// Takes the tables through the steps, unless they have been through more.
fn upgrade(connection: &GuardedConnection, revision: u64, steps: &[Step]) -> Result<(), Error> {
    let newest = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    if let Some(format) = find_format(&connection.sqlite)?.filter(|format| *format > newest) {
        return Err(too_new(format));
    }
    connection.as_daemon(|sqlite| {
        steps.iter().try_for_each(|step| step(sqlite))?;
        sqlite.execute(SET_FORMAT, (revision.cast_signed(), newest)).map(drop)
    })
}

/// Makes what is missing of the tables, in the open transaction.
pub(super) fn repair(connection: &GuardedConnection) -> Result<(), Error> {
    connection.as_daemon(|sqlite| STEPS.iter().try_for_each(|step| step(sqlite)))
}

fn too_new(format: i64) -> Error {
    Error::new(
        Kind::Precondition,
        "DATABASE_TOO_NEW",
        format!(
            "a newer version of SkylineDB has written this database: its own tables have the format {format}, and this version \
             knows formats up to {}; nothing was changed. Start the newer version",
            STEPS.len()
        ),
    )
}

/// A revision that is there stays.
const SET_FORMAT: &str = "
    INSERT INTO skylinedb_meta (id, revision, format) VALUES (1, ?1, ?2)
    ON CONFLICT (id) DO UPDATE SET format = excluded.format WHERE format <> excluded.format";

const FIND_FORMAT: &str = "SELECT format FROM skylinedb_meta WHERE id = 1;";

/// The format, if the table is there and has a row.
fn find_format(sqlite: &Connection) -> Result<Option<i64>, Error> {
    found(prepare_own(sqlite, FIND_FORMAT).and_then(|mut select| select.query_row([], |row| row.get(0))))
}

const FIND_REVISION: &str = "SELECT revision FROM skylinedb_meta WHERE id = 1;";

/// The revision, if the table is there and has it: other programs may remove what they like.
pub(crate) fn find_revision(sqlite: &Connection) -> Result<Option<u64>, Error> {
    Ok(found(revision_of(sqlite))?.map(i64::cast_unsigned))
}

/// What was looked for, or `None` if the row or its table is not there.
fn found<T>(outcome: rusqlite::Result<T>) -> Result<Option<T>, Error> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
        Err(error) => {
            let error = Error::from(error);
            if error.kind == Kind::NotFound { Ok(None) } else { Err(error) }
        }
    }
}

/// The revision of the snapshot that the connection sees.
pub(crate) fn revision(sqlite: &Connection) -> Result<u64, Error> {
    Ok(revision_of(sqlite)?.cast_unsigned())
}

fn revision_of(sqlite: &Connection) -> rusqlite::Result<i64> {
    prepare_own(sqlite, FIND_REVISION)?.query_row([], |row| row.get(0))
}

/// Writes the revision into the open transaction.
pub(crate) fn set_revision(connection: &GuardedConnection, revision: u64) -> Result<(), Error> {
    connection.as_daemon(|sqlite| {
        prepare_own(sqlite, "UPDATE skylinedb_meta SET revision = ?1 WHERE id = 1;")?
            .execute([revision.cast_signed()])
            .map(drop)
    })
}

/// Whether a table has a foreign key to one of the daemon's own. The daemon's every commit would have to keep it, and one
/// that does not fit (to `skylinedb_meta (revision)`, which is not unique) would fail them all.
pub(crate) fn is_referred_to_by(connection: &GuardedConnection, table: &str) -> Result<bool, Error> {
    connection.as_daemon(|sqlite| {
        prepare_own(
            sqlite,
            "SELECT EXISTS (SELECT 1 FROM pragma_foreign_key_list(?1)
             WHERE \"table\" COLLATE NOCASE IN ('skylinedb_meta', 'skylinedb_requests'));",
        )?
        .query_row([table], |row| row.get(0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::config_in;

    /// What a later version might do.
    const NEXT: [Step; 2] = [make, |sqlite| {
        let columns = "SELECT count(*) FROM pragma_table_info('skylinedb_requests') WHERE name = 'client'";
        if sqlite.query_row(columns, [], |row| row.get::<_, i64>(0))? == 0 {
            sqlite.execute_batch("ALTER TABLE skylinedb_requests ADD COLUMN client TEXT")?;
        }
        sqlite.execute_batch("CREATE TABLE IF NOT EXISTS skylinedb_next (a)")
    }];

    fn open() -> (tempfile::TempDir, GuardedConnection) {
        let folder = tempfile::tempdir().expect("a folder");
        let connection = GuardedConnection::open_writer(&config_in(folder.path())).expect("a connection");
        (folder, connection)
    }

    fn format_after(steps: &[Step]) -> Option<i64> {
        i64::try_from(steps.len()).ok()
    }

    fn facts(connection: &GuardedConnection) -> (Option<i64>, Option<u64>) {
        (find_format(&connection.sqlite).expect("a format"), find_revision(&connection.sqlite).expect("a revision"))
    }

    #[tokio::test]
    async fn a_new_file_has_the_newest_format_and_an_older_one_gets_it_and_keeps_its_revision() {
        let (_folder, connection) = open();
        assert_eq!(facts(&connection), (None, None));
        assert_eq!(create(&connection, 7).expect("tables"), 7);
        assert_eq!(create(&connection, 0).expect("the same"), 7);
        assert_eq!(facts(&connection), (format_after(&STEPS), Some(7)));
        upgrade(&connection, 0, &NEXT).expect("the next format");
        assert_eq!(facts(&connection), (format_after(&NEXT), Some(7)));
    }

    #[tokio::test]
    async fn what_another_program_has_removed_is_made_again_in_every_format() {
        let (_folder, connection) = open();
        for (damage, revision) in [
            ("DROP TABLE skylinedb_meta", 8),
            ("DELETE FROM skylinedb_meta", 8),
            ("DROP TABLE skylinedb_requests", 7),
            ("UPDATE skylinedb_meta SET format = -1", 7),
        ] {
            for steps in [&STEPS[..], &NEXT] {
                connection
                    .as_daemon(|sqlite| sqlite.execute_batch("DROP TABLE IF EXISTS skylinedb_meta"))
                    .expect(damage);
                upgrade(&connection, 7, steps).expect("tables");
                connection.as_daemon(|sqlite| sqlite.execute_batch(damage)).expect(damage);
                upgrade(&connection, 8, steps).expect(damage);
                assert_eq!(facts(&connection), (format_after(steps), Some(revision)), "{damage}");
                let columns = "SELECT count(*) FROM pragma_table_info('skylinedb_requests')";
                let columns: i64 = connection.sqlite.query_row(columns, [], |row| row.get(0)).expect(damage);
                assert!(columns >= 5, "{damage}");
            }
        }
    }

    #[tokio::test]
    async fn a_newer_format_is_refused_and_nothing_is_changed() {
        let (_folder, connection) = open();
        create(&connection, 7).expect("tables");
        upgrade(&connection, 0, &NEXT).expect("the next format");
        let error = create(&connection, 0).expect_err("it is newer");
        assert_eq!(error.reason, "DATABASE_TOO_NEW", "{error}");
        assert_eq!((facts(&connection), connection.in_transaction()), ((format_after(&NEXT), Some(7)), false));
    }
}
