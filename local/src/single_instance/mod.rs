//! Exactly one daemon: a lock that the operating system frees when its holder ends, however it ends.

#[cfg(unix)]
mod lock_file;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as imp;
#[cfg(windows)]
use windows as imp;

pub use imp::SingleInstance;
#[cfg(windows)]
pub(crate) use windows::try_mutex;
#[cfg(windows)]
pub use windows::{pipe_is_taken, server};
