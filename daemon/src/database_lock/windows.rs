//! On Windows a mutex with the path's hash in its name: locking the file itself would keep SQLite out, too.

use std::path::Path;

use anyhow::bail;
use skylinedb::scope;

use crate::single_instance::try_mutex;

/// The lock on a database file, held for as long as this lives.
pub(crate) struct DatabaseLock {
    _mutex: Option<single_instance::SingleInstance>,
}

impl DatabaseLock {
    /// Takes the lock. The path is canonical.
    pub(crate) fn acquire(path: &Path) -> anyhow::Result<Self> {
        let name = format!(r"Global\SkylineDBd-v1-File-{}", scope::hash(path));
        match try_mutex(Path::new(&name)) {
            Ok(Some(mutex)) => Ok(Self { _mutex: Some(mutex) }),
            Ok(None) => bail!(
                "another daemon has the database {} open, at another pipe; `skylinedb-cli.exe daemons` may find it. Use \
                 that one, or shut it down",
                path.display()
            ),
            Err(code) => {
                tracing::debug!(code, "the database's mutex cannot be made: nothing keeps other daemons out");
                Ok(Self { _mutex: None })
            }
        }
    }
}
