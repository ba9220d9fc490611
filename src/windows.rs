//! What the client library and the daemon share on Windows: named pipes, files and users. It is no part of the library's interface.

pub mod file;
pub mod pipe;
pub mod user;
