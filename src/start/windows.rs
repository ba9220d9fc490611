//! A program in the background, on Windows.

use std::{
    env,
    os::windows::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// `CREATE_NO_WINDOW`: a console of its own that nobody sees, so that closing this one does not end it.
const NO_WINDOW: u32 = 0x0800_0000;
/// `CREATE_NEW_PROCESS_GROUP`: this program's Ctrl-C is not meant for it.
const NEW_PROCESS_GROUP: u32 = 0x0000_0200;

/// What is to be set when neither the scope's place nor the log's is known.
pub(super) const HOME_VARIABLES: &str = "LOCALAPPDATA is not set";

pub(super) fn detach(command: &mut Command) {
    command.creation_flags(NO_WINDOW | NEW_PROCESS_GROUP);
}

/// Where SkylineDB's programs keep this user's files that are not data, such as logs: the folder `skylinedb` in
/// `$XDG_STATE_HOME`, without that variable in `$HOME/.local/state`; on Windows `%LOCALAPPDATA%\\SkylineDB`. `None` without these.
#[must_use]
pub fn state_folder() -> Option<PathBuf> {
    let local = env::var_os("LOCALAPPDATA").filter(|value| !value.is_empty()).map(PathBuf::from);
    local.map(|local| local.join("SkylineDB"))
}

/// Where the log is: in the user's folder, with the name of a pipe that was given.
pub(super) fn log_file(endpoint: Option<&Path>) -> Option<PathBuf> {
    let name = endpoint.and_then(Path::file_name).map_or("daemon".into(), |name| name.to_string_lossy());
    state_folder().map(|folder| folder.join(format!("{name}.log")))
}
