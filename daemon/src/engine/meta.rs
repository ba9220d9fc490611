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

/// Bytes that a request id may have.
pub(crate) const MAX_REQUEST_ID_BYTES: usize = 128;

/// What is kept of answers to requests that may be repeated; the oldest go first.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeptAnswers {
    /// How many.
    pub(super) answers: i64,
    /// How large they may be together.
    pub(super) bytes: i64,
    /// How large one may be.
    pub(super) answer_bytes: usize,
}

impl Default for KeptAnswers {
    fn default() -> Self {
        Self { answers: 100_000, bytes: 256 << 20, answer_bytes: 1 << 20 }
    }
}

/// `bytes_before` counts all answers before this one, those that have been removed as well: so the oldest that are too many
/// can be found without a scan.
const CREATE_REQUESTS: &str = "
    CREATE TABLE IF NOT EXISTS skylinedb_requests (
        id INTEGER PRIMARY KEY,
        request_id TEXT NOT NULL UNIQUE,
        bytes_before INTEGER NOT NULL,
        fingerprint BLOB NOT NULL,
        answer BLOB NOT NULL
    ) STRICT;";

const CREATE_META: &str = "
    CREATE TABLE IF NOT EXISTS skylinedb_meta (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        revision INTEGER NOT NULL
    ) STRICT;";

/// Makes the tables if they are not there; then the revision is this one. Returns the revision.
pub(super) fn create(connection: &GuardedConnection, revision: u64) -> Result<u64, Error> {
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
pub(super) fn create_in_transaction(connection: &GuardedConnection, revision: u64) -> Result<(), Error> {
    connection.as_daemon(|sqlite| {
        sqlite.execute_batch(CREATE_META)?;
        sqlite
            .execute("INSERT OR IGNORE INTO skylinedb_meta (id, revision) VALUES (1, ?1)", [revision.cast_signed()])?;
        // A file of an earlier version has another table, which can do without: it is for repetitions only.
        let columns = "SELECT count(*) FROM pragma_table_info('skylinedb_requests') WHERE name = 'bytes_before'";
        if sqlite.query_row(columns, [], |row| row.get::<_, i64>(0))? == 0 {
            sqlite.execute_batch("DROP TABLE IF EXISTS skylinedb_requests")?;
        }
        sqlite.execute_batch(CREATE_REQUESTS)
    })
}

/// The revision, if the table is there and has it: other programs may remove what they like.
pub(super) fn find_revision(connection: &Connection) -> Result<Option<u64>, Error> {
    match prepare_own(connection, REVISION).and_then(|mut select| select.query_row([], |row| row.get::<_, i64>(0))) {
        Ok(revision) => Ok(Some(revision.cast_unsigned())),
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
        Err(error) => {
            let error = Error::from(error);
            if error.kind == Kind::NotFound { Ok(None) } else { Err(error) }
        }
    }
}

const REVISION: &str = "SELECT revision FROM skylinedb_meta WHERE id = 1;";

/// The revision of the snapshot that the connection sees.
pub(super) fn revision(connection: &Connection) -> Result<u64, Error> {
    let revision: i64 = prepare_own(connection, REVISION)?.query_row([], |row| row.get(0))?;
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
    let select = |sqlite: &Connection| {
        prepare_own(sqlite, "SELECT fingerprint, answer FROM skylinedb_requests WHERE request_id = ?1;")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    };
    let stored: Option<(Vec<u8>, Vec<u8>)> = match connection.as_daemon(select) {
        // Another program has removed it, and with it what was stored.
        Err(error) if error.kind == Kind::NotFound => {
            connection.as_daemon(|sqlite| sqlite.execute_batch(CREATE_REQUESTS))?;
            None
        }
        stored => stored?,
    };
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

/// Stores the answer to a request in the open transaction, and removes the oldest that are too many.
pub(super) fn store_answer(
    connection: &GuardedConnection,
    id: &str,
    batch: &Batch,
    answer: &[u8],
    kept: KeptAnswers,
) -> Result<(), Error> {
    if answer.len() > kept.answer_bytes {
        return Err(Error::new(
            Kind::Exhausted,
            "STORED_ANSWER_TOO_LARGE",
            format!(
                "the batch's answer has {} bytes, and at most {} are stored for a request_id; nothing was written: have it \
                 return fewer rows, or send it without a request_id",
                answer.len(),
                kept.answer_bytes
            ),
        ));
    }
    connection.as_daemon(|sqlite| {
        let bytes_before: i64 = prepare_own(sqlite, TOTAL_BYTES)?.query_row([], |row| row.get(0))?;
        prepare_own(sqlite, STORE)?.execute(params![id, bytes_before, fingerprint(batch), answer])?;
        let total_bytes = bytes_before.saturating_add(i64::try_from(answer.len()).unwrap_or(i64::MAX));
        let newest_removed = sqlite.last_insert_rowid() - kept.answers;
        prepare_own(sqlite, REMOVE_OLDEST)?.execute([newest_removed, total_bytes - kept.bytes]).map(drop)
    })
}

const TOTAL_BYTES: &str =
    "SELECT ifnull((SELECT bytes_before + length(answer) FROM skylinedb_requests ORDER BY id DESC LIMIT 1), 0);";

const STORE: &str =
    "INSERT INTO skylinedb_requests (request_id, bytes_before, fingerprint, answer) VALUES (?1, ?2, ?3, ?4);";

/// All before the first that may stay. The search begins with the oldest, so it meets only what it removes.
const REMOVE_OLDEST: &str = "
    DELETE FROM skylinedb_requests
    WHERE id < (SELECT id FROM skylinedb_requests WHERE id > ?1 AND bytes_before >= ?2 ORDER BY id LIMIT 1);";

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
