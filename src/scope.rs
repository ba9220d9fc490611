//! Who shares a daemon: it decides where its lock and its socket lie.

use std::{
    env, fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use sha2::{Digest as _, Sha256};

/// The folder of machine scope.
const MACHINE_FOLDER: &str = "/var/run";

/// Who shares a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One daemon a machine: `/var/run/skylinedb-v1.sock`.
    Machine,
    /// One daemon a user: `$XDG_RUNTIME_DIR/skylinedb-v1.sock`, without that variable `$HOME/.skylinedb-v1.sock`.
    User,
    /// One daemon a database file: in the folder of the machine, where this user may write that, or of the user, but with
    /// `-` and a hash of the database's path before the dot. The hash is the first 16 hexadecimal digits of the SHA-256 of
    /// the canonical path.
    Database,
}

/// Where a daemon's lock and socket lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The single-instance lock.
    pub lock_file: PathBuf,
    /// The socket.
    pub endpoint: PathBuf,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 3] = [Self::Machine, Self::User, Self::Database];

    /// The scope that a daemon of this user gets: the machine's if `/var/run` may be written, otherwise the user's.
    #[must_use]
    pub fn of_this_user() -> Self {
        if rustix::fs::access(MACHINE_FOLDER, rustix::fs::Access::WRITE_OK).is_ok() {
            Self::Machine
        } else {
            Self::User
        }
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
            Self::Database => Self::of_this_user().places_named(&format!("skylinedb-v1-{}", hash(database))),
            Self::Machine | Self::User => self.places_named("skylinedb-v1"),
        }
    }

    /// Where a client looks, in this order: what the user has comes before what the machine has.
    pub(crate) fn candidates(scope: Option<Self>, database: &Path) -> Vec<PathBuf> {
        let places = match scope {
            None => [Self::User.places(database), Self::Machine.places(database)],
            Some(Self::Database) => {
                let name = format!("skylinedb-v1-{}", hash(database));
                [Self::User.places_named(&name), Self::Machine.places_named(&name)]
            }
            Some(scope) => [scope.places(database), None],
        };
        places.into_iter().flatten().map(|places| places.endpoint).collect()
    }

    /// The folders in which sockets of daemons lie, with what their names begin with.
    pub(crate) fn folders() -> Vec<(Self, PathBuf, &'static str)> {
        let user = match folder_of("XDG_RUNTIME_DIR") {
            Some(folder) => Some((folder, "skylinedb-v1")),
            None => folder_of("HOME").map(|home| (home, ".skylinedb-v1")),
        };
        let machine = (Self::Machine, PathBuf::from(MACHINE_FOLDER), "skylinedb-v1");
        user.map(|(folder, name)| (Self::User, folder, name)).into_iter().chain([machine]).collect()
    }

    fn places_named(self, name: &str) -> Option<Places> {
        let (_, folder, begin) = Self::folders().into_iter().find(|(scope, ..)| *scope == self)?;
        let hidden = if begin.starts_with('.') { "." } else { "" };
        let file = |extension| folder.join(format!("{hidden}{name}.{extension}"));
        Some(Places { lock_file: file("lock"), endpoint: file("sock") })
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
    match absolute.canonicalize() {
        Ok(existing) => Ok(existing),
        // A database that is yet to be made has no canonical path, but its folder has.
        Err(_) => folder.canonicalize().map(|folder| folder.join(name)),
    }
}

fn folder_of(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn hash(database: &Path) -> String {
    let digest = Sha256::digest(database.as_os_str().as_encoded_bytes());
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
        std::os::unix::fs::symlink(&database, folder.join("link.db")).expect("a link");
        assert_eq!(named(&folder.join("link.db")), before);
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
