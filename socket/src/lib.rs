//! A Unix domain socket that is for its owner alone from the first moment, in a place where nobody else can replace it. Empty on
//! other systems.
#![cfg(unix)]

pub mod names;
mod place;
mod turn;

use std::{
    fs, io,
    os::unix::{fs::MetadataExt as _, net::UnixStream},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use rustix::{fs::Mode, process::umask};
use tokio::net::UnixListener;

use place::Found;
use turn::Turn;

/// How errors speak of the program that is to listen.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// What it is: `daemon`.
    pub name: &'static str,
    /// Its option for the socket's path: `--endpoint`.
    pub option: &'static str,
    /// What else to say if another program listens there, and what to do but to choose another path: `; stop it`.
    pub if_taken: &'static str,
}

impl Program {
    fn if_taken(&self) -> String {
        format!("{}, or choose another {}", self.if_taken, self.option)
    }
}

/// A socket's file, removed when this is dropped. Dropped before its listener, it cannot take away what another program has put
/// there in the meantime: to others the place is taken until then.
#[derive(Debug)]
pub struct OwnFile {
    path: PathBuf,
    /// Which file it is: another one that has taken its place is not ours to remove.
    inode: u64,
}

/// Listens on a path whose folder is made if it is missing. Only for the holder of a lock that no other program on this path has
/// meanwhile: a socket that nobody listens on is replaced. Fails if others could replace the socket, or if something else lies
/// there.
pub fn bind(path: &Path, program: &Program) -> anyhow::Result<(UnixListener, OwnFile)> {
    place::check_folder(path, program)?;
    remove_stale(path, program)?;
    // The socket's file is made by bind(), with the permissions that the umask leaves: no moment in which it is open
    // wider. No other thread makes files now: nobody is connected yet.
    let before = umask(Mode::from_raw_mode(0o177));
    let socket = UnixListener::bind(path);
    umask(before);
    let socket = socket.map_err(|error| explain(error, program))?;
    let inode = place::inode_of_own(path, program)?;
    Ok((socket, OwnFile { path: path.to_owned(), inode }))
}

/// As [`bind`], for a program without a lock: of those that do this at the same time one has the path at the end.
pub fn bind_without_lock(path: &Path, program: &Program) -> anyhow::Result<(UnixListener, OwnFile)> {
    place::check_folder(path, program)?;
    let _turn = Turn::take(path, program)?;
    bind(path, program)
}

/// Makes room for the socket, unless what is there is somebody's.
fn remove_stale(path: &Path, program: &Program) -> anyhow::Result<()> {
    if place::check_file(path, program)? == Found::Nothing {
        return Ok(());
    }
    if UnixStream::connect(path).is_ok() {
        bail!("another program listens there{}", program.if_taken());
    }
    fs::remove_file(path).with_context(|| format!("cannot remove the socket of a {} that is no more", program.name))
}

fn explain(error: io::Error, program: &Program) -> anyhow::Error {
    let option = program.option;
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => format!("this user may not write to its folder; choose another {option}"),
        io::ErrorKind::AddrInUse => format!("somebody has put a file there in this instant; choose another {option}"),
        io::ErrorKind::InvalidInput => format!("a socket's path may have at most 107 bytes; choose a shorter {option}"),
        _ => format!("choose another {option}"),
    };
    anyhow::Error::new(error).context(hint)
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, socket = %self.path.display(), "cannot remove the socket; the next start will");
        }
    }
}
