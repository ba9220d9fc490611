//! What the client library and the daemon share on Windows: named pipes and users. It is no part of the library's interface.

pub mod pipe;
pub mod user;
