//! The named pipe of Windows: nobody but its owner, the system and the administrators can open it, and nobody from another
//! machine.

pub(crate) mod access;
mod peer;

pub(crate) use access::Access;
pub(crate) use peer::Peer;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use interprocess::os::windows::{
    named_pipe::{PipeListenerOptions, pipe_mode, tokio::PipeListener, tokio::PipeStream},
    security_descriptor::SecurityDescriptor,
};

use crate::user;

/// How long to wait when a connection cannot be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the system sets aside for bytes that have been written and not been read, in each direction.
const BUFFER_BYTES: u32 = 64 << 10;

/// `ERROR_ACCESS_DENIED`: what the first instance of a pipe gets if the name is taken.
const ACCESS_DENIED: i32 = 5;

/// A connection.
pub(crate) type Stream = PipeStream<pipe_mode::Bytes, pipe_mode::Bytes>;

/// A pipe that is listened on. The system removes it with its last instance, however this process ends.
#[derive(Debug)]
pub(crate) struct Listener {
    pipe: PipeListener<pipe_mode::Bytes, pipe_mode::Bytes>,
    path: PathBuf,
}

/// What a pipe is to be like: there is nothing to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketFile;

/// Who may come in is said by the pipe's access list, which the system looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy;

impl Listener {
    /// Listens on a pipe. It must be the first instance: somebody else's pipe of that name is never joined.
    pub(crate) fn bind(path: &Path, _: SocketFile) -> anyhow::Result<Self> {
        Self::bind_or_explain(path).with_context(|| format!("cannot listen on {}", path.display()))
    }

    fn bind_or_explain(path: &Path) -> anyhow::Result<Self> {
        let own = user::own_sid().context("cannot tell whose pipe it will be")?;
        let mut options = PipeListenerOptions::new().path(path);
        options.accept_remote = false;
        options.input_buffer_size_hint = BUFFER_BYTES;
        options.output_buffer_size_hint = BUFFER_BYTES;
        options.security_descriptor = Some(descriptor(&own)?);
        let pipe = options.create_tokio_duplex().map_err(|error| {
            let hint = if error.raw_os_error() == Some(ACCESS_DENIED) {
                r"another program, of another user perhaps, has a pipe of that name; stop it, or choose another --endpoint \\.\pipe\NAME"
            } else {
                r"choose another --endpoint; it is written \\.\pipe\NAME"
            };
            anyhow::Error::new(error).context(hint)
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
            match self.pipe.accept().await {
                Ok(stream) => return stream,
                Err(error) => {
                    tracing::error!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Lets nobody in any more. A pipe has no queue of those who have come already: the one that waits is seen by `accept`.
    pub(crate) fn close(self) -> Vec<Stream> {
        drop(self);
        Vec::new()
    }
}

/// Everything for the owner, and for the system and the administrators, who can take it anyway, as root on Unix; nothing for
/// anybody else, and nothing inherited.
fn descriptor(owner: &str) -> io::Result<SecurityDescriptor> {
    let sddl = format!("D:P(A;;GA;;;{owner})(A;;GA;;;SY)(A;;GA;;;BA)");
    let sddl = widestring::U16CString::from_str(sddl).map_err(io::Error::other)?;
    SecurityDescriptor::deserialize(&sddl)
}
