//! One daemon a database file, whatever locks and sockets the daemons have: two of them would each count revisions, and
//! turn each other's back.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
};

use anyhow::bail;

/// The lock on a database file, held for as long as this lives: until SQLite has closed the file, as closing this one lets go
/// of SQLite's own locks (<https://sqlite.org/howtocorrupt.html>, 2.2). It is `flock`, which SQLite does not use, so that
/// programs which read the file are not kept out.
#[derive(Debug)]
pub(crate) struct DatabaseLock {
    _file: Option<File>,
}

impl DatabaseLock {
    /// Takes the lock. A file that cannot be opened is for SQLite to complain about.
    pub(crate) fn acquire(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path);
        let Ok(file) = file else { return Ok(Self { _file: None }) };
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: Some(file) }),
            Err(TryLockError::WouldBlock) => bail!(
                "another daemon has the database {} open, at another socket; `skylinedb-cli daemons` may find it. Use that \
                 one, or shut it down",
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                tracing::debug!(%error, "the database's file system has no flock: nothing keeps other daemons out");
                Ok(Self { _file: None })
            }
        }
    }
}
