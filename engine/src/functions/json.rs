//! The JSON functions that go through a document more than once: for each path, for each step of a path that is edited, for
//! each name of a patch. What they would have to do is estimated first, and refused if it would take too long; SQLite's own
//! functions do it, on a connection without a database.

use std::{
    ffi::CStr,
    sync::{Arc, Mutex, PoisonError},
};

use memchr::{memchr_iter, memchr2_iter};
use rusqlite::{
    Connection, ffi,
    limits::Limit,
    params_from_iter,
    types::{ToSqlOutput, Type, ValueRef},
};

use super::super::sqlite3_function::{ANY_NUMBER, Call, Failure, Nature, create};

/// The most arguments that any function may have. A document of 64 MiB takes some 0.1 s for each path.
pub(super) const FUNCTION_MAX_ARGUMENTS: i32 = 256;

/// With so many paths, SQLite's own `json_extract` is fast enough for the largest document. It is the function of JSON that
/// queries call for each row, so it is not replaced for those.
const EXTRACT_MAX_ARGUMENTS: i32 = 5;

/// Bytes of the document, times the steps of all paths. SQLite goes through 0.5 to 1 GiB/s.
const MAX_BYTES_TIMES_STEPS: usize = 256 << 20;

/// Bytes of the document that is patched, times the names in the patch: each is compared with all names of an object. In the
/// binary form a name and its value may be 2 bytes, which are compared in 10 ns.
const MAX_BYTES_TIMES_NAMES: usize = 100_000_000;

/// Functions that change a document at paths; each path may be followed by a value.
const EDITING: [&CStr; 10] = [
    c"json_array_insert",
    c"json_insert",
    c"json_remove",
    c"json_replace",
    c"json_set",
    c"jsonb_array_insert",
    c"jsonb_insert",
    c"jsonb_remove",
    c"jsonb_replace",
    c"jsonb_set",
];

/// SQLite's own functions, on a connection that is opened when it is first needed.
#[derive(Clone)]
struct Builtin {
    connection: Arc<Mutex<Option<Connection>>>,
    max_value_bytes: i32,
}

pub(super) fn install(connection: &Connection, max_value_bytes: i32) -> rusqlite::Result<()> {
    connection.set_limit(Limit::SQLITE_LIMIT_FUNCTION_ARG, FUNCTION_MAX_ARGUMENTS)?;
    let builtin = Builtin { connection: Arc::default(), max_value_bytes };
    for name in EDITING {
        builtin.install(connection, name, ANY_NUMBER, check_edit)?;
    }
    for name in [c"json_patch", c"jsonb_patch"] {
        builtin.install(connection, name, 2, check_patch)?;
    }
    for name in [c"json_extract", c"jsonb_extract"] {
        for arguments in EXTRACT_MAX_ARGUMENTS + 1..=FUNCTION_MAX_ARGUMENTS {
            builtin.install(connection, name, arguments, check_extract)?;
        }
    }
    Ok(())
}

impl Builtin {
    fn install(
        &self,
        connection: &Connection,
        name: &'static CStr,
        arguments: i32,
        check: fn(&str, &Call<'_>) -> Result<(), Failure>,
    ) -> rusqlite::Result<()> {
        let builtin = self.clone();
        let name_text = name.to_str().unwrap_or_default();
        create(connection, name, arguments, Nature::Json, move |call| {
            check(name_text, call)?;
            builtin.call(name_text, call)
        })
    }

    fn call(&self, name: &str, call: &Call<'_>) -> Result<(), Failure> {
        let mut guard = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = match &mut *guard {
            Some(connection) => connection,
            none => none.insert(self.open().map_err(failure)?),
        };
        // The subtype of a value, which says that it is JSON and not a text, cannot be bound.
        let parameter = |index: usize| if call.is_json(index) { "json(?)" } else { "?" };
        let parameters: Vec<&str> = (0..call.len()).map(parameter).collect();
        let sql = format!("SELECT {name}({})", parameters.join(","));
        let mut statement = connection.prepare_cached(&sql).map_err(failure)?;
        let values = (0..call.len()).map(|index| ToSqlOutput::Borrowed(call.value(index)));
        let mut rows = statement.query(params_from_iter(values)).map_err(failure)?;
        if let Some(row) = rows.next().map_err(failure)? {
            let value = row.get_ref(0).map_err(failure)?;
            call.set_value(value);
            if value.data_type() == Type::Text {
                call.mark_as_json();
            }
        }
        Ok(())
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open_in_memory()?;
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, self.max_value_bytes)?;
        Ok(connection)
    }
}

fn failure(error: rusqlite::Error) -> Failure {
    match error {
        rusqlite::Error::SqliteFailure(failure, message) => match failure.extended_code & 0xff {
            ffi::SQLITE_TOOBIG => Failure::TooBig,
            ffi::SQLITE_NOMEM => Failure::NoMemory,
            _ => Failure::Message(message.unwrap_or_else(|| failure.to_string())),
        },
        rusqlite::Error::SqlInputError { msg, .. } => Failure::Message(msg),
        other => Failure::Message(other.to_string()),
    }
}

fn check_edit(name: &str, call: &Call<'_>) -> Result<(), Failure> {
    let paths_apart = if name.ends_with("remove") { 1 } else { 2 };
    check_paths(name, call, paths_apart)
}

fn check_extract(name: &str, call: &Call<'_>) -> Result<(), Failure> {
    check_paths(name, call, 1)
}

fn check_paths(name: &str, call: &Call<'_>, paths_apart: usize) -> Result<(), Failure> {
    let all_bytes: usize = (0..call.len()).map(|index| call.byte_length(index)).sum();
    // Nothing needs to be counted where every byte could be a step.
    if all_bytes.saturating_mul(all_bytes) <= MAX_BYTES_TIMES_STEPS {
        return Ok(());
    }
    let paths = (1..call.len()).step_by(paths_apart);
    let steps: usize = paths.map(|index| steps_of(call.text(index).unwrap_or_default())).sum();
    if all_bytes.saturating_mul(steps) <= MAX_BYTES_TIMES_STEPS {
        return Ok(());
    }
    Err(Failure::Message(format!(
        "{name}() would go through {all_bytes} bytes {steps} times, once for each step of its paths; the daemon allows \
         {MAX_BYTES_TIMES_STEPS} bytes in all: use fewer paths at once, or keep smaller documents"
    )))
}

fn steps_of(path: &[u8]) -> usize {
    memchr2_iter(b'.', b'[', path).count().max(1)
}

fn check_patch(name: &str, call: &Call<'_>) -> Result<(), Failure> {
    let (target, patch) = (call.byte_length(0), call.byte_length(1));
    let bytes = target + patch;
    // The patch grows the target, so a large one for an empty target is as slow.
    if bytes.saturating_mul(patch) <= MAX_BYTES_TIMES_NAMES {
        return Ok(());
    }
    let names = match call.value(1) {
        ValueRef::Text(text) => memchr_iter(b':', text).count(),
        // The binary form has at least two bytes for a name and its value.
        _ => patch / 2,
    };
    if bytes.saturating_mul(names) <= MAX_BYTES_TIMES_NAMES {
        return Ok(());
    }
    Err(Failure::Message(format!(
        "{name}() would compare up to {names} names of the patch with a document of {bytes} bytes; the daemon allows \
         {MAX_BYTES_TIMES_NAMES} for the product: patch less at once, or use json_set()"
    )))
}
