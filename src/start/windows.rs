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

/// The folder of the log.
pub(super) fn state_folder() -> Option<PathBuf> {
    let local = env::var_os("LOCALAPPDATA").filter(|value| !value.is_empty()).map(PathBuf::from);
    local.map(|local| local.join("SkylineDB"))
}

/// The log of a daemon that listens at a place of its own: by the pipe's name.
pub(super) fn log_of(endpoint: &Path) -> Option<PathBuf> {
    let name = endpoint.file_name()?.to_string_lossy().into_owned();
    Some(state_folder()?.join(format!("{name}.log")))
}
