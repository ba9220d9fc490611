//! How the programs of one machine find and trust each other: where a daemon listens and has its lock ([`Scope`],
//! [`Endpoint`]), how a client connects to it ([`connect`]), and whose a socket, a pipe or a process is.
//!
//! It knows neither gRPC nor SQLite.

mod connect;
mod daemons;
mod database_lock;
mod database_path;
mod endpoint;
mod folders;
pub mod process;
mod scope;
pub mod single_instance;
#[cfg(unix)]
pub mod socket;
#[cfg(windows)]
pub mod windows;

pub use connect::{connect, probe};
pub use daemons::{Candidate, running};
pub use database_lock::{DatabaseFile, DatabaseLock};
pub use database_path::{canonical_database, database_hash, is_same_database};
pub use endpoint::{ENDPOINT_VARIABLE, Endpoint};
pub use folders::state_folder;
pub use scope::{NO_PLACES, Places, Scope};
