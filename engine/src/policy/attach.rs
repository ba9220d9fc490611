//! Which files ATTACH and VACUUM INTO may open: regular ones with one name, below the allowed folders.
//!
//! SQLite opens a file by its name, some time after the authorizer has looked at it. Another program may put something else
//! there in between. So the file is looked at without following links, and made if it is not there, before SQLite opens it;
//! and afterwards it must be that very file that is open.

use std::path::{Path, PathBuf};

use super::super::connection::is_no_path;
#[cfg(unix)]
pub(crate) use unix::Target;
#[cfg(windows)]
pub(crate) use windows::Target;

/// How the names end of what SQLite keeps beside a database (<https://sqlite.org/tempfiles.html>).
const SIDE_FILES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Why the file may not be attached.
pub(super) fn refused(filename: &str, why: &str) -> String {
    format!("the file {filename:?} may not be attached or written: {why}")
}

/// Looks at the name alone, when the statement is compiled: it may never run. Returns the file's folder, canonical.
pub(super) fn check_name(filename: &str, allowed: &[PathBuf]) -> Result<PathBuf, String> {
    // A name that SQLite would take apart as a URI could carry parameters, and :memory: would be nobody's.
    if filename.is_empty() || is_no_path(filename) {
        return Err(refused(filename, "give its absolute path as a literal, below a folder of --allow-attach"));
    }
    let path = Path::new(filename);
    // Windows has more than one name for a file: a short one, and those with dots and blanks at the end.
    let real = path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_default();
    let name = real.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    if cfg!(windows) && name.contains(':') {
        return Err(refused(filename, "the name is that of a stream in a file"));
    }
    // An empty log takes a database's pages, and the commits that follow are lost with them.
    if SIDE_FILES.iter().any(|suffix| name.ends_with(suffix)) {
        return Err(refused(filename, "the name is that of a file that SQLite keeps beside a database"));
    }
    // A last component that is a link could lead anywhere.
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    let Some(folder) = folder.filter(|_| path.is_absolute() && !path.is_symlink() && path.file_name().is_some()) else {
        return Err(refused(filename, "it must be an absolute path in an existing folder, and not a link"));
    };
    if !allowed.iter().any(|allowed| folder.starts_with(allowed)) {
        return Err(refused(filename, "its folder is not allowed; start the daemon with --allow-attach FOLDER"));
    }
    // SQLite is told not to follow links (SQLITE_OPEN_NOFOLLOW), which it knows on Unix only.
    if cfg!(unix) && path.parent() != Some(&folder) {
        let real = folder.join(path.file_name().unwrap_or_default());
        return Err(refused(filename, &format!("its path leads over links; give {:?}", real.display().to_string())));
    }
    Ok(folder)
}

#[cfg(unix)]
mod unix {
    use std::{
        ffi::{OsStr, OsString},
        fs,
        os::{fd::OwnedFd, unix::fs::MetadataExt as _},
        path::{Component, Path, PathBuf},
    };

