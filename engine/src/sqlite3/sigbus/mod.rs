//! What happens when another program truncates a file that SQLite has mapped.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as imp;
#[cfg(windows)]
use windows as imp;

pub(super) use imp::install;
pub(crate) use imp::{check, flush_before_exit, struck};
