//! On Windows a daemon listens on a named pipe, and its lock is a mutex: both have names, and no files.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::{Places, Scope};

/// Where pipes are.
pub(crate) const PIPES: &str = r"\\.\pipe\";
/// What the names of a daemon's pipe and mutex begin with.
pub(crate) const NAME: &str = "SkylineDBd-v1";

/// One daemon a machine, whoever starts it, unless it is told otherwise.
pub(super) const fn scope_of_this_user() -> Scope {
    Scope::Machine
}

/// The places of the machine or of the user, or those of a database there. All pipes of a machine have their names in one
/// place, so that of a user has the user's in it.
pub(super) fn places(scope: Scope, database: Option<&str>) -> Option<Places> {
    let (space, mut name) = match scope {
        Scope::User => ("Local", format!("{NAME}-user-{}", user()?)),
        Scope::Machine | Scope::Database => ("Global", NAME.to_owned()),
    };
    let mutex = match database {
        Some(hash) => {
            name = format!("{name}-{hash}");
            format!(r"{space}\{NAME}-{hash}")
        }
        None => format!(r"{space}\{NAME}-SingleInstance"),
    };
    Some(Places { lock_file: mutex.into(), endpoint: format!("{PIPES}{name}").into() })
}

/// The mutex that belongs to a pipe.
pub(super) fn lock_of(endpoint: &Path) -> PathBuf {
    let name = endpoint.to_string_lossy();
    let name = name.rsplit(['\\', '/']).next().unwrap_or_default();
    format!(r"Global\{name}-SingleInstance").into()
}

/// What of a path tells one file from another: not its case.
pub(super) fn identity(path: &OsStr) -> Vec<u8> {
    path.to_string_lossy().to_lowercase().into_bytes()
}

/// The user's name, as far as a pipe's name may have it.
fn user() -> Option<String> {
    let user = env::var("USERNAME").ok().filter(|user| !user.is_empty())?;
    Some(user.to_lowercase().replace(['\\', '/'], "_"))
}
