//! A daemon in the background has nothing of whoever started it: no session, no terminal, no file but its log.

use std::{fs, os::fd::RawFd};

/// Standard input, output and error, which the starter has set.
const STANDARD: RawFd = 2;

/// Leaves the starter's session and closes its files. Only for the very beginning: a file of the daemon's own would be closed,
/// too.
pub(crate) fn begin() {
    // It fails for the leader of a process group, which has a session of its own or was put there by its starter.
    let _ = rustix::process::setsid();
    // Where /dev/fd is not there, the starter's files stay open; they do no harm but that.
    let Ok(open) = fs::read_dir("/dev/fd") else { return };
    let open: Vec<RawFd> = open.flatten().filter_map(|file| file.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > STANDARD) {
        let _ = nix::unistd::close(descriptor); // that of the list itself is closed already
    }
}
