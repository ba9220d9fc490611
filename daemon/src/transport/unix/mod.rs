//! The Unix domain socket: for its owner alone from the first moment, and for whom it is meant when it is ready.

mod access;

pub(crate) use access::{Access, Peer, Policy, refusal};

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use skylinedb_local::socket::{OwnFile, Program, names};
use tokio::net::{UnixListener, UnixStream};

use access::OTHERS_CONNECT;

const PROGRAM: Program = Program {
    name: "daemon",
    option: "--endpoint",
    if_taken: ", though this daemon has the lock; is that a daemon with another --lock-file? Stop it, or \
               choose another --endpoint",
};

/// How long to wait when a connection cannot be accepted, for lack of file descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A connection.
pub(crate) type Stream = UnixStream;

/// A socket that is listened on.
#[derive(Debug)]
pub(crate) struct Listener {
    /// `None` for a socket of the service manager's: it is listened on before and after the daemon.
    file: Option<OwnFile>,
    socket: UnixListener,
}

/// What a socket's file is to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketFile {
    /// Its permissions.
    pub(crate) mode: u32,
    /// Its group; without it the one that the system gives to new files there.
    pub(crate) group: Option<u32>,
}

impl Listener {
    /// Listens on a path. Only for the holder of the single-instance lock: a socket file that nobody listens on is
    /// replaced.
    pub(crate) fn bind(path: &Path, file: SocketFile) -> anyhow::Result<Self> {
        let listen = || {
            let (socket, own) = skylinedb_local::socket::bind(path, &PROGRAM)?;
            open_for(path, file)?;
            anyhow::Ok(Self { socket, file: Some(own) })
        };
        listen().with_context(|| format!("cannot listen on {}", path.display()))
    }

    /// Serves a socket that a service manager listens on for the daemon. Where it lies and who can reach it is their affair; but
    /// the options must not say less than its mode, or they would let in whom they do not name.
    pub(crate) fn of_service_manager(
        socket: std::os::unix::net::UnixListener,
        file: SocketFile,
    ) -> anyhow::Result<Self> {
        socket.set_nonblocking(true)?;
        let listener = Self { socket: UnixListener::from_std(socket)?, file: None };
        let path = listener.path();
        let mode = fs::symlink_metadata(&path).map(|found| found.mode() & 0o777);
        let mode = mode.with_context(|| format!("cannot look at the service manager's socket {}", path.display()))?;
        if file.mode & OTHERS_CONNECT != 0 && mode & OTHERS_CONNECT & !file.mode != 0 {
            bail!(
                "the service manager's socket {} has the mode {mode:04o}, which lets in more users than --socket-mode {:04o} \
                 says: make SocketMode= in the .socket unit the same",
                path.display(),
                file.mode
            );
        }
        tracing::info!("the service manager listens on {}", path.display());
        Ok(listener)
    }

    /// Where the socket is.
    pub(crate) fn path(&self) -> PathBuf {
        let address = self.socket.local_addr().ok();
        address.and_then(|address| address.as_pathname().map(Path::to_owned)).unwrap_or_else(|| "(no path)".into())
    }

    /// The next connection, whoever it is.
    pub(crate) async fn accept(&self) -> UnixStream {
        loop {
            match self.socket.accept().await {
                Ok((stream, _)) => return stream,
                Err(error) => {
                    tracing::error!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Lets nobody in any more. Returns those who have come already, but have not been let in yet. With a socket of the service
    /// manager's they are for the daemon that it starts next.
    #[expect(clippy::unused_async, reason = "as at a pipe, which has no queue to look into")]
    pub(crate) async fn close(self) -> Vec<UnixStream> {
        let Some(file) = self.file else { return Vec::new() };
        drop(file); // first, so that nobody comes after the last look
        let Ok(socket) = self.socket.into_std() else { return Vec::new() };
        // It does not wait, as tokio has had it.
        std::iter::from_fn(|| socket.accept().ok())
            .filter_map(|(stream, _)| {
                stream.set_nonblocking(true).ok()?;
                UnixStream::from_std(stream).ok()
            })
            .collect()
    }
}

/// Gives the file its group first and its mode then: at no moment is it open for another group than the one asked for.
fn open_for(path: &Path, file: SocketFile) -> anyhow::Result<()> {
    if let Some(gid) = file.group {
        lchown(path, None, Some(gid)).with_context(|| {
            format!(
                "cannot give the socket to the group {} (--socket-group): only root and a member of that group may, and \
                 this is {}",
                names::group(gid),
                names::user(rustix::process::geteuid().as_raw())
            )
        })?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(file.mode))
        .with_context(|| format!("cannot give the socket the mode {:04o} (--socket-mode)", file.mode))
}
