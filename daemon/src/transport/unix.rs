//! The Unix domain socket: for its owner alone, from the first moment.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use rustix::{fs::Mode, process::umask};
use tokio::net::{UnixListener, UnixStream};

/// How long to wait when a connection cannot be accepted, for lack of file descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A socket that is listened on. Its file is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// Which file it is: another one that has taken its place is not ours to remove.
    inode: u64,
}

impl Listener {
    /// Listens on a path. Only for the holder of the single-instance lock: a socket file that nobody listens on is
    /// replaced.
    pub(crate) fn bind(path: &Path) -> anyhow::Result<Self> {
        Self::bind_or_explain(path).with_context(|| format!("cannot listen on {}", path.display()))
    }

    /// The next connection of somebody who may connect.
    pub(crate) async fn accept(&self) -> UnixStream {
        loop {
            match self.socket.accept().await {
                Ok((stream, _)) if may_connect(&stream) => return stream,
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn bind_or_explain(path: &Path) -> anyhow::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).context("cannot make its folder")?;
        }
        remove_stale(path)?;
        // The socket's file is made by bind(), with the permissions that the umask leaves: no moment in which it is open
        // wider. No other thread makes files now: nobody is connected yet.
        let before = umask(Mode::from_raw_mode(0o177));
        let socket = UnixListener::bind(path);
        umask(before);
        let socket = socket.map_err(explain)?;
        let inode = fs::symlink_metadata(path)?.ino();
        Ok(Self { socket, path: path.to_owned(), inode })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, socket = %self.path.display(), "cannot remove the socket; the next start will");
        }
    }
}

/// The socket's mode keeps others out; this also does so if somebody has widened it.
fn may_connect(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == own || peer.uid() == 0 => true,
        Ok(peer) => {
            tracing::warn!(uid = peer.uid(), pid = peer.pid(), "refused a connection of another user");
            false
        }
        Err(error) => {
            tracing::warn!(%error, "refused a connection of whom nothing is known");
            false
        }
    }
}

/// Makes room for the socket, unless what is there is somebody's.
fn remove_stale(path: &Path) -> anyhow::Result<()> {
    let file = match fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).context("cannot look at what is there"),
    };
    if !file.file_type().is_socket() {
        bail!("there is a file that is not a socket; remove it, or choose another --endpoint");
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        bail!(
            "another program listens there, though this daemon has the lock; is that a daemon with another --lock-file? \
             Stop it, or choose another --endpoint"
        );
    }
    fs::remove_file(path).context("cannot remove the socket of a daemon that is no more")
}

fn explain(error: io::Error) -> anyhow::Error {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "this user may not write to its folder; choose another --endpoint",
        io::ErrorKind::InvalidInput => "a socket's path may have at most 107 bytes; choose a shorter --endpoint",
        _ => "choose another --endpoint",
    };
    anyhow::Error::new(error).context(hint)
}
