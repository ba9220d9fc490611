//! Endpoints, locks and processes of Unix.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command},
};

pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

/// A file that is always there and empty.
pub(crate) const EMPTY_FILE: &str = "/dev/null";

/// What ends a daemon cleanly, by name.
pub(crate) const SIGNALS: [(&str, Signal); 2] = [("SIGTERM", Signal::TERM), ("SIGINT", Signal::INT)];

/// Where the daemon of a folder listens.
pub(crate) fn endpoint_in(folder: &Path) -> PathBuf {
    folder.join("daemon.sock")
}

/// The single-instance lock that belongs to an endpoint.
pub(crate) fn lock_of(endpoint: &Path) -> PathBuf {
    endpoint.with_extension("lock")
}

/// Whether a daemon has left something of its endpoint.
pub(crate) fn endpoint_exists(endpoint: &Path) -> bool {
    endpoint.exists()
}

/// Whether nobody has the lock.
pub(crate) fn is_free(lock: &Path) -> bool {
    fs::File::open(lock).expect("the lock").try_lock().is_ok()
}

/// The process that holds the lock which belongs to an endpoint.
pub(crate) fn holder(endpoint: &Path) -> Option<u32> {
    let pid = fs::read_to_string(lock_of(endpoint)).ok()?.trim().parse().ok()?;
    is_running(pid).then_some(pid)
}

/// Starts a program.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    command.spawn()
}

/// Whether a process runs. A zombie does not: how long it stays is its parent's business.
pub(crate) fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state comes after the program's name, which is in parentheses.
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// Ends a process at once.
pub(crate) fn kill(pid: u32) {
    send_signal(pid, Path::new(""), Signal::KILL);
}

/// Asks the daemon at an endpoint to end.
pub(crate) fn end(pid: u32, endpoint: &Path) {
    send_signal(pid, endpoint, Signal::TERM);
}

/// Sends a signal to one process, which need not have an endpoint.
pub(crate) fn send_signal(pid: u32, _endpoint: &Path, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process id is not 0");
    kill_process(pid, signal).unwrap_or_else(|error| panic!("cannot signal {pid:?}: {error}"));
}

/// The most memory that a process has had in RAM so far.
pub(crate) fn peak_rss_bytes(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM in /proc/PID/status");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("VmHWM is a number of kB");
    kib * 1024
}
