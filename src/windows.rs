//! What the client library and the daemon share on Windows: named pipes, files and users. It is no part of the library's interface.

pub mod file;
pub mod pipe;
pub mod user;

use std::io;

use winsafe::co;

/// The same error for those who do not know winsafe.
pub(crate) fn io_error(error: co::ERROR) -> io::Error {
    io::Error::from_raw_os_error(error.raw().cast_signed())
}
