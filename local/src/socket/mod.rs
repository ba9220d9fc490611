//! A Unix domain socket that is for its owner alone from the first moment, in a place where no other user can replace it.

pub mod names;
mod path_safety;

use std::{
    fs::{self, OpenOptions, TryLockError},
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::bail;
use rustix::{
    fs::{Mode, OFlags},
    process::{geteuid, umask},
};
use tokio::net::UnixListener;

/// How errors speak of the program that is to listen.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// What it is: `daemon`.
    pub name: &'static str,
    /// Its option for the socket's path: `--endpoint`.
    pub option: &'static str,
    /// What to do if another program listens there: `; stop it`.
    pub if_taken: &'static str,
}

/// A socket's file, removed when this is dropped. Drop it before the listener: until then the place is taken, and nobody can
/// have put another file there.
#[derive(Debug)]
pub struct OwnFile {
    path: PathBuf,
    /// Which file it is: another one that has taken its place is not ours to remove.
    inode: u64,
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        if is_at(&self.path, self.inode)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, socket = %self.path.display(), "cannot remove the socket; the next start will");
        }
    }
}

/// Listens on a path, and makes its folder if it is missing. The socket of a dead program is replaced: only for a program with a
/// lock, so that no other does this at the same time. Fails if others could replace the socket, or if something else lies there.
pub fn bind(path: &Path, program: &Program) -> anyhow::Result<(UnixListener, OwnFile)> {
    path_safety::check_folder(path, program)?;
    path_safety::make_room(path, program)?;
    // The socket's file is made by bind(), with the permissions that the umask leaves: no moment in which it is open
    // wider. No other thread makes files now: nobody is connected yet.
    let before = umask(Mode::from_raw_mode(0o177));
    let socket = UnixListener::bind(path);
    umask(before);
    let socket = socket.map_err(|error| explain(error, program))?;
    let file = fs::symlink_metadata(path)?;
    if !file.file_type().is_socket() || file.uid() != geteuid().as_raw() {
        bail!("the socket was replaced by another file as soon as it was made; choose another {}", program.option);
    }
    Ok((socket, OwnFile { path: path.to_owned(), inode: file.ino() }))
}

/// As [`bind`], for a program without a lock: of those that do this at the same time one has the path at the end.
///
/// For this moment it locks a file beside the socket, `PATH.starting`. The folder could be locked without one, but by everybody
/// who can read it.
pub fn bind_without_lock(path: &Path, program: &Program) -> anyhow::Result<(UnixListener, OwnFile)> {
    path_safety::check_folder(path, program)?;
    let mut turn = path.as_os_str().to_owned();
    turn.push(".starting");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    let failed = |error| explain(error, program).context(format!("cannot lock {}", turn.display()));
    let file = options.open(&turn).map_err(failed)?;
    let is_locked = match file.try_lock() {
        Err(TryLockError::Error(error)) => return Err(failed(error)),
        outcome => outcome.is_ok(),
    };
    let found = file.metadata()?;
    // Who had it locked has removed it at the end: a lock on that means nothing.
    if !is_locked || !is_at(turn.as_ref(), found.ino()) {
        bail!("another program is about to listen there{}", program.if_taken);
    }
    if !found.is_file() || found.len() > 0 || found.uid() != geteuid().as_raw() {
        bail!("{} is in the way; remove it, or choose another {}", turn.display(), program.option);
    }
    let bound = bind(path, program);
    fs::remove_file(&turn).ok(); // one that stays, as after a kill, is in nobody's way
    bound
}

fn is_at(path: &Path, inode: u64) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| file.ino() == inode)
}

fn explain(error: io::Error, program: &Program) -> anyhow::Error {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "this user may not write to its folder; choose another",
        io::ErrorKind::AddrInUse => "somebody has put a file there in this instant; choose another",
        io::ErrorKind::InvalidInput => "a socket's path may have at most 107 bytes; choose a shorter",
        _ => "choose another",
    };
    anyhow::Error::new(error).context(format!("{hint} {}", program.option))
}

#[cfg(test)]
mod tests {
    use std::os::unix::{
        fs::{MetadataExt as _, symlink},
        net::UnixListener,
    };

    use super::{Program, bind_without_lock, fs, is_at};

    const PROGRAM: Program = Program { name: "program", option: "--path", if_taken: "; stop it" };

    #[tokio::test]
    async fn while_another_program_starts_nothing_is_touched() {
        let folder = tempfile::tempdir().expect("a folder");
        let (socket, turn) = (folder.path().join("x.sock"), folder.path().join("x.sock.starting"));
        drop(UnixListener::bind(&socket).expect("a socket that nobody listens on"));
        let dead = fs::symlink_metadata(&socket).expect("the socket").ino();
        let other = fs::File::create(&turn).expect("as a killed program leaves it");
        other.lock().expect("but this one lives");
        let error = bind_without_lock(&socket, &PROGRAM).expect_err("it has its turn").to_string();
        assert_eq!(error, "another program is about to listen there; stop it");
        assert!(is_at(&socket, dead) && turn.exists());
        drop(other);
        let _listens = bind_without_lock(&socket, &PROGRAM).expect("nobody has it any more");
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1, "there is the socket and nothing else");
    }

    #[tokio::test]
    async fn what_is_somebodys_is_neither_locked_nor_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (socket, turn) = (folder.path().join("x.sock"), folder.path().join("x.sock.starting"));
        fs::write(&turn, "precious").expect("somebody's");
        let error = bind_without_lock(&socket, &PROGRAM).expect_err("it is in the way").to_string();
        assert!(error.contains("in the way") && error.contains("--path"), "{error}");
        assert_eq!(fs::read_to_string(&turn).expect("it is left"), "precious");
        fs::remove_file(&turn).expect("remove it");
        symlink(folder.path().join("nothing"), &turn).expect("a link to nothing");
        bind_without_lock(&socket, &PROGRAM).expect_err("it is not followed");
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1, "nothing is made through a link");
    }
}
