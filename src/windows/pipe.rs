//! A connection over a named pipe, from either end of it.
//!
//! `interprocess` makes pipes with an access list, and streams of handles, without `unsafe`. Its streams flush: they have a
//! thread wait until the other end has read everything, after each write and when they are dropped. HTTP/2 needs none of that,
//! and it would cost each answer a change of threads, so [`Connection`] does without.

use std::{
    fs::{File, OpenOptions},
    io,
    os::windows::{fs::OpenOptionsExt as _, io::OwnedHandle},
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use interprocess::os::windows::named_pipe::{
    DuplexPipeStream,
    pipe_mode::Bytes,
    tokio::{DuplexPipeStream as Stream, PipeListener},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use windows_permissions::{
    constants::{SeObjectType, SecurityInformation},
    wrappers::{ConvertSidToStringSid, GetSecurityInfo},
};
use winsafe::{HPROCESS, co};

use super::user;
use crate::scope;

/// What every pipe's name begins with.
pub const PIPES: &str = r"\\.\pipe\";

/// What a client needs: `FILE_GENERIC_READ`, `FILE_WRITE_DATA` and `FILE_WRITE_ATTRIBUTES`, but not `FILE_APPEND_DATA`, which for
/// a pipe is `FILE_CREATE_PIPE_INSTANCE`: whoever has that could get other clients' connections.
pub const CLIENT_ACCESS: u32 = 0x0012_018b;

/// `FILE_FLAG_OVERLAPPED`
const OVERLAPPED: u32 = 0x4000_0000;
/// `SECURITY_IDENTIFICATION`: the server may see who the client is, and may not act as the client.
const IDENTIFICATION: u32 = 0x0001_0000;

/// `ERROR_PIPE_BUSY`: the pipe is there, but all of its instances are taken.
const PIPE_BUSY: i32 = 231;

/// One end of a pipe.
#[derive(Debug)]
pub struct Connection {
    stream: Stream<Bytes>,
}

/// Who listens on a pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The process, as far as the system tells.
    pub pid: Option<u32>,
    /// The user who has made the pipe, as a SID.
    pub owner: String,
}

impl Connection {
    /// Opens a pipe, if one of its instances is free.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::of_file(open(path)?)
    }

    /// Opens a pipe, unless its owner is somebody who might have put it there to get what is meant for a daemon.
    pub fn open_trusted(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        let owner = owner(&file)?;
        if !is_trusted(&owner, &user::own_sid()?) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "it belongs to another user, {}, and nothing was sent; if you trust them, give it as the endpoint",
                    user::described(&owner)
                ),
            ));
        }
        Self::of_file(file)
    }

    /// The next one who opens a pipe that is listened on.
    pub async fn accept(listener: &PipeListener<Bytes, Bytes>) -> io::Result<Self> {
        Ok(Self { stream: listener.accept().await? })
    }

    /// The process that has opened the pipe.
    pub fn client_pid(&self) -> io::Result<u32> {
        self.stream.client_process_id()
    }

    fn of_file(file: File) -> io::Result<Self> {
        let stream = Stream::try_from(OwnedHandle::from(file));
        Ok(Self { stream: stream.map_err(|error| io::Error::other(error.to_string()))? })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.stream.assume_flushed(); // what was written stays there for the other end
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Waits until the last write is done, as the next write would: one that is under way when the process ends is lost, whereas
    /// the system keeps what is done for the other end. That there is no other end any more is no error then.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_write(context, &[]).map(|_| Ok(()))
    }
}

/// Whether the error is that all instances of a pipe are taken: it is there, and its server will make the next one.
#[must_use]
pub fn is_busy(error: &io::Error) -> bool {
    error.raw_os_error() == Some(PIPE_BUSY)
}

/// Whether somebody listens on a pipe.
pub fn look(path: &Path) -> io::Result<()> {
    match open(path) {
        Err(error) if !is_busy(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Whether somebody listens on a pipe and has an instance free.
pub fn look_for_free(path: &Path) -> io::Result<()> {
    open(path).map(drop)
}

/// Who listens on a pipe. It has to be opened for that.
pub fn server(path: &Path) -> io::Result<Server> {
    let file = open(path)?;
    let owner = owner(&file)?;
    let stream = DuplexPipeStream::<Bytes>::try_from(OwnedHandle::from(file)).ok();
    let pid = stream.as_ref().and_then(|stream| stream.server_process_id().ok());
    stream.into_iter().for_each(DuplexPipeStream::evade_limbo);
    Ok(Server { pid, owner })
}

/// The program that a process runs; an error for a process that this user may not look at.
pub fn program(pid: u32) -> io::Result<PathBuf> {
    let path = HPROCESS::OpenProcess(co::PROCESS::QUERY_LIMITED_INFORMATION, false, pid)
        .and_then(|process| process.QueryFullProcessImageName(co::PROCESS_NAME::WIN32));
    path.map(PathBuf::from).map_err(|error| io::Error::from_raw_os_error(error.raw().cast_signed()))
}

fn open(path: &Path) -> io::Result<File> {
    // A file of that name would be opened as readily as a pipe, and a pipe of another machine, too.
    scope::check_endpoint(path).map_err(|reason| io::Error::new(io::ErrorKind::InvalidInput, reason))?;
    let mut options = OpenOptions::new();
    options.access_mode(CLIENT_ACCESS).share_mode(0).custom_flags(OVERLAPPED).security_qos_flags(IDENTIFICATION);
    options.open(path)
}

/// The user whom a pipe belongs to. Nobody can make one that belongs to somebody else.
fn owner(pipe: &File) -> io::Result<String> {
    let descriptor = GetSecurityInfo(pipe, SeObjectType::SE_KERNEL_OBJECT, SecurityInformation::Owner)?;
    let owner = descriptor.owner().ok_or_else(|| io::Error::other("nobody owns the pipe"))?;
    Ok(ConvertSidToStringSid(owner)?.to_string_lossy().into_owned())
}

/// Whether a pipe of this owner can be trusted by a user who has not said that it can: it is the user's own, or one of the system, an
/// administrator or a service (local, network, or of its own account), which only an administrator can have set up.
fn is_trusted(owner: &str, own: &str) -> bool {
    owner == own
        || ["S-1-5-18", "S-1-5-19", "S-1-5-20", "S-1-5-32-544"].contains(&owner)
        || owner.starts_with("S-1-5-80-")
}
