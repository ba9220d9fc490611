//! What rusqlite does not offer of SQLite's C interface. All `unsafe` of the project is in this folder.

pub(super) mod memory;
#[cfg(unix)]
mod reads;
pub(super) mod sigbus;
pub(super) mod vfs;

use rusqlite::{Connection, ffi};

/// Whether foreign keys are violated whose check is put off to COMMIT
/// (`SQLITE_DBSTATUS_DEFERRED_FKS`, <https://sqlite.org/c3ref/c_dbstatus_options.html>).
pub(super) fn has_deferred_violations(connection: &Connection) -> bool {
    let (mut current, mut highwater) = (0, 0);
    // SAFETY: the handle is valid for as long as `connection` is borrowed, and the two pointers are to live integers.
    // rusqlite offers no safe way to sqlite3_db_status.
    #[allow(unsafe_code, reason = "sqlite3_db_status is not in rusqlite")]
    let code = unsafe {
        ffi::sqlite3_db_status(
            connection.handle(),
            ffi::SQLITE_DBSTATUS_DEFERRED_FKS,
            &raw mut current,
            &raw mut highwater,
            0,
        )
    };
    code == ffi::SQLITE_OK && current != 0
}

/// Makes `last_insert_rowid()` forget the insert of whoever used the connection before
/// (<https://sqlite.org/c3ref/set_last_insert_rowid.html>).
pub(super) fn forget_last_insert_rowid(connection: &Connection) {
    // SAFETY: the handle is valid for as long as `connection` is borrowed; the call only sets a number.
    #[allow(unsafe_code, reason = "sqlite3_set_last_insert_rowid is not in rusqlite")]
    unsafe {
        ffi::sqlite3_set_last_insert_rowid(connection.handle(), 0);
    }
}
