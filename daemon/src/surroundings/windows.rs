//! What the daemon is started in on Windows: no service manager that listens for it or wants to be told, and no limit of
//! open handles that it could raise.

use std::path::Path;

use crate::transport::{Listener, Policy, SocketFile};

/// What is there before the daemon does anything: nothing that it needs.
pub(crate) struct Surroundings;

#[expect(clippy::unused_self, reason = "as on Unix, where there may be a service manager")]
impl Surroundings {
    /// Those of this process.
    pub(crate) const fn of_this_process() -> Self {
        Self
    }

    /// Listens on the pipe.
    #[expect(clippy::needless_pass_by_value, reason = "as on Unix, where it is a copy")]
    pub(crate) fn listen(&mut self, endpoint: &Path, file: SocketFile, policy: &Policy) -> anyhow::Result<Listener> {
        if let Some(surprise) = policy.surprise() {
            tracing::warn!("{surprise}");
        }
        Listener::bind(endpoint, &file)
    }

    /// Nobody wants to be told.
    #[expect(clippy::needless_pass_by_value, reason = "as on Unix")]
    pub(crate) fn ready(&self, _: String) {}

    /// Nobody wants to be told.
    pub(crate) const fn stopping(&self) {}
}

/// Windows has no such limit.
pub(crate) const fn raise_open_files_limit() {}
