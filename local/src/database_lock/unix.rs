//! One daemon a database file, whatever locks and sockets the daemons have: two of them would each count revisions, and
//! turn each other's back. The file is made here if it is not there, for those whom `--database-mode` lets read it.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::bail;

/// What the database file is like if it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseFile {
    /// Its permissions. SQLite gives the same to what it keeps beside the file.
    pub mode: u32,
}

/// Permissions that let others than the owner read or write.
const OTHERS: u32 = 0o066;

/// The lock on a database file, held for as long as this lives: until SQLite has closed the file, as closing this one lets go
/// of SQLite's own locks (<https://sqlite.org/howtocorrupt.html>, 2.2). It is `flock`, which SQLite does not use, so that
/// programs which read the file are not kept out.
#[derive(Debug)]
pub struct DatabaseLock {
    _file: Option<File>,
}

impl DatabaseLock {
    /// Takes the lock. A file that cannot be opened is for SQLite to complain about.
    pub fn acquire(path: &Path, database_file: DatabaseFile) -> anyhow::Result<Self> {
        let Ok(file) = database_file.open(path) else { return Ok(Self { _file: None }) };
        check_not_truncated(path, &file)?;
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

impl DatabaseFile {
    /// Opens the file, which is made if it is not there. One that is there keeps its permissions: its owner may have chosen them.
    fn open(self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).mode(0o600);
        match options.clone().create_new(true).open(path) {
            Ok(file) => {
                // It is never wider than asked for. The umask, which has its say when a file is made, has none here.
                file.set_permissions(Permissions::from_mode(self.mode))?;
                Ok(file)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let file = options.open(path)?;
                self.warn_if_wider(path, &file);
                Ok(file)
            }
            Err(error) => Err(error),
        }
    }

    fn warn_if_wider(self, path: &Path, file: &File) {
        let Ok(found) = file.metadata() else { return };
        let mode = found.permissions().mode() & 0o777;
        if mode & OTHERS & !self.mode != 0 {
            tracing::warn!(
                "the database file {path} has mode {mode:04o}: more users can read or write it than --database-mode {wanted:04o} \
                 allows; run `chmod {wanted:04o} {path}`, or pass --database-mode {mode:04o}",
                path = path.display(),
                wanted = self.mode,
            );
        }
    }
}

/// SQLite takes an empty file for a new database, and removes the log that it finds beside it: every commit in it would be lost.
/// A database that has a log is never empty by itself.
fn check_not_truncated(path: &Path, file: &File) -> anyhow::Result<()> {
    let mut log = OsString::from(path);
    log.push("-wal");
    let log = PathBuf::from(log);
    let is_empty = file.metadata().is_ok_and(|found| found.len() == 0);
    if is_empty && let Some(bytes) = log.metadata().ok().map(|found| found.len()).filter(|bytes| *bytes > 0) {
        bail!(
            "the database {} is empty, but its write-ahead log {} has {bytes} bytes: another program has truncated the file. \
             Keep the log, which has the newest commits, and restore a backup of the file; to begin anew, remove both",
            path.display(),
            log.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_has_the_mode_and_one_that_is_there_keeps_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let mode_of = |path: &Path| path.metadata().expect("a file").permissions().mode() & 0o7777;
        for mode in [0o600, 0o640, 0o666] {
            let path = folder.path().join(format!("{mode:o}.db"));
            DatabaseFile { mode }.open(&path).expect("a new file");
            assert_eq!(mode_of(&path), mode);
            DatabaseFile { mode: 0o660 }.open(&path).expect("the file");
            assert_eq!(mode_of(&path), mode);
        }
    }
}
