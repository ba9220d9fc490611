//! On Windows no program can truncate a file that is mapped.

use rusqlite::ffi;

use crate::error::Error;

#[allow(clippy::unnecessary_wraps, reason = "as on Unix")]
pub(crate) const fn check() -> Result<(), Error> {
    Ok(())
}

pub(crate) async fn struck() -> Error {
    std::future::pending().await
}

pub(crate) const fn install(_: *mut ffi::sqlite3_vfs) {}

pub(crate) const fn flush_before_exit(_: fn()) {}
