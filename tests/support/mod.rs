//! Starts real daemons and runs the real CLI, for the end-to-end tests. Every daemon has a folder of its own with its
//! socket, its lock and its database; nothing outside it is touched.
//!
//! Nothing here sleeps for a time and hopes: everything waits for a condition, and gives up after [`PATIENCE`].
#![allow(dead_code, unused_imports, reason = "each test program uses a part of this")]

mod background;
mod daemon;
mod platform;
mod process;
#[cfg(unix)]
mod proxy;
#[cfg(unix)]
mod tools;
#[cfg(unix)]
mod users;

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

pub(crate) use background::StopOnDrop;
pub(crate) use daemon::{Builder, Daemon, Folder};
pub(crate) use platform::{SIGNALS, Signal, endpoint_exists, holder, is_free, is_running, peak_rss_bytes};
pub(crate) use process::{Output, Running, command, program, run, start};
#[cfg(unix)]
pub(crate) use proxy::Proxy;
#[cfg(unix)]
pub(crate) use tools::{grpcurl, python, systemd};
#[cfg(unix)]
pub(crate) use users::{Group, User, can_make_users, open_folder, program_for_all};

/// How long a condition may take to come true before the test fails. Far more than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// One mebibyte.
pub(crate) const MIB: usize = 1 << 20;

/// What a daemon says that finds another with its lock, after its first line in the log.
pub(crate) fn refusal(lock: &Path, holder: u32) -> String {
    let (cli, lock_name) = if cfg!(windows) { ("skylinedb-cli.exe", "Mutex") } else { ("skylinedb-cli", "Lock file") };
    format!(
        "\
Error: Failed to acquire single-instance lock

Caused by:
    Another daemon instance is already running!
    Only one daemon instance is allowed at a time.

    To check if daemon is running: {cli} ping
    To stop existing daemon: {cli} shutdown

    {lock_name}: {}
    Held by PID: {holder}
",
        lock.display()
    )
}

/// Waits until a condition is true.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}

/// Waits until there is something.
pub(crate) fn wait_for<T>(what: &str, mut something: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = something() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "gave up waiting for {what} after {PATIENCE:?}");
        thread::sleep(Duration::from_millis(2)); // between two looks
    }
}
