//! Who shares a daemon: it decides where its lock and its socket lie.

#[cfg(unix)]
#[path = "scope/unix.rs"]
mod platform;
#[cfg(windows)]
#[path = "scope/windows.rs"]
mod platform;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use sha2::{Digest as _, Sha256};

pub(crate) use platform::*;

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
        platform::scope_of_this_user()
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
    /// folder and a home. `database` counts in database scope only, and has to be [canonical](canonical_database).
    #[must_use]
    pub fn places(self, database: &Path) -> Option<Places> {
        match self {
            Self::Database => platform::places(Self::of_this_user(), Some(&hash(database))),
            Self::Machine | Self::User => platform::places(self, None),
        }
    }

    /// Where a client looks, in this order: what the user has comes before what the machine has.
    pub(crate) fn candidates(scope: Option<Self>, database: &Path) -> Vec<PathBuf> {
        let places = match scope {
            None => [Self::User.places(database), Self::Machine.places(database)],
            Some(Self::Database) => {
                let hash = hash(database);
                [platform::places(Self::User, Some(&hash)), platform::places(Self::Machine, Some(&hash))]
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
        Self { lock_file: platform::lock_of(endpoint), endpoint: endpoint.to_owned() }
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

/// The one path that stands for a database file, whichever way it was named. The file need not be there, but its folder
/// must.
pub fn canonical_database(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    let (Some(folder), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file's path"));
    };
    match dunce::canonicalize(&absolute) {
        Ok(existing) => Ok(existing),
        // A database that is yet to be made has no canonical path, but its folder has.
        Err(_) => dunce::canonicalize(folder).map(|folder| folder.join(name)),
    }
}

/// Whether a [canonical](canonical_database) path and one that a daemon has given are of one database file.
#[must_use]
pub fn is_same_database(canonical: &Path, other: &str) -> bool {
    platform::identity(canonical.as_os_str()) == platform::identity(other.as_ref())
}

/// The hash of a [canonical](canonical_database) path, as it is in names of database scope.
#[must_use]
pub fn hash(database: &Path) -> String {
    let digest = Sha256::digest(platform::identity(database.as_os_str()));
    let mut hash = format!("{digest:x}");
    hash.truncate(16);
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_has_one_hash_however_it_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().canonicalize().expect("a path");
        let database = folder.join("app.db");
        let named = |path: &Path| hash(&canonical_database(path).expect("a path"));
        let before = named(&database);
        std::fs::create_dir(folder.join("sub")).expect("a folder");
        assert_eq!(named(&folder.join("sub/../app.db")), before);
        std::fs::write(&database, "").expect("write");
        assert_eq!(named(&database), before, "now that it is there");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&database, folder.join("link.db")).expect("a link");
            assert_eq!(named(&folder.join("link.db")), before);
        }
        #[cfg(windows)]
        for other in [
            database.to_string_lossy().to_uppercase(),
            format!(r"\\?\{}", dunce::simplified(&database).display()),
            dunce::simplified(&database).to_string_lossy().replace('\\', "/"),
        ] {
            assert_eq!(named(Path::new(&other)), before, "{other}");
        }
        assert_ne!(named(&folder.join("other.db")), before);
        // As any language can have it: hashlib.sha256(b"/a/b.db").hexdigest()[:16]
        assert_eq!(hash(Path::new("/a/b.db")), "e5f789e7feaf32e4");
        assert!(
            canonical_database(&folder.join("none/app.db")).is_err() && canonical_database(Path::new("/")).is_err()
        );
    }

    #[test]
    fn scopes_are_read_as_they_are_written() {
        for scope in Scope::ALL {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        assert!("planet".parse::<Scope>().expect_err("no scope").contains("user"));
    }
}
