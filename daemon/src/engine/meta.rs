//! The daemon's own tables in the database: the revision, and the answers to requests that may be repeated.
//!
//! Programs that open the file themselves may read them. `skylinedb_meta` has one row.

use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::{
    connection::{GuardedConnection, prepare_own},
    error::{Error, Kind},
    statement::{Batch, Mode, Value},
};

/// Answers that are kept for repeated requests; the oldest go first.
const KEPT_ANSWERS: i64 = 100_000;

/// Bytes that a request id may have.
pub(crate) const MAX_REQUEST_ID_BYTES: usize = 128;

/// Makes the tables if they are not there. Returns the revision.
pub(super) fn create(connection: &GuardedConnection) -> Result<u64, Error> {
    connection.sqlite.execute_batch(
        "BEGIN IMMEDIATE;
         CREATE TABLE IF NOT EXISTS skylinedb_meta (
             id INTEGER PRIMARY KEY CHECK (id = 1),
             revision INTEGER NOT NULL
         ) STRICT;
         INSERT OR IGNORE INTO skylinedb_meta (id, revision) VALUES (1, 0);
         CREATE TABLE IF NOT EXISTS skylinedb_requests (
             id INTEGER PRIMARY KEY,
             request_id TEXT NOT NULL UNIQUE,
             fingerprint BLOB NOT NULL,
             answer BLOB NOT NULL
         ) STRICT;
         COMMIT",
    )?;
    revision(&connection.sqlite)
}

/// The revision of the snapshot that the connection sees.
pub(super) fn revision(connection: &Connection) -> Result<u64, Error> {
    let revision: i64 = prepare_own(connection, "SELECT revision FROM skylinedb_meta WHERE id = 1;")?
        .query_row([], |row| row.get(0))?;
    Ok(revision.cast_unsigned())
}

/// Writes the revision into the open transaction.
pub(super) fn set_revision(connection: &GuardedConnection, revision: u64) -> Result<(), Error> {
    connection.as_daemon(|sqlite| {
        prepare_own(sqlite, "UPDATE skylinedb_meta SET revision = ?1 WHERE id = 1;")?
            .execute([revision.cast_signed()])
            .map(drop)
    })
}

/// The stored answer to an earlier request with this id, if there was one.
pub(super) fn stored_answer(connection: &GuardedConnection, id: &str, batch: &Batch) -> Result<Option<Vec<u8>>, Error> {
    let stored: Option<(Vec<u8>, Vec<u8>)> = connection.as_daemon(|sqlite| {
        prepare_own(sqlite, "SELECT fingerprint, answer FROM skylinedb_requests WHERE request_id = ?1;")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    })?;
    match stored {
        Some((print, answer)) if print == fingerprint(batch) => Ok(Some(answer)),
        Some(_) => Err(Error::new(
            Kind::Invalid,
            "REQUEST_ID_REUSED",
            format!("the request_id {id:?} was used before for other statements; every new batch needs a new id"),
        )),
        None => Ok(None),
    }
}

/// Stores the answer to a request in the open transaction.
pub(super) fn store_answer(
    connection: &GuardedConnection,
    id: &str,
    batch: &Batch,
    answer: &[u8],
) -> Result<(), Error> {
    connection.as_daemon(|sqlite| {
        prepare_own(sqlite, "INSERT INTO skylinedb_requests (request_id, fingerprint, answer) VALUES (?1, ?2, ?3);")?
            .execute(params![id, fingerprint(batch), answer])?;
        prepare_own(sqlite, "DELETE FROM skylinedb_requests WHERE id <= ?1;")?
            .execute([sqlite.last_insert_rowid() - KEPT_ANSWERS])
            .map(drop)
    })
}

/// Whether a table has a foreign key to one of the daemon's own. The daemon's every commit would have to keep it, and one
/// that does not fit (to `skylinedb_meta (revision)`, which is not unique) would fail them all.
pub(super) fn is_referred_to_by(connection: &GuardedConnection, table: &str) -> Result<bool, Error> {
    connection.as_daemon(|sqlite| {
        prepare_own(
            sqlite,
            "SELECT EXISTS (SELECT 1 FROM pragma_foreign_key_list(?1)
             WHERE \"table\" COLLATE NOCASE IN ('skylinedb_meta', 'skylinedb_requests'));",
        )?
        .query_row([table], |row| row.get(0))
    })
}

/// Tells whether two requests with one id are the same request. Every part goes in with its length, so that no two
/// different batches give the same bytes.
fn fingerprint(batch: &Batch) -> Vec<u8> {
    let mut hash = Sha256::new();
    let mut part = |tag: u8, bytes: &[u8]| {
        hash.update([tag]);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(b'm', &[u8::from(batch.mode == Mode::Each)]);
    for statement in &batch.statements {
        part(b's', statement.sql.as_bytes());
        let mut named: Vec<_> = statement.named.iter().collect();
        named.sort_by(|(one, _), (other, _)| one.cmp(other));
        let named = named.into_iter().map(|(name, value)| (name.as_str(), value));
        for (name, value) in statement.positional.iter().map(|value| ("", value)).chain(named) {
            part(b'n', name.as_bytes());
            match value {
                Value::Null => part(b'0', &[]),
                Value::Integer(integer) => part(b'i', &integer.to_le_bytes()),
                Value::Real(real) => part(b'r', &real.to_bits().to_le_bytes()),
                Value::Text(text) => part(b't', text.as_bytes()),
                Value::Blob(blob) => part(b'b', blob),
            }
        }
    }
    hash.finalize().to_vec()
}
