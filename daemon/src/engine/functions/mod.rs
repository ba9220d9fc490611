//! The daemon's versions of SQL functions that would take seconds inside one instruction of SQLite, where nothing can end
//! them: searching that takes the product of two lengths, and JSON functions that go through a document again and again.
//!
//! Each gives what SQLite's own gives, byte for byte: an index over `replace(a, b, c)` is also read and written by other
//! programs. Each is linear, asks whether its statement is to end, or refuses what would take too long.

mod fts5;
mod json;
mod like;
#[cfg(test)]
mod tests;
mod text;
mod trim;

use rusqlite::Connection;

use super::{
    cancel::Watch,
    sqlite3_function::{Call, Failure, Nature, create, without_lookaside},
};

/// Shorter arguments are through in less time than it takes to look whether the statement is to end.
const LOOKED_AT_FROM_BYTES: usize = 1 << 20;

/// Installs the functions on a new connection whose statements this watch ends.
pub(super) fn install(connection: &Connection, watch: &Watch, max_value_bytes: i32) -> rusqlite::Result<()> {
    without_lookaside(connection, || install_all(connection, watch, max_value_bytes))
}

fn install_all(connection: &Connection, watch: &Watch, max_value_bytes: i32) -> rusqlite::Result<()> {
    let with_watch = |function: fn(&Call<'_>, &Watch) -> Result<(), Failure>| {
        let watch = watch.clone();
        move |call: &Call<'_>| {
            if (0..call.len()).any(|index| call.byte_length(index) >= LOOKED_AT_FROM_BYTES) && watch.is_over().is_some()
            {
                return Err(Failure::Interrupted);
            }
            function(call, &watch)
        }
    };
    create(connection, c"instr", 2, Nature::Plain, with_watch(|call, _| text::instr(call)))?;
    create(connection, c"replace", 3, Nature::Plain, with_watch(text::replace))?;
    create(connection, c"unhex", 2, Nature::Plain, with_watch(|call, _| text::unhex(call)))?;
    for arguments in [1, 2] {
        create(connection, c"trim", arguments, Nature::Plain, with_watch(|call, _| trim::trim(call)))?;
        create(connection, c"ltrim", arguments, Nature::Plain, with_watch(|call, _| trim::ltrim(call)))?;
        create(connection, c"rtrim", arguments, Nature::Plain, with_watch(|call, _| trim::rtrim(call)))?;
    }
    like::install(connection, watch)?;
    fts5::install(connection, watch)?;
    json::install(connection, max_value_bytes)
}
