//! Processes, this one and others.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as imp;
#[cfg(windows)]
use windows as imp;

/// Whether a process runs. One that has ended does not, even if it is still in the system's table (a zombie).
#[must_use]
pub fn is_running(pid: u32) -> bool {
    imp::is_running(pid)
}

/// Raises this process's limit of open files as far as the system lets it: each connection is one, and the usual soft limit of
/// 1,024 is meant for programs that use `select()`. Windows has no such limit.
///
/// # Errors
/// What the system says.
pub fn raise_open_files_limit() -> std::io::Result<()> {
    imp::raise_open_files_limit()
}
