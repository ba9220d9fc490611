//! Where files are on Windows if nobody says so.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use skylinedb::windows::user;

/// The system and the administrators.
const SYSTEM: &str = "S-1-5-18";
const ADMINISTRATORS: &str = "S-1-5-32-544";

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

/// Whether a file that nobody has named may count: in `%PROGRAMDATA%` every user may make one.
pub(super) fn check_default_file(file: &Path) -> anyhow::Result<()> {
    let owner = user::sid_of_owner(file).with_context(|| format!("cannot tell whose {} is", file.display()))?;
    if [SYSTEM, ADMINISTRATORS].contains(&owner.as_str()) || user::own_sid()? == owner {
        return Ok(());
    }
    bail!(
        "the configuration file {} belongs to {}, and one that no option names must belong to the administrators or to this \
         user. Make it so (icacls \"{0}\" /setowner *{ADMINISTRATORS}), or name it: --config",
        file.display(),
        user::described(&owner)
    )
}

const FILE: &str = "skylinedb.toml";

fn folder(variable: &str) -> Option<PathBuf> {
    let value = env::var_os(variable).filter(|value| !value.is_empty())?;
    Some(PathBuf::from(value).join("SkylineDB"))
}
