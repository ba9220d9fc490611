//! The cases. A new statement is a new line in one of these tables.

mod compiling;
mod functions;
mod json;
mod parameters;
mod reading;
mod writing;

use super::case::Case;

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    [
        functions::cases(),
        json::cases(),
        compiling::cases(),
        compiling::long_texts(),
        reading::cases(),
        parameters::cases(),
        writing::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
