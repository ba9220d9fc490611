//! What is got from a service manager and said to it: the socket that it listens on for the daemon (socket activation), that
//! the daemon is ready or ends, and the watchdog's heartbeat. Without one, nothing happens. The protocol is systemd's:
//! `sd_listen_fds(3)`, `sd_notify(3)`, `sd_watchdog_enabled(3)`.

use std::os::unix::net::UnixListener;

use anyhow::{Context as _, bail};
use listenfd::ListenFd;
use sd_notify::NotifyState;

const ONE_SOCKET: &str = "leave one ListenStream= with a path in the .socket unit";

/// The service manager that has started this process, if one has.
pub(crate) struct ServiceManager {
    sockets: ListenFd,
}

impl ServiceManager {
    /// Looks at what it has left in the environment, and removes what is about sockets: only while there is no other thread.
    pub(crate) fn of_this_process() -> Self {
        Self { sockets: ListenFd::from_env() }
    }

    /// The socket that it listens on for the daemon.
    pub(crate) fn socket(&mut self) -> anyhow::Result<Option<UnixListener>> {
        if self.sockets.len() > 1 {
            bail!(
                "the service manager has passed {} sockets, and the daemon listens on one: {ONE_SOCKET}",
                self.sockets.len()
            );
        }
        let socket = self.sockets.take_unix_listener(0).with_context(|| {
            format!("the service manager has passed something else than a Unix stream socket: {ONE_SOCKET}")
        })?;
        if let Some(socket) = &socket
            && !rustix::net::sockopt::socket_acceptconn(socket).unwrap_or(true)
        {
            bail!(
                "the service manager has passed a connection, and the daemon serves all of them: set Accept=no in the .socket unit"
            );
        }
        Ok(socket)
    }
}

/// Says that the daemon serves, and goes on saying that it is alive: to the very end, as long as the runtime has a thread
/// for it. What one client asks for must not look like a daemon that hangs, however long it takes.
pub(crate) fn ready(status: &str) {
    say(&[NotifyState::Ready, NotifyState::Status(status)]);
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    tokio::spawn(async move {
        let mut beat = tokio::time::interval(limit / 2);
        loop {
            beat.tick().await;
            say(&[NotifyState::Watchdog]);
        }
    });
}

/// Says that the daemon ends.
pub(crate) fn stopping() {
    say(&[NotifyState::Stopping, NotifyState::Status("Finishing the work in hand")]);
}

/// A service manager that does not listen is no reason not to serve.
fn say(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot tell the service manager {states:?} ($NOTIFY_SOCKET)");
    }
}
