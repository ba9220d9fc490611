//! Where files are on Windows if nobody says so.

use std::{env, path::PathBuf};

/// The configuration file: the user's, or the machine's if the user has none.
pub(super) fn default_file() -> Option<PathBuf> {
    let user = folder("APPDATA").map(|folder| folder.join(FILE)).filter(|file| file.exists());
    user.or_else(machine_file)
}

/// The machine's configuration file.
pub(crate) fn machine_file() -> Option<PathBuf> {
    machine_folder().map(|folder| folder.join(FILE))
}

/// The folder of what belongs to the machine and to no user.
pub(crate) fn machine_folder() -> Option<PathBuf> {
    folder("PROGRAMDATA")
}

const FILE: &str = "skylinedb.toml";

fn folder(variable: &str) -> Option<PathBuf> {
    let value = env::var_os(variable).filter(|value| !value.is_empty())?;
    Some(PathBuf::from(value).join("SkylineDB"))
}
