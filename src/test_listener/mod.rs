//! A program that listens, for unit tests.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::TestListener;
#[cfg(windows)]
pub(crate) use windows::TestListener;
