//! Who is at the other end of a pipe, as the system says.

use std::{fmt, io, sync::Arc};

use skylinedb_local::windows::user;

use super::Stream;

/// The process that has opened the pipe's other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) pid: u32,
    /// The user's SID; not known for a process that this user may not look at.
    pub(crate) sid: Option<Arc<str>>,
    /// What errors and the log call it: `process 4711, user S-1-5-21-…`.
    pub(crate) name: Arc<str>,
}

impl Peer {
    /// The peer of a connection.
    pub(crate) fn of(stream: &Stream) -> io::Result<Self> {
        let pid = stream.client_pid()?;
        let sid: Option<Arc<str>> = user::sid_of_process(pid).ok().map(Into::into);
        let name = match &sid {
            Some(sid) => format!("process {pid}, user {sid}"),
            None => format!("process {pid}"),
        };
        Ok(Self { pid, sid, name: name.into() })
    }

    /// Tells the debug log what this peer has begun.
    pub(crate) fn log(&self, event: &str) {
        tracing::debug!(target: "skylinedb_daemon::transport", pid = self.pid, sid = self.sid.as_deref(), "{event}");
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "pid {}", self.pid)?;
        self.sid.as_ref().map_or(Ok(()), |sid| write!(formatter, ", user {sid}"))
    }
}
