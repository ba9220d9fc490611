//! Where a daemon listens, and where a client looks for one.

use std::{
    env, fmt,
    path::{Path, PathBuf},
};

use crate::scope::{self, Scope};

/// The environment variable that names the endpoint, for clients and for the daemon.
pub const ENDPOINT_VARIABLE: &str = "SKYLINEDB_ENDPOINT";

/// The Unix domain socket of a daemon, on Windows its named pipe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    path: PathBuf,
    /// True if derived from a scope, not given by the user; such a pipe is trusted only if its owner is (Windows).
    is_of_scope: bool,
}

impl Endpoint {
    /// The endpoint at a socket's path; on Windows at a pipe's, `\\\\.\\pipe\\NAME` or, for short, `pipe:NAME`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: scope::endpoint(path.into()), is_of_scope: false }
    }

    /// An endpoint as it is written on a command line.
    ///
    /// # Errors
    /// Why this cannot be one. On Unix any path can.
    pub fn parse(path: PathBuf) -> Result<Self, String> {
        let endpoint = Self::new(path);
        scope::check_endpoint(&endpoint.path)?;
        Ok(endpoint)
    }

    /// The path of the socket or pipe.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Where a client looks, in this order: `SKYLINEDB_ENDPOINT` alone if it is set; else user scope, then machine scope.
    #[must_use]
    pub fn candidates() -> Vec<Self> {
        Self::from_environment().map_or_else(|| Self::all(Scope::candidates(None, Path::new(""))), |one| vec![one])
    }

    /// Where a client looks for the daemon of a scope: at `SKYLINEDB_ENDPOINT` alone if it is set. `database` counts in
    /// database scope only, and has to be [canonical](crate::canonical_database).
    #[must_use]
    pub fn candidates_in(scope: Scope, database: &Path) -> Vec<Self> {
        Self::from_environment().map_or_else(|| Self::all(Scope::candidates(Some(scope), database)), |one| vec![one])
    }

    /// The endpoint that `SKYLINEDB_ENDPOINT` names, if it is set.
    #[must_use]
    pub fn from_environment() -> Option<Self> {
        env::var_os(ENDPOINT_VARIABLE).filter(|path| !path.is_empty()).map(Self::new)
    }

    fn all(paths: Vec<PathBuf>) -> Vec<Self> {
        paths.into_iter().map(Self::of_scope).collect()
    }

    /// Where a scope's daemon would be.
    pub(crate) fn of_scope(path: PathBuf) -> Self {
        Self { path, is_of_scope: true }
    }

    /// True if it follows from a scope and was not named by the user; such a pipe is trusted only if its owner is (Windows).
    #[cfg(windows)]
    pub(crate) fn is_of_scope(&self) -> bool {
        self.is_of_scope
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(formatter)
    }
}

impl<P: Into<PathBuf>> From<P> for Endpoint {
    fn from(path: P) -> Self {
        Self::new(path)
    }
}
