//! Named pipes, files and users of Windows.

pub mod file;
pub mod pipe;
pub mod user;

use std::io;

use winsafe::co;

/// The same error for those who do not know winsafe.
#[must_use]
pub fn io_error(error: co::ERROR) -> io::Error {
    io::Error::from_raw_os_error(error.raw().cast_signed())
}
