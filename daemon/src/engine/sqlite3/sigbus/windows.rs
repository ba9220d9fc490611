//! On Windows no program can truncate a file that is mapped.

use rusqlite::ffi;

use super::super::error::Error;

#[allow(clippy::unnecessary_wraps, reason = "as on Unix")]
pub(in super::super) const fn check() -> Result<(), Error> {
    Ok(())
}

pub(in super::super) async fn struck() -> Error {
    std::future::pending().await
}

pub(super) const fn install(_: *mut ffi::sqlite3_vfs) {}
