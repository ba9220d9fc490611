//! What differs between systems: sockets in the file system, files for one user, and the signals that end a program.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(super) use unix::{Signals, Socket, create_private};
#[cfg(windows)]
pub(super) use windows::{Signals, Socket, create_private};
