//! On Windows mutexes with the path's hash and with the file's number in their names: locking the file itself would keep SQLite
//! out, too.

use std::path::Path;

use anyhow::bail;
use winsafe::{HFILE, co};

use crate::{database_path::database_hash, single_instance::try_mutex};

/// What the database file is like if it is made: as its folder says.
#[derive(Clone, Copy, Debug)]
pub struct DatabaseFile;

/// The lock on a database file, held for as long as this lives.
pub struct DatabaseLock {
    _mutexes: Vec<::single_instance::SingleInstance>,
}

impl DatabaseLock {
    /// Takes the lock. The path is canonical.
    pub fn acquire(path: &Path, _: DatabaseFile) -> anyhow::Result<Self> {
        let mut mutexes = Vec::new();
        for id in [Some(database_hash(path)), file_id(path)].into_iter().flatten() {
            let name = format!(r"Global\SkylineDBd-v1-File-{id}");
            match try_mutex(Path::new(&name)) {
                Ok(Some(mutex)) => mutexes.push(mutex),
                Ok(None) => bail!(
                    "another daemon has the database {} open, at another pipe; `skylinedb-cli.exe daemons` may find it. Use \
                     that one, or shut it down",
                    path.display()
                ),
                Err(code) => tracing::debug!(code, name, "the database's mutex cannot be made"),
            }
        }
        Ok(Self { _mutexes: mutexes })
    }
}

/// What the file system knows the file by: a hard link and a share of the same disk are other paths of one file. The file is made
/// if it is not there. `None` where files have no such number, as some file systems of the network have none; one that cannot be
/// opened is for SQLite to complain about.
fn file_id(path: &Path) -> Option<String> {
    let share = co::FILE_SHARE::READ | co::FILE_SHARE::WRITE | co::FILE_SHARE::DELETE;
    let file = HFILE::CreateFile(
        path.to_str()?,
        co::GENERIC::READ,
        Some(share),
        None,
        co::DISPOSITION::OPEN_ALWAYS,
        co::FILE_ATTRIBUTE::NORMAL,
        None,
        None,
        None,
    );
    let file = file.and_then(|(file, _)| file.GetFileInformationByHandle()).ok()?;
    let index = file.nFileIndex();
    (index != 0 && index != u64::MAX).then(|| format!("{:08x}-{index:016x}", file.dwVolumeSerialNumber))
}
