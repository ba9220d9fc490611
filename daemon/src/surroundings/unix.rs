//! What the daemon is started in on Unix: a service manager perhaps.

use std::path::Path;

use crate::{
    service_manager::ServiceManager,
    transport::{Listener, Policy, SocketFile},
};

/// What is there before the daemon does anything.
pub(crate) struct Surroundings {
    service_manager: ServiceManager,
}

impl Surroundings {
    /// Looks at the environment, and changes it: only while there is no other thread.
    pub(crate) fn of_this_process() -> Self {
        Self { service_manager: ServiceManager::of_this_process() }
    }

    /// Takes the socket that the service manager listens on for the daemon, or listens on an own one.
    pub(crate) fn listen(&mut self, endpoint: &Path, file: SocketFile, policy: &Policy) -> anyhow::Result<Listener> {
        if let Some(socket) = self.service_manager.socket()? {
            return Listener::of_service_manager(socket, file);
        }
        if let Some(surprise) = policy.surprise() {
            tracing::warn!("{surprise}");
        }
        Listener::bind(endpoint, file)
    }

    /// Tells the service manager that the daemon serves.
    pub(crate) fn ready(&self, status: String) {
        self.service_manager.ready(status);
    }

    /// Tells the service manager that the daemon ends, and which failure is the reason, if one is.
    pub(crate) fn stopping(&self, failure: Option<&str>) {
        self.service_manager.stopping(failure);
    }
}
