//! FTS5's auxiliary functions. In SQLite's own, `highlight()` and `snippet()` take the square of a row's matches, all of them the
//! product of matches and phrases, and none looks whether its statement is to end.

mod highlight;
mod instances;
mod rank;
mod snippet;
#[cfg(test)]
mod tests;

use rusqlite::Connection;

use super::{
    super::{
        cancel::Watch,
        sqlite3_fts5::{Row, create},
        sqlite3_function::{Call, Failure},
    },
    Steps,
    like::until_nul,
};

/// Tokens or instances between two looks: some milliseconds in an unoptimised build.
const STEPS_BETWEEN_LOOKS: usize = 1 << 13;

pub(super) fn install(connection: &Connection, watch: &Watch) -> rusqlite::Result<()> {
    let with_watch = |function: fn(&Call<'_>, Row<'_>, &mut Steps<'_>) -> Result<(), Failure>| {
        let watch = watch.clone();
        move |call: &Call<'_>, row: Row<'_>| function(call, row, &mut Steps::new(&watch, STEPS_BETWEEN_LOOKS))
    };
    create(connection, c"highlight", with_watch(highlight::highlight))?;
    create(connection, c"snippet", with_watch(snippet::snippet))?;
    create(connection, c"bm25", with_watch(rank::bm25))
}

/// An argument as text that is put into the result: NULL adds nothing, and a NUL ends it.
fn addition<'c>(call: &Call<'c>, index: usize) -> &'c [u8] {
    call.text(index).map_or(&[], until_nul)
}
