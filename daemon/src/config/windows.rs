//! Where files are on Windows if nobody says so.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use skylinedb_local::windows::user::{self, ADMINISTRATORS};

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
    let Some(owner) = stranger(file)? else { return Ok(()) };
    bail!(
        "the configuration file {} belongs to {owner}, and one that no option names must belong to the administrators or to \
         this user. Make it so (icacls \"{0}\" /setowner *{ADMINISTRATORS}), or name it: --config",
        file.display()
    )
}

/// Whether the folder of what belongs to the machine may be used: what is in a user's folder that user can replace.
pub(crate) fn check_machine_folder(folder: &Path) -> anyhow::Result<()> {
    let Some(owner) = stranger(folder)? else { return Ok(()) };
    bail!(
        "the folder {} belongs to {owner}, who can replace what is in it; it must belong to the administrators or to this \
         user. Look at what is in it, and remove it",
        folder.display()
    )
}

/// Whose a file or folder is, unless it is the system's, the administrators' or this user's.
fn stranger(path: &Path) -> anyhow::Result<Option<String>> {
    let owner = user::sid_of_owner(path).with_context(|| format!("cannot tell whose {} is", path.display()))?;
    let is_trusted = user::is_own_or_administrators(&owner, &user::own_sid()?);
    Ok((!is_trusted).then(|| user::described(&owner)))
}

const FILE: &str = "skylinedb.toml";

fn folder(variable: &str) -> Option<PathBuf> {
    let value = env::var_os(variable).filter(|value| !value.is_empty())?;
    Some(PathBuf::from(value).join("SkylineDB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_user_has_made_is_no_strangers() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(FILE);
        std::fs::write(&file, "").expect("a file");
        assert_eq!(stranger(&file).expect("an owner"), None);
        check_default_file(&file).expect("this user's");
        check_machine_folder(folder.path()).expect("this user's");
        assert!(stranger(&folder.path().join("none")).is_err());
    }
}
