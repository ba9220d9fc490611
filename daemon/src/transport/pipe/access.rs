//! Who may come in is the access list's affair: whoever has opened the pipe may.

use super::Peer;

/// Everyone, whoever has logged in, and the users of the machine.
const CROWDS: [&str; 3] = ["S-1-1-0", "S-1-5-11", "S-1-5-32-545"];

/// What the options say.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// `--allow-user`, as SIDs.
    pub(crate) allowed: Vec<String>,
}

impl Policy {
    /// What whoever starts the daemon may not expect of these options.
    pub(crate) fn surprise(&self) -> Option<String> {
        let crowd = self.allowed.iter().find(|sid| CROWDS.contains(&sid.as_str()))?;
        Some(format!("every user of this machine may read and write the database (--allow-user {crowd})"))
    }
}

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
