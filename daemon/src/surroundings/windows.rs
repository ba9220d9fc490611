//! What the daemon is started in on Windows: the service control manager perhaps, which wants to be told.

use std::path::Path;

use crate::{
    transport::{Listener, Policy, SocketFile},
    windows_service::control,
};

/// What is there before the daemon does anything.
pub(crate) struct Surroundings;

#[expect(clippy::unused_self, reason = "as on Unix, where there is more to keep")]
impl Surroundings {
    /// Those of this process.
    pub(crate) const fn of_this_process() -> Self {
        Self
    }

    /// Listens on the pipe.
    #[expect(clippy::needless_pass_by_value, reason = "as on Unix, where it is a copy")]
    pub(crate) fn listen(&mut self, endpoint: &Path, file: SocketFile, _: &Policy) -> anyhow::Result<Listener> {
        if let Some(surprise) = file.surprise() {
            tracing::warn!("{surprise}");
        }
        Listener::bind(endpoint, &file)
    }

    /// Tells the service control manager that the daemon serves.
    pub(crate) fn ready(&self, _: String) {
        control::running();
    }

    /// Tells the service control manager that the daemon ends.
    pub(crate) fn stopping(&self, _: Option<&str>) {
        control::stopping();
    }
}
