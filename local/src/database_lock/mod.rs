//! One daemon a database file, whatever locks and sockets the daemons have.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as imp;
#[cfg(windows)]
use windows as imp;

pub use imp::{DatabaseFile, DatabaseLock};
