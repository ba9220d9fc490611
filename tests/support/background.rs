//! A daemon that somebody has started in the background: it is nobody's child.

use std::{fs, path::PathBuf, thread};

use super::{platform, wait_until};

/// Ends the daemon at an endpoint, if there is one, and removes its lock.
pub(crate) struct StopOnDrop(pub(crate) PathBuf);

impl StopOnDrop {
    /// The daemon's process id, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        platform::holder(&self.0)
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            if thread::panicking() {
                platform::kill(pid);
            } else {
                platform::end(pid, &self.0);
            }
            wait_until("the daemon's end", || !platform::is_running(pid));
        }
        // That of a database may lie in the machine's own folder. Nobody uses it any more.
        fs::remove_file(platform::lock_of(&self.0)).ok();
    }
}
