//! Who may come in on Windows: the daemon's user, the system and the administrators. There is nothing to choose.

use clap::Args;

use crate::transport::{Policy, SocketFile};

/// No options.
#[derive(Args, Debug)]
pub(crate) struct AccessArguments {}

#[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as at a socket, which has options")]
impl AccessArguments {
    /// What the pipe is to be like.
    pub(crate) const fn socket_file(&self) -> anyhow::Result<SocketFile> {
        Ok(SocketFile)
    }

    /// Who may come in.
    pub(crate) const fn policy(&self) -> anyhow::Result<Policy> {
        Ok(Policy)
    }
}
