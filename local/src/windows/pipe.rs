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

use super::{io_error, user};
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// The process, as far as the system tells.
    pub pid: Option<u32>,
    /// The user whom the pipe belongs to, as a SID; not known where the system does not tell.
    pub owner: Option<String>,
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
        let own = user::own_sid()?;
        if owner.as_ref().is_some_and(|owner| is_trusted(owner, &own)) {
            return Self::of_file(file);
        }
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "it belongs to another user, {}, and nothing was sent; if you trust them, give it as the endpoint",
                owner.map_or_else(|| "whom the system does not name".to_owned(), |owner| user::described(&owner))
            ),
        ))
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
pub fn probe(path: &Path) -> io::Result<()> {
    match open(path) {
        Err(error) if !is_busy(&error) => Err(error),
        _ => Ok(()),
    }
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
    path.map(PathBuf::from).map_err(io_error)
}

fn open(path: &Path) -> io::Result<File> {
    // A file of that name would be opened as readily as a pipe, and a pipe of another machine, too.
    scope::check_endpoint(path).map_err(|reason| io::Error::new(io::ErrorKind::InvalidInput, reason))?;
    let mut options = OpenOptions::new();
    options.access_mode(CLIENT_ACCESS).share_mode(0).custom_flags(OVERLAPPED).security_qos_flags(IDENTIFICATION);
    options.open(path)
}

/// The user whom a pipe belongs to. Nobody can make one that belongs to somebody else. Wine has pipes that belong to nobody.
fn owner(pipe: &File) -> io::Result<Option<String>> {
    let descriptor = GetSecurityInfo(pipe, SeObjectType::SE_KERNEL_OBJECT, SecurityInformation::Owner)?;
    let owner = descriptor.owner().map(ConvertSidToStringSid).transpose()?;
    Ok(owner.map(|owner| owner.to_string_lossy().into_owned()))
}

/// Whether a pipe of this owner can be trusted by a user who has not said that it can: it is the user's own, or one of the system, an
/// administrator or a service (local, network, or of its own account), which only an administrator can have set up.
fn is_trusted(owner: &str, own: &str) -> bool {
    user::is_own_or_administrators(owner, own)
        || ["S-1-5-19", "S-1-5-20"].contains(&owner)
        || owner.starts_with("S-1-5-80-")
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::windows::named_pipe::ServerOptions,
    };

    use super::*;

    fn name(of: &str) -> PathBuf {
        format!("{PIPES}skylinedb-test-{of}-{}", std::process::id()).into()
    }

    #[test]
    fn strangers_are_not_trusted_unless_an_administrator_has_let_them_in() {
        let own = "S-1-5-21-1-2-3-1001";
        for trusted in [own, "S-1-5-18", "S-1-5-19", "S-1-5-20", "S-1-5-32-544", "S-1-5-80-1-2-3-4-5"] {
            assert!(is_trusted(trusted, own), "{trusted}");
        }
        for stranger in ["S-1-5-21-1-2-3-1002", "S-1-5-21-1-2-3-100", "S-1-1-0", "S-1-5-32-545", "S-1-5-8", "S-1-5-7"] {
            assert!(!is_trusted(stranger, own), "{stranger}");
        }
    }

    #[tokio::test]
    async fn who_listens_is_known_to_whoever_can_open_the_pipe() {
        let path = name("server");
        assert_eq!(server(&path).expect_err("nobody").kind(), io::ErrorKind::NotFound);
        let _pipe = ServerOptions::new().create(&path).expect("a pipe");
        assert_eq!(server(&path).expect("a server").pid, Some(std::process::id()));
        let program = program(std::process::id()).expect("this program");
        assert_eq!(program.file_name(), std::env::current_exe().expect("this program").file_name());
    }

    #[tokio::test]
    async fn a_pipe_whose_instances_are_taken_is_there_but_busy() {
        let path = name("busy");
        let _pipe = ServerOptions::new().create(&path).expect("a pipe");
        let _client = Connection::open(&path).expect("a connection");
        assert!(is_busy(&Connection::open(&path).expect_err("taken")));
        assert!(probe(&path).is_ok());
    }

    #[tokio::test]
    async fn what_was_written_is_read_to_the_end_after_the_writer_has_gone() {
        let path = name("end");
        let mut server = ServerOptions::new().create(&path).expect("a pipe");
        let mut client = Connection::open(&path).expect("a connection");
        server.connect().await.expect("a client");
        let sent = vec![7; 1 << 20]; // more than the system keeps for a reader
        let write = async {
            client.write_all(&sent).await.expect("write");
            client.shutdown().await.expect("shut down");
            drop(client);
        };
        let mut read = Vec::new();
        let (outcome, ()) = tokio::join!(server.read_to_end(&mut read), write);
        outcome.expect("read");
        assert_eq!(read.len(), sent.len());
    }
}
