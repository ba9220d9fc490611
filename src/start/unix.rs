//! A program in the background, on Unix.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// What is to be set when neither the scope's place nor the log's is known.
pub(super) const HOME_VARIABLES: &str = "neither XDG_STATE_HOME nor HOME is set";

/// Has the daemon leave this program's session, terminal and files itself: std cannot do that between fork and exec without
/// `unsafe`.
pub(super) fn detach(command: &mut Command) {
    command.arg("--own-session");
}

/// Where SkylineDB's programs keep this user's files that are not data, such as logs: the folder `skylinedb` in
/// `$XDG_STATE_HOME`, without that variable in `$HOME/.local/state`; on Windows `%LOCALAPPDATA%\\SkylineDB`. `None` without these.
#[must_use]
pub fn state_folder() -> Option<PathBuf> {
    let folder = |variable| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("skylinedb"))
}

/// Where the log is: beside a socket that was given, else in the user's folder.
pub(super) fn log_file(endpoint: Option<&Path>) -> Option<PathBuf> {
    match endpoint {
        Some(endpoint) => Some(endpoint.with_extension("log")),
        None => state_folder().map(|folder| folder.join("daemon.log")),
    }
}
