//! Folders of a user.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::{env, path::PathBuf};

#[cfg(unix)]
use unix as imp;
#[cfg(windows)]
use windows as imp;

/// Where SkylineDB's programs keep this user's files that are not data, such as logs: the folder `skylinedb` in
/// `$XDG_STATE_HOME`, without that variable in `$HOME/.local/state`; on Windows `%LOCALAPPDATA%\SkylineDB`. `None` without these.
#[must_use]
pub fn state_folder() -> Option<PathBuf> {
    imp::state_folder()
}

/// The folder that an environment variable names; an empty variable counts as unset.
pub(crate) fn folder_of(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}
