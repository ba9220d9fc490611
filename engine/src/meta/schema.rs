//! The tables themselves, their format, and the revision.

use rusqlite::Connection;

use super::{
    super::{
        connection::{GuardedConnection, prepare_own},
        error::{Error, Kind},
    },
    requests::CREATE_REQUESTS,
};

/// How the tables come from each format to the next; the first step makes them. A change of the tables is a further step, and
/// never a change of an earlier one: files of every format are upgraded when they are opened.
const STEPS: [&[&str]; 1] = [&[CREATE_META, CREATE_REQUESTS]];

/// The format of the tables that this version reads and writes.
const FORMAT: usize = STEPS.len();

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

/// Takes the tables through the steps that they have not been through.
fn upgrade(connection: &GuardedConnection, revision: u64, steps: &[&[&str]]) -> Result<(), Error> {
    let format = find_format(&connection.sqlite)?.unwrap_or(0);
    let Some(missing) = steps.get(format..) else { return Err(too_new(format)) };
    if missing.is_empty() {
        return connection.as_daemon(|sqlite| sqlite.execute_batch(CREATE_REQUESTS)); // it may be missing alone
    }
    connection.as_daemon(|sqlite| {
        missing.iter().flat_map(|step| step.iter()).try_for_each(|sql| sqlite.execute_batch(sql))?;
        let (revision, format) = (revision.cast_signed(), i64::try_from(steps.len()).unwrap_or(i64::MAX));
        sqlite
            .execute(
                "INSERT INTO skylinedb_meta (id, revision, format) VALUES (1, ?1, ?2)
                 ON CONFLICT (id) DO UPDATE SET format = excluded.format",
                (revision, format),
            )
            .map(drop)
    })
}

fn too_new(format: usize) -> Error {
    Error::new(
        Kind::Precondition,
        "DATABASE_TOO_NEW",
        format!(
            "a newer version of SkylineDB has written this database: its own tables have the format {format}, and this version \
             knows formats up to {FORMAT}; nothing was changed. Start the newer version"
        ),
    )
}

const FIND_FORMAT: &str = "SELECT format FROM skylinedb_meta WHERE id = 1;";

/// The format, if the table is there and has a row.
fn find_format(sqlite: &Connection) -> Result<Option<usize>, Error> {
    let format =
        prepare_own(sqlite, FIND_FORMAT).and_then(|mut select| select.query_row([], |row| row.get::<_, i64>(0)));
    Ok(found(format)?.map(|format| usize::try_from(format).unwrap_or(0)))
}

const FIND_REVISION: &str = "SELECT revision FROM skylinedb_meta WHERE id = 1;";

/// The revision, if the table is there and has it: other programs may remove what they like.
pub(crate) fn find_revision(sqlite: &Connection) -> Result<Option<u64>, Error> {
    let revision =
        prepare_own(sqlite, FIND_REVISION).and_then(|mut select| select.query_row([], |row| row.get::<_, i64>(0)));
    Ok(found(revision)?.map(i64::cast_unsigned))
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
    let revision: i64 = prepare_own(sqlite, FIND_REVISION)?.query_row([], |row| row.get(0))?;
    Ok(revision.cast_unsigned())
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

    const NEXT: [&[&str]; 2] =
        [STEPS[0], &["ALTER TABLE skylinedb_requests ADD COLUMN client TEXT", "CREATE TABLE skylinedb_next (a)"]];

    fn format(connection: &GuardedConnection) -> Option<usize> {
        find_format(&connection.sqlite).expect("a format")
    }

    #[tokio::test]
    async fn a_new_file_has_the_newest_format_and_an_older_one_gets_it_and_keeps_its_revision() {
        let folder = tempfile::tempdir().expect("a folder");
        let connection = GuardedConnection::open_writer(&config_in(folder.path())).expect("a connection");
        assert_eq!((format(&connection), create(&connection, 7).expect("tables")), (None, 7));
        assert_eq!((format(&connection), create(&connection, 0).expect("the same")), (Some(FORMAT), 7));
        for _ in 0..2 {
            upgrade(&connection, 0, &NEXT).expect("the next format");
            assert_eq!(
                (format(&connection), find_revision(&connection.sqlite).expect("it")),
                (Some(FORMAT + 1), Some(7))
            );
        }
    }

    #[tokio::test]
    async fn a_newer_format_is_refused_and_nothing_is_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let connection = GuardedConnection::open_writer(&config_in(folder.path())).expect("a connection");
        create(&connection, 7).expect("tables");
        upgrade(&connection, 0, &NEXT).expect("the next format");
        let error = create(&connection, 0).expect_err("it is newer");
        assert_eq!(error.reason, "DATABASE_TOO_NEW", "{error}");
        assert_eq!((format(&connection), connection.in_transaction()), (Some(FORMAT + 1), false));
    }
}
