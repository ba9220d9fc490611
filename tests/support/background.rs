//! A daemon that somebody has started in the background: it is nobody's child.

use std::{fs, path::PathBuf, thread};

use rustix::process::Signal;

use super::{process::send_signal, wait_until};

/// Ends the daemon that holds a lock, if one does, and removes the lock.
pub(crate) struct StopOnDrop(pub(crate) PathBuf);

impl StopOnDrop {
    /// The daemon's process id, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        let pid = fs::read_to_string(&self.0).ok()?.trim().parse().ok()?;
        is_running(pid).then_some(pid)
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            send_signal(pid, if thread::panicking() { Signal::KILL } else { Signal::TERM });
            wait_until("the daemon's end", || !is_running(pid));
        }
        // That of a database may lie in the machine's own folder. Nobody uses it any more.
        fs::remove_file(&self.0).ok();
    }
}

/// Whether a process runs. A zombie does not: how long it stays is its parent's business.
fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state comes after the program's name, which is in parentheses.
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}
