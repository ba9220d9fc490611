//! A program in the background, on Unix.

use std::{env, path::PathBuf, process::Command};

/// What is to be set when neither the scope's place nor the log's is known.
pub(super) const HOME_VARIABLES: &str = "neither XDG_STATE_HOME nor HOME is set";

/// Has the daemon leave this program's session, terminal and files itself: std cannot do that between fork and exec without
/// `unsafe`.
pub(super) fn detach(command: &mut Command) {
    command.arg("--own-session");
}

/// The folder of the log.
pub(super) fn state_folder() -> Option<PathBuf> {
    let folder = |variable| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("skylinedb"))
}

/// The log of a daemon that listens at a place of its own: beside the socket.
pub(super) fn log_of(endpoint: &std::path::Path) -> Option<PathBuf> {
    Some(endpoint.with_extension("log"))
}
