//! Where a daemon listens, and where a client looks for one.

use std::{env, fmt, path::PathBuf};

/// The folder of machine scope.
const MACHINE_FOLDER: &str = "/var/run";

/// The environment variable that names the endpoint, for clients and for the daemon.
pub const ENDPOINT_VARIABLE: &str = "SKYLINEDB_ENDPOINT";

/// The Unix domain socket of a daemon.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    path: PathBuf,
}

/// Who shares a daemon: it decides where its lock and its socket lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One daemon a machine: `/var/run/skylinedb-v1.sock`.
    Machine,
    /// One daemon a user: `$XDG_RUNTIME_DIR/skylinedb-v1.sock`, without that variable `$HOME/.skylinedb-v1.sock`.
    User,
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
        if let Some(path) = env::var_os(ENDPOINT_VARIABLE).filter(|path| !path.is_empty()) {
            return vec![Self::new(path)];
        }
        [Scope::User, Scope::Machine].into_iter().filter_map(|scope| scope.file("sock")).map(Self::new).collect()
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

impl Scope {
    /// The scope that a daemon of this user gets: the machine's if `/var/run` may be written, otherwise the user's.
    #[must_use]
    pub fn of_this_user() -> Self {
        if rustix::fs::access(MACHINE_FOLDER, rustix::fs::Access::WRITE_OK).is_ok() {
            Self::Machine
        } else {
            Self::User
        }
    }

    /// This scope's file with an extension, `lock` or `sock`. `None` for a user without a runtime folder and a home.
    #[must_use]
    pub fn file(self, extension: &str) -> Option<PathBuf> {
        let folder = |variable| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
        let name = format!("skylinedb-v1.{extension}");
        match self {
            Self::Machine => Some(PathBuf::from(MACHINE_FOLDER).join(name)),
            Self::User => folder("XDG_RUNTIME_DIR")
                .map(|runtime| runtime.join(&name))
                .or_else(|| folder("HOME").map(|home| home.join(format!(".{name}")))),
        }
    }
}
