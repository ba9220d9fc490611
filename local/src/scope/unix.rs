//! On Unix a daemon's lock and socket are files: in `/var/run`, or in the user's runtime folder.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::{Places, Scope};
use crate::folders::folder_of;

/// The folder of machine scope.
const MACHINE_FOLDER: &str = "/var/run";

/// Why a user has no place for a socket.
pub const NO_PLACES: &str = "neither XDG_RUNTIME_DIR nor HOME is set";

/// The machine's if its folder may be written, otherwise the user's.
pub(super) fn scope_of_this_user() -> Scope {
    if rustix::fs::access(MACHINE_FOLDER, rustix::fs::Access::WRITE_OK).is_ok() { Scope::Machine } else { Scope::User }
}

/// The places of the machine or of the user, or those of a database there.
pub(super) fn places(scope: Scope, database: Option<&str>) -> Option<Places> {
    let (_, folder, begin) = folders().into_iter().find(|(known, ..)| *known == scope)?;
    let name = database.map_or_else(|| begin.to_owned(), |hash| format!("{begin}-{hash}"));
    let file = |extension| folder.join(format!("{name}.{extension}"));
    Some(Places { lock_file: file("lock"), endpoint: file("sock") })
}

/// A socket's path is written as it is.
pub(crate) const fn endpoint(path: PathBuf) -> PathBuf {
    path
}

/// Whether a socket may be there: that is said by the system when it is to be made or connected to.
#[expect(clippy::unnecessary_wraps, reason = "as on Windows, where a pipe's name has a form")]
pub(crate) const fn check_endpoint(_: &Path) -> Result<(), String> {
    Ok(())
}

/// The lock that belongs to a socket.
pub(super) fn lock_of(endpoint: &Path) -> PathBuf {
    endpoint.with_extension("lock")
}

/// What of a path tells one file from another.
pub(crate) fn identity(path: &OsStr) -> Vec<u8> {
    path.as_encoded_bytes().to_vec()
}

/// The folders in which sockets of daemons lie, with what their names begin with.
pub(crate) fn folders() -> Vec<(Scope, PathBuf, &'static str)> {
    let user = match folder_of("XDG_RUNTIME_DIR") {
        Some(folder) => Some((folder, "skylinedb-v1")),
        None => folder_of("HOME").map(|home| (home, ".skylinedb-v1")),
    };
    let machine = (Scope::Machine, PathBuf::from(MACHINE_FOLDER), "skylinedb-v1");
    user.map(|(folder, name)| (Scope::User, folder, name)).into_iter().chain([machine]).collect()
}
