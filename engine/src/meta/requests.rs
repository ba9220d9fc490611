//! The stored answers to requests that may be repeated.

use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::{
    super::{
        connection::{GuardedConnection, prepare_own},
        error::{Error, Kind},
        statement::{Batch, Mode, Value},
    },
    schema::repair,
};

/// Bytes that a request id may have.
pub const MAX_REQUEST_ID_BYTES: usize = 128;

/// What is kept of answers to requests that may be repeated; the oldest go first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeptAnswers {
    /// How many.
    pub(crate) answers: i64,
    /// How large they may be together.
    pub(crate) bytes: i64,
    /// How large one may be.
    pub(crate) answer_bytes: usize,
}

impl Default for KeptAnswers {
    fn default() -> Self {
        Self { answers: 100_000, bytes: 256 << 20, answer_bytes: 1 << 20 }
    }
}

/// `bytes_before` counts all answers before this one, those that have been removed as well: so the oldest that are too many
/// can be found without a scan.
pub(super) const CREATE_REQUESTS: &str = "
    CREATE TABLE IF NOT EXISTS skylinedb_requests (
        id INTEGER PRIMARY KEY,
        request_id TEXT NOT NULL UNIQUE,
        bytes_before INTEGER NOT NULL,
        fingerprint BLOB NOT NULL,
        answer BLOB NOT NULL
    ) STRICT;";

/// The stored answer to an earlier request with this id, if there was one.
pub(crate) fn stored_answer(connection: &GuardedConnection, id: &str, batch: &Batch) -> Result<Option<Vec<u8>>, Error> {
    let select = |sqlite: &Connection| {
        prepare_own(sqlite, "SELECT fingerprint, answer FROM skylinedb_requests WHERE request_id = ?1;")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    };
    let stored: Option<(Vec<u8>, Vec<u8>)> = match connection.as_daemon(select) {
        // Another program has removed it, and with it what was stored.
        Err(error) if error.kind == Kind::NotFound => {
            repair(connection)?;
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
pub(crate) fn store_answer(
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
