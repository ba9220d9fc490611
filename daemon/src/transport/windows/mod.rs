//! The named pipe of Windows: its access list says who can open it, and nobody from another machine can.

mod access;
mod peer;
#[cfg(test)]
mod tests;

pub(crate) use access::{Access, Policy, refusal};
pub(crate) use peer::Peer;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use interprocess::os::windows::{
    named_pipe::{PipeListenerOptions, pipe_mode::Bytes, tokio::PipeListener},
    security_descriptor::SecurityDescriptor,
};
use skylinedb_local::windows::{
    pipe::{CLIENT_ACCESS, Connection, is_busy},
    user,
};
use tokio::time::{sleep, timeout};

use skylinedb_local::single_instance;

/// How long to wait when a connection cannot be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the system sets aside for bytes that have been written and not been read, in each direction.
const BUFFER_BYTES: u32 = 64 << 10;

/// `ERROR_ACCESS_DENIED`: what the first instance of a pipe gets if the name is taken.
const ACCESS_DENIED: i32 = 5;

/// How many are still let in at the end, and how long one may take.
const LAST_CLIENTS: usize = 100;
const LAST_CLIENT_TIME: Duration = Duration::from_secs(1);

/// Everyone, whoever has logged in, and the users of the machine.
const CROWDS: [&str; 3] = ["S-1-1-0", "S-1-5-11", user::USERS];

/// A connection.
pub(crate) type Stream = Connection;

/// A pipe that is listened on. The system removes it with its last instance, however this process ends.
#[derive(Debug)]
pub(crate) struct Listener {
    pipe: PipeListener<Bytes, Bytes>,
    path: PathBuf,
}

/// What a pipe is to be like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SocketFile {
    /// The users and groups that can open it beside those who always can, by their SIDs.
    pub(crate) allowed: Vec<String>,
}

impl SocketFile {
    /// What whoever starts the daemon may not expect of these options.
    pub(crate) fn surprise(&self) -> Option<String> {
        let crowd = self.allowed.iter().find(|sid| CROWDS.contains(&sid.as_str()))?;
        Some(format!("every user of this machine may read and write the database (--allow-user {crowd})"))
    }
}

impl Listener {
    /// Listens on a pipe. It must be the first instance: somebody else's pipe of that name is never joined.
    pub(crate) fn bind(path: &Path, file: &SocketFile) -> anyhow::Result<Self> {
        Self::bind_or_explain(path, file).with_context(|| format!("cannot listen on {}", path.display()))
    }

    fn bind_or_explain(path: &Path, file: &SocketFile) -> anyhow::Result<Self> {
        let own = user::own_sid().context("cannot tell whose pipe it will be")?;
        let mut options = PipeListenerOptions::new().path(path);
        options.accept_remote = false;
        options.input_buffer_size_hint = BUFFER_BYTES;
        options.output_buffer_size_hint = BUFFER_BYTES;
        options.security_descriptor = Some(descriptor(&own, &file.allowed)?);
        let pipe = options.create_tokio_duplex().map_err(|error| {
            if error.raw_os_error() == Some(ACCESS_DENIED) {
                return single_instance::pipe_is_taken(path, &single_instance::server(path).unwrap_or_default());
            }
            anyhow::Error::new(error).context("choose another --endpoint; it is written pipe:NAME")
        })?;
        Ok(Self { pipe, path: path.to_owned() })
    }

    /// Where the pipe is.
    pub(crate) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// The next connection. The next instance of the pipe is made before this one is handed over, so that whoever comes
    /// meanwhile finds one, if a busy one.
    pub(crate) async fn accept(&self) -> Stream {
        loop {
            match Connection::accept(&self.pipe).await {
                Ok(stream) => return stream,
                Err(error) => {
                    tracing::error!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Lets nobody in any more. Returns those who have come already, but have not been let in yet. A pipe has no queue of them that
    /// could be looked into: that nobody is on the last instance is certain when this process itself has opened it.
    pub(crate) async fn close(self) -> Vec<Stream> {
        let mut last = Vec::new();
        while last.len() < LAST_CLIENTS {
            match Connection::open(&self.path) {
                Err(error) if is_busy(&error) => match timeout(LAST_CLIENT_TIME, self.accept()).await {
                    Ok(stream) => last.push(stream),
                    Err(_) => break,
                },
                _ => break,
            }
        }
        last
    }
}

/// Everything for the owner, and for the system and the administrators, who can take it anyway, as root on Unix. What a client
/// needs for those who are allowed, who so cannot add an instance of their own to the pipe; nothing for anybody else, and nothing
/// inherited.
fn descriptor(owner: &str, allowed: &[String]) -> io::Result<SecurityDescriptor> {
    let sddl = widestring::U16CString::from_str(sddl(owner, allowed)).map_err(io::Error::other)?;
    SecurityDescriptor::deserialize(&sddl)
}

fn sddl(owner: &str, allowed: &[String]) -> String {
    let allowed: Vec<_> = allowed.iter().map(|sid| format!("(A;;{CLIENT_ACCESS:#x};;;{sid})")).collect();
    format!("O:{owner}{}{}", user::access_of_owner(owner, "GA"), allowed.concat())
}