    use rustix::{
        fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, openat, statat, unlinkat},
        io::Errno,
    };

    use super::{check_name, refused};

    /// The file that SQLite is about to open. A file that was made for it is removed again if this is dropped before
    /// [`Target::keep`].
    #[derive(Debug)]
    pub(crate) struct Target {
        filename: String,
        folder: OwnedFd,
        name: OsString,
        id: Id,
        /// How often this process had it open before.
        opened_before: usize,
        is_made: bool,
        /// Keeps the file's number from being given to another file, which this process may have open.
        _pin: Pin,
    }

    #[cfg(target_os = "linux")]
    type Pin = OwnedFd;
    #[cfg(not(target_os = "linux"))]
    type Pin = ();

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Id {
        device: u64,
        inode: u64,
    }

    /// The files that this process has open.
    const OPEN_FILES: &str = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };

    impl Target {
        /// Looks at the file, or makes an empty one, which SQLite takes for a new database.
        pub(crate) fn prepare(filename: &str, allowed: &[PathBuf]) -> Result<Self, String> {
            let path = check_name(filename, allowed)?.join(Path::new(filename).file_name().unwrap_or_default());
            let cannot = |error: Errno| match error {
                Errno::LOOP | Errno::NOTDIR => refused(filename, "its path leads over links, or changed just now"),
                error => refused(filename, &format!("it cannot be looked at: {error}")),
            };
            let folder = open_folder(path.parent().unwrap_or(&path)).map_err(cannot)?;
            let name = path.file_name().unwrap_or_default().to_owned();
            let ((pin, stat), is_made) = match pin(&folder, &name) {
                Ok(pinned) => (pinned, false),
                Err(Errno::NOENT) => {
                    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
                    // To close it takes no lock from SQLite, which has not opened it.
                    drop(openat(&folder, &name, flags, Mode::RUSR | Mode::WUSR).map_err(cannot)?);
                    (pin(&folder, &name).map_err(cannot)?, true)
                }
                Err(error) => return Err(cannot(error)),
            };
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                return Err(refused(filename, "it is no regular file"));
            }
            if stat.st_nlink != 1 {
                return Err(refused(filename, "it has more than one name (hard links), and may be another's file"));
            }
            let id = Id::of(&stat);
            // The number of names may be that of a moment at which the file had lost this one.
            if !is_at(&folder, &name, id) {
                return Err(refused(filename, "another file took its place while it was looked at"));
            }
            Ok(Self {
                filename: filename.to_owned(),
                folder,
                name,
                id,
                opened_before: count_open(id),
                is_made,
                _pin: pin,
            })
        }

        /// Whether SQLite has opened this very file since; the reason if it has not.
        pub(crate) fn check_opened(&self) -> Result<(), String> {
            if count_open(self.id) > self.opened_before && is_at(&self.folder, &self.name, self.id) {
                Ok(())
            } else {
                Err(refused(&self.filename, "another file took its place while it was opened"))
            }
        }

        /// The statement has succeeded: a file that was made stays.
        pub(crate) fn keep(mut self) {
            self.is_made = false;
        }
    }

    impl Drop for Target {
        fn drop(&mut self) {
            if self.is_made
                && is_at(&self.folder, &self.name, self.id)
                && let Err(error) = unlinkat(&self.folder, &self.name, AtFlags::empty())
            {
                tracing::warn!(%error, file = %self.filename, "cannot remove a file made for an ATTACH that failed");
            }
        }
    }

    impl Id {
        #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "the types differ between systems")]
        fn of(stat: &Stat) -> Self {
            Self { device: stat.st_dev as u64, inode: stat.st_ino as u64 }
        }
    }

    /// Whether the name is that of this file, and the only one that it has.
    fn is_at(folder: &OwnedFd, name: &OsStr, id: Id) -> bool {
        let found = || statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok().filter(|stat| Id::of(stat) == id);
        found().is_some() && found().is_some_and(|stat| stat.st_nlink == 1) && found().is_some()
    }

    /// What the file is, with a hold on it. To let go of it takes no lock from SQLite: it is not open for reading.
    #[cfg(target_os = "linux")]
    fn pin(folder: &OwnedFd, name: &OsStr) -> Result<(Pin, Stat), Errno> {
        let file = openat(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        Ok((file, stat))
    }

    /// What the file is. Its number may be given to another file once it is gone.
    #[cfg(not(target_os = "linux"))]
    fn pin(folder: &OwnedFd, name: &OsStr) -> Result<(Pin, Stat), Errno> {
        Ok(((), statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// Opens a folder by its canonical path. No component may be a link, or have become one.
    fn open_folder(canonical: &Path) -> Result<OwnedFd, Errno> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut folder = openat(CWD, "/", flags, Mode::empty())?;
        for component in canonical.components().filter(|component| !matches!(component, Component::RootDir)) {
            folder = openat(&folder, component.as_os_str(), flags, Mode::empty())?;
        }
        Ok(folder)
    }

    /// How often this process has the file open. It is not opened for this: to close it would take SQLite's locks away
    /// (<https://sqlite.org/howtocorrupt.html>).
    fn count_open(id: Id) -> usize {
        let Ok(entries) = fs::read_dir(OPEN_FILES) else { return 0 };
        let ids = entries.flatten().filter_map(|entry| fs::metadata(entry.path()).ok());
        ids.filter(|metadata| Id { device: metadata.dev(), inode: metadata.ino() } == id).count()
    }
}

#[cfg(windows)]
mod windows {
    use std::path::PathBuf;

    use super::check_name;

    /// The file that SQLite is about to open. Windows has no way to look whether it is the one that is open.
    #[derive(Debug)]
    pub(crate) struct Target;

    impl Target {
        /// Looks at the name once more.
        pub(crate) fn prepare(filename: &str, allowed: &[PathBuf]) -> Result<Self, String> {
            check_name(filename, allowed).map(|_| Self)
        }

        /// Nothing is known against it.
        #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "as on Unix")]
        pub(crate) fn check_opened(&self) -> Result<(), String> {
            Ok(())
        }

        /// The statement has succeeded.
        #[allow(clippy::unused_self, reason = "as on Unix")]
        pub(crate) fn keep(self) {}
    }
}
