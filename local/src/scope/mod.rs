//! Who shares a daemon: it decides where its lock and its socket lie.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

#[cfg(unix)]
use unix as imp;
#[cfg(windows)]
use windows as imp;

#[cfg(windows)]
pub(crate) use imp::NAME;
pub use imp::NO_PLACES;
#[cfg(unix)]
pub(crate) use imp::folders;
pub(crate) use imp::{check_endpoint, endpoint, identity};

use crate::database_path::database_hash;

/// Who shares a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One daemon a machine: `/var/run/skylinedb-v1.sock`, on Windows `\\.\pipe\SkylineDBd-v1`.
    Machine,
    /// One daemon a user: `$XDG_RUNTIME_DIR/skylinedb-v1.sock`, without that variable `$HOME/.skylinedb-v1.sock`; on Windows
    /// `\\.\pipe\SkylineDBd-v1-user-` and the user's name in small letters.
    User,
    /// One daemon a database file: in the folder of the machine, where this user may write that, or of the user, but with
    /// `-` and a hash of the database's path before the dot. The hash is the first 16 hexadecimal digits of the SHA-256 of
    /// the canonical path, on Windows in small letters.
    Database,
}

/// Where a daemon's lock and socket lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The single-instance lock: a file, on Windows the name of a mutex.
    pub lock_file: PathBuf,
    /// The socket, on Windows the named pipe.
    pub endpoint: PathBuf,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 3] = [Self::Machine, Self::User, Self::Database];

    /// The scope that a daemon of this user gets: the machine's if `/var/run` may be written, otherwise the user's;
    /// on Windows always the machine's.
    #[must_use]
    pub fn of_this_user() -> Self {
        imp::scope_of_this_user()
    }

    /// Its name, as it is written on a command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::User => "user",
            Self::Database => "database",
        }
    }

    /// Where the daemon that a user starts for a database has its lock and its socket. `None` for a user without a runtime
    /// folder and a home. `database` counts in database scope only, and has to be [canonical](crate::canonical_database).
    #[must_use]
    pub fn places(self, database: &Path) -> Option<Places> {
        match self {
            Self::Database => imp::places(Self::of_this_user(), Some(&database_hash(database))),
            Self::Machine | Self::User => imp::places(self, None),
        }
    }

    /// Where a client looks, in this order: what the user has comes before what the machine has.
    pub(crate) fn candidates(scope: Option<Self>, database: &Path) -> Vec<PathBuf> {
        let places = match scope {
            None => [Self::User.places(database), Self::Machine.places(database)],
            Some(Self::Database) => {
                let hash = database_hash(database);
                [imp::places(Self::User, Some(&hash)), imp::places(Self::Machine, Some(&hash))]
            }
            Some(scope) => [scope.places(database), None],
        };
        places.into_iter().flatten().map(|places| places.endpoint).collect()
    }
}

impl Places {
    /// Those of a daemon that listens somewhere else: its lock belongs to the endpoint.
    #[must_use]
    pub fn at(endpoint: &Path) -> Self {
        Self { lock_file: imp::lock_of(endpoint), endpoint: endpoint.to_owned() }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let scope = Self::ALL.into_iter().find(|scope| scope.name() == text);
        scope.ok_or_else(|| format!("there is no scope {text:?}; there are machine, user and database"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_as_they_are_written() {
        for scope in Scope::ALL {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        assert!("planet".parse::<Scope>().expect_err("no scope").contains("user"));
    }
}
