//! Unix.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::Mode,
    process::{geteuid, umask},
};
use tokio::{
    net::UnixListener,
    signal::unix::{Signal, SignalKind, signal},
};

use super::super::listen::Stream;

const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Makes a new file that only this user can open.
pub(in super::super) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// A socket that only its owner can connect to; its file is removed when this is dropped.
#[derive(Debug)]
pub(in super::super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Which file it is: another one that has taken its place is not ours to remove.
    inode: u64,
}

impl Socket {
    pub(in super::super) fn bind(path: &Path) -> io::Result<Self> {
        check_folder(path)?;
        remove_stale(path)?;
        // Not made and then closed to others: it never is open to them.
        let before = umask(Mode::from_raw_mode(0o177));
        let listener = UnixListener::bind(path);
        umask(before);
        let listener = listener.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => io::Error::new(error.kind(), "a socket's path may have at most 107 bytes"),
            _ => error,
        })?;
        Ok(Self { listener, path: path.to_owned(), inode: fs::symlink_metadata(path)?.ino() })
    }

    pub(in super::super) async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        let (stream, _) = self.listener.accept().await?;
        Ok(Box::new(stream))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            fs::remove_file(&self.path).ok();
        }
    }
}

/// Whoever can write the folder could put a socket of their own in this one's place, and would get what clients send.
fn check_folder(socket: &Path) -> io::Result<()> {
    let folder = socket.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let about = fs::metadata(folder)?;
    let is_foreign = ![0, geteuid().as_raw()].contains(&about.uid());
    if is_foreign || about.mode() & OTHERS_WRITE != 0 && about.mode() & STICKY == 0 {
        return Err(io::Error::other(format!(
            "other users can write the folder {}, and so put another socket in this one's place",
            folder.display()
        )));
    }
    Ok(())
}

/// Makes room for the socket if it is one of this user's that nobody listens on any more.
fn remove_stale(path: &Path) -> io::Result<()> {
    let file = match fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !file.file_type().is_socket() || file.uid() != geteuid().as_raw() {
        return Err(io::Error::other("there is a file already that is not a socket of this user"));
    }
    if UnixStream::connect(path).is_ok() {
        return Err(io::Error::other("another program listens there"));
    }
    fs::remove_file(path)
}

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub(in super::super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on, so that no signal is lost or kills the program.
    pub(in super::super) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The name of the next one.
    pub(in super::super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
