//! What is got from a service manager and said to it: the socket that it listens on for the daemon (socket activation), that
//! the daemon is ready or ends, and the watchdog's heartbeat. Without one, nothing happens. The protocol is systemd's:
//! `sd_listen_fds(3)`, `sd_notify(3)`, `sd_watchdog_enabled(3)`.

use std::{
    env,
    os::unix::net::UnixListener,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};
use listenfd::ListenFd;
use sd_notify::NotifyState;

const ONE_SOCKET: &str = "leave one ListenStream= with a path in the .socket unit";

/// Where it wants to be told.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// A shorter limit is none: systemd takes 0 so, and nobody means a few microseconds.
const WATCHDOG_MIN: Duration = Duration::from_millis(2);

/// What may wait to be said. The service manager's queue is shared by all services, and so may be full for a while.
const UNSAID_MAX: usize = 16;

/// The service manager that has started this process, if one has.
pub(crate) struct ServiceManager {
    sockets: ListenFd,
    /// `None` if it does not want to be told.
    says: Option<SyncSender<Said>>,
}

enum Said {
    Ready(String),
    Alive,
    Stopping(String),
}

impl ServiceManager {
    /// Looks at what it has left in the environment, and removes what is about sockets: only while there is no other thread.
    pub(crate) fn of_this_process() -> Self {
        let sockets = ListenFd::from_env();
        let says = env::var_os(NOTIFY_SOCKET).map(|_| {
            let (says, said) = sync_channel(UNSAID_MAX);
            // A thread of its own: to say something can block for as long as nobody listens.
            thread::spawn(move || said.iter().for_each(|said| say(&said)));
            says
        });
        Self { sockets, says }
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
            && socket.local_addr().ok().is_none_or(|address| address.as_pathname().is_none())
        {
            bail!(
                "the service manager has passed a socket without a path, which every user could connect to: {ONE_SOCKET}"
            );
        }
        if let Some(socket) = &socket
            && !rustix::net::sockopt::socket_acceptconn(socket).unwrap_or(true)
        {
            bail!(
                "the service manager has passed a connection, and the daemon serves all of them: set Accept=no in the .socket unit"
            );
        }
        Ok(socket)
    }

    /// Says that the daemon serves, and goes on saying that it is alive: to the very end, as long as the runtime has a thread
    /// for it. What one client asks for must not look like a daemon that hangs, however long it takes.
    pub(crate) fn ready(&self, status: String) {
        let Some(says) = self.says.clone() else { return };
        let _ = says.try_send(Said::Ready(status)); // nothing is said yet, so there is room
        let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| *limit >= WATCHDOG_MIN) else { return };
        tokio::spawn(async move {
            let mut beat = tokio::time::interval(limit / 2);
            loop {
                beat.tick().await;
                let _ = says.try_send(Said::Alive); // if there is no room, nobody listens
            }
        });
    }

    /// Says that the daemon ends, and why if it has failed.
    pub(crate) fn stopping(&self, failure: Option<&str>) {
        if let Some(says) = &self.says {
            let status =
                failure.map_or_else(|| "Finishing the work in hand".to_owned(), |why| format!("Failed: {why}"));
            let _ = says.try_send(Said::Stopping(status)); // if there is no room, nobody listens
        }
    }
}

/// A service manager that does not listen is no reason not to serve.
fn say(said: &Said) {
    let outcome = match said {
        Said::Ready(status) => sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(status)]),
        Said::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
        Said::Stopping(status) => sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status(status)]),
    };
    if let Err(error) = outcome {
        tracing::warn!(%error, "cannot tell the service manager how this daemon is (${NOTIFY_SOCKET})");
    }
}
