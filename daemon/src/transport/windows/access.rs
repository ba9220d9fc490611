//! Who may come in is the access list's affair: whoever has opened the pipe may.

use super::Peer;

/// What the access list does not say: nothing.
#[derive(Debug)]
pub(crate) struct Policy;

#[derive(Debug)]
pub(crate) struct Access;

impl Access {
    pub(crate) fn new(_: Policy) -> Self {
        Self
    }

    /// Whether this peer may come in.
    #[expect(clippy::unused_async, reason = "as at a socket, where groups have to be asked for")]
    pub(crate) async fn admits(&self, _: &Peer) -> bool {
        true
    }

    /// Tells the log that a peer was refused.
    #[expect(clippy::unused_self, reason = "as at a socket")]
    pub(crate) fn log_refused(&self, peer: &Peer) {
        tracing::warn!(%peer, "refused a connection");
    }
}

/// What a refused peer is told, whatever it asks for.
pub(crate) fn refusal(peer: &Peer) -> String {
    format!("this daemon serves other users than yours ({peer}), and nothing of the request was run")
}
