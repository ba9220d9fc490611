//! The user's profile.

use std::path::PathBuf;

use super::folder_of;

pub(super) fn state_folder() -> Option<PathBuf> {
    folder_of("LOCALAPPDATA").map(|local| local.join("SkylineDB"))
}
