//! One program at a time, for programs that have no lock.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use rustix::fs::OFlags;

use crate::{Program, explain};

/// The right to look whether a path's socket is a dead program's and to put one's own in its place, which must not come between
/// another program's two steps. It is a locked file beside the socket, removed when this is dropped. One that a killed program has
/// left is in nobody's way.
///
/// The folder itself could be locked without a file, but by everybody who can read it.
#[derive(Debug)]
pub(super) struct Turn {
    path: PathBuf,
    _locked: File,
}

impl Turn {
    pub(super) fn take(socket: &Path, program: &Program) -> anyhow::Result<Self> {
        let mut path = socket.as_os_str().to_owned();
        path.push(".starting");
        let path = PathBuf::from(path);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        let cannot = |what| format!("cannot {what} {}", path.display());
        let file = options.open(&path).map_err(|error| explain(error, program).context(cannot("make")))?;
        let is_locked = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(error)) => return Err(explain(error, program).context(cannot("lock"))),
        };
        let found = file.metadata().with_context(|| cannot("look at"))?;
        // The one who had its turn has removed the file since: a lock on that means nothing.
        if !is_locked || !fs::symlink_metadata(&path).is_ok_and(|there| there.ino() == found.ino()) {
            bail!("another program is about to listen there{}", program.if_taken());
        }
        if !found.is_file() || found.len() > 0 {
            bail!("{} is in the way; remove it, or choose another {}", path.display(), program.option);
        }
        Ok(Self { path, _locked: file })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}
