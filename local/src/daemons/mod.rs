//! Which daemons run, as far as their locks and pipes tell.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as imp;
#[cfg(windows)]
use windows as imp;

use crate::{endpoint::Endpoint, scope::Scope};

/// Where a daemon runs.
#[derive(Debug)]
pub struct Candidate {
    /// Its scope, if it is in the place of one.
    pub scope: Option<Scope>,
    /// Its socket or pipe.
    pub endpoint: Endpoint,
    /// The process id that its lock tells, if it does.
    pub holder: Option<u32>,
}

/// The daemons of the machine, of this user and of databases, and the one at this endpoint, if it runs. No daemon is woken, or
/// started by a service manager, by being looked for.
#[must_use]
pub fn running(endpoint: Option<Endpoint>) -> Vec<Candidate> {
    imp::running(endpoint)
}
