//! Where the configuration file is on Unix if nobody says so.

use std::{
    env,
    path::{Path, PathBuf},
};

use skylinedb_local::Scope;

/// The machine's for whoever serves the machine, else the user's.
pub(super) fn default_file() -> Option<PathBuf> {
    if Scope::of_this_user() == Scope::Machine {
        return Some(PathBuf::from("/etc/skylinedb/skylinedb.toml"));
    }
    let folder = |variable| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")));
    folder.map(|folder| folder.join("skylinedb/skylinedb.toml"))
}

/// Where it is, nobody else can make one.
#[expect(clippy::unnecessary_wraps, reason = "as on Windows, where others can")]
pub(super) const fn check_default_file(_: &Path) -> anyhow::Result<()> {
    Ok(())
}
