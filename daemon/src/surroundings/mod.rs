//! What the daemon is started in: a service manager perhaps, which passes it the socket and is told how it is.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as imp;
#[cfg(windows)]
use windows as imp;

pub(crate) use imp::Surroundings;
