//! The folders of the XDG base directory specification.

use std::path::PathBuf;

use super::folder_of;

pub(super) fn state_folder() -> Option<PathBuf> {
    let state = folder_of("XDG_STATE_HOME").or_else(|| folder_of("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("skylinedb"))
}
