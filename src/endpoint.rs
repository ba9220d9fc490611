//! Where a daemon listens, and where a client looks for one.

use std::{
    env, fmt, io,
    path::{Path, PathBuf},
};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::{connector, scope::Scope};

/// The environment variable that names the endpoint, for clients and for the daemon.
pub const ENDPOINT_VARIABLE: &str = "SKYLINEDB_ENDPOINT";

/// The Unix domain socket of a daemon.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    path: PathBuf,
}

impl Endpoint {
    /// The endpoint at a socket's path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The socket's path.
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
    /// database scope only, and has to be [canonical](crate::scope::canonical_database).
    #[must_use]
    pub fn candidates_in(scope: Scope, database: &Path) -> Vec<Self> {
        Self::from_environment().map_or_else(|| Self::all(Scope::candidates(Some(scope), database)), |one| vec![one])
    }

    /// Opens a connection to whoever listens there, and sends nothing: for programs that speak HTTP/2 over it themselves.
    /// Everybody else has [`Client::connect`](crate::Client::connect).
    ///
    /// # Errors
    /// What the system says, such as that nobody listens there. While more connect at once than can wait, it tries again
    /// for 5 s.
    pub async fn open(&self) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>> {
        connector::open(self.path()).await
    }

    pub(crate) fn from_environment() -> Option<Self> {
        env::var_os(ENDPOINT_VARIABLE).filter(|path| !path.is_empty()).map(Self::new)
    }

    fn all(paths: Vec<PathBuf>) -> Vec<Self> {
        paths.into_iter().map(Self::new).collect()
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
