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
    create(connection, c"instr", 2, Nature::Plain, looking(watch, text::instr))?;
    let own = watch.clone();
    create(connection, c"replace", 3, Nature::Plain, looking(watch, move |call| text::replace(call, &own)))?;
    create(connection, c"unhex", 2, Nature::Plain, looking(watch, text::unhex))?;
    for arguments in [1, 2] {
        create(connection, c"trim", arguments, Nature::Plain, looking(watch, trim::trim))?;
        create(connection, c"ltrim", arguments, Nature::Plain, looking(watch, trim::ltrim))?;
        create(connection, c"rtrim", arguments, Nature::Plain, looking(watch, trim::rtrim))?;
    }
    like::install(connection, watch)?;
    fts5::install(connection, watch)?;
    json::install(connection, max_value_bytes)
}

/// The function, after a look whether the statement is to end if an argument is large.
fn looking(
    watch: &Watch,
    function: impl Fn(&Call<'_>) -> Result<(), Failure> + Send + 'static,
) -> impl Fn(&Call<'_>) -> Result<(), Failure> + Send + 'static {
    let watch = watch.clone();
    move |call| {
        if (0..call.len()).any(|index| call.byte_length(index) >= LOOKED_AT_FROM_BYTES) && watch.is_over().is_some() {
            return Err(Failure::Interrupted);
        }
        function(call)
    }
}

/// Counts what a call does, and looks from time to time whether its statement is to end.
struct Steps<'w> {
    watch: &'w Watch,
    between_looks: usize,
    taken: usize,
}

impl<'w> Steps<'w> {
    fn new(watch: &'w Watch, between_looks: usize) -> Self {
        Self { watch, between_looks, taken: 0 }
    }

    fn take(&mut self, steps: usize) -> Result<(), Failure> {
        self.taken += steps;
        if self.taken < self.between_looks {
            return Ok(());
        }
        self.taken = 0;
        if self.watch.is_over().is_some() { Err(Failure::Interrupted) } else { Ok(()) }
    }
}
