//! Says which statement of a script failed, where it is and why.

use std::fmt::Write;

use skylinedb::{DatabaseError, Error};

use crate::{excerpt::Excerpt, failure::Failure, source::SourceStatement};

/// The failure of a batch of these statements, before which come `before` others of the script. The last line says what
/// became of them.
pub(super) fn failure(error: Error, statements: &[SourceStatement<'_>], before: usize, consequence: &str) -> Failure {
    match error {
        Error::Database(error) => Failure::refused(describe(&error, statements, before, consequence)),
        _ => error.into(),
    }
}

/// The error's message, the statement and the reason.
pub(super) fn describe(
    error: &DatabaseError,
    statements: &[SourceStatement<'_>],
    before: usize,
    consequence: &str,
) -> String {
    let mut text = error.message.clone();
    // Writing to a String cannot fail.
    if let Some((index, statement)) = error.statement_index.and_then(|index| Some((index, statements.get(index)?))) {
        let excerpt = Excerpt::new(statement.sql, error.sql_offset);
        let _ = write!(text, "\n  in statement {}", before + index + 1);
        if let Some(source) = statement.source {
            let _ = write!(text, ", line {} of {source}", statement.line + excerpt.lines_before);
        }
        let _ = write!(text, ":\n    {}", excerpt.text);
        if let Some(caret) = excerpt.caret {
            let _ = write!(text, "\n    {:caret$}^", "");
        }
    }
    let _ = write!(text, "\n  reason: {}", error.reason);
    if !consequence.is_empty() {
        let _ = write!(text, "\n{consequence}");
    }
    text
}
