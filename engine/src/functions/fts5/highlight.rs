//! `highlight()`, and how both it and `snippet()` mark what was found.

use std::ops::ControlFlow;

use rusqlite::ffi;

use super::{
    super::super::{
        sqlite3_fts5::Row,
        sqlite3_function::{Call, Failure},
    },
    Steps, addition,
    instances::{Instances, Phrases},
    until_nul,
};

/// `highlight(table, column, open, close)`: the column's text with marks around what was found.
pub(super) fn highlight(call: &Call<'_>, row: Row<'_>, steps: &mut Steps<'_>) -> Result<(), Failure> {
    if call.len() != 3 {
        return Err(Failure::Message("wrong number of arguments to function highlight()".into()));
    }
    let column = call.integer(0);
    let marks = Marks { open: addition(call, 1), close: addition(call, 2) };
    let text = match row.text(column) {
        Err(Failure::Code(ffi::SQLITE_RANGE)) => {
            call.set_text(b"");
            return Ok(());
        }
        text => text?,
    };
    let Some(text) = text else { return Ok(()) };
    let instances = Phrases::of(row, steps)?.in_column(column, steps)?;
    let mut highlighter = Highlighter::new(text, marks, Matches::new(instances, steps)?, call.max_bytes());
    row.tokenize(column, text, |start, end| highlighter.token(start, end, steps))?;
    highlighter.close()?;
    highlighter.copy_rest()?;
    call.set_text(&highlighter.output.bytes);
    Ok(())
}

/// What is put around a match.
#[derive(Clone, Copy)]
pub(super) struct Marks<'t> {
    pub(super) open: &'t [u8],
    pub(super) close: &'t [u8],
}

/// The tokens of a text that a snippet shows.
#[derive(Clone, Copy)]
pub(super) struct Range {
    pub(super) first: i32,
    pub(super) last: i32,
}

/// Goes through a text's tokens, and writes the text with its marks.
pub(super) struct Highlighter<'t, 'c> {
    text: &'t [u8],
    marks: Marks<'t>,
    matches: Matches<'c>,
    /// `None` for the whole text.
    pub(super) range: Option<Range>,
    pub(super) output: Output,
    /// The number of the next token.
    position: i32,
    /// Up to where the text has been copied.
    copied: usize,
    is_open: bool,
}

impl<'t, 'c> Highlighter<'t, 'c> {
    pub(super) fn new(text: &'t [u8], marks: Marks<'t>, matches: Matches<'c>, max_bytes: usize) -> Self {
        let output = Output { bytes: Vec::new(), max_bytes };
        Self { text, marks, matches, range: None, output, position: 0, copied: 0, is_open: false }
    }

    /// Takes the next token. Stops behind the range: nothing more is shown.
    pub(super) fn token(
        &mut self,
        start: usize,
        end: usize,
        steps: &mut Steps<'_>,
    ) -> Result<ControlFlow<()>, Failure> {
        steps.take(1)?;
        let position = self.position;
        self.position += 1;
        if let Some(range) = self.range {
            if position < range.first {
                return Ok(ControlFlow::Continue(()));
            }
            if position > range.last {
                return Ok(ControlFlow::Break(()));
            }
            // A snippet from the first token on begins with what is before it.
            if position == range.first && position > 0 {
                self.copied = start;
            }
        }
        // Tokens may overlap, as those of `trigram` do: the mark stays open until one begins behind what was copied.
        if self.is_open && self.matches.current.is_none_or(|found| position <= found.first) && start > self.copied {
            self.close()?;
        }
        if !self.is_open && self.matches.current.is_some_and(|found| position == found.first) {
            self.copy_until(start)?;
            self.open()?;
        }
        if self.matches.current.is_some_and(|found| position == found.last) {
            // Not open if the match begins before the snippet.
            if !self.is_open {
                self.open()?;
            }
            self.copy_until(end)?;
            self.matches.advance(steps)?;
        }
        if self.range.is_some_and(|range| position == range.last) {
            if self.is_open {
                if self.matches.current.is_some_and(|found| position >= found.first) {
                    self.copy_until(end)?;
                }
                self.close()?;
            }
            self.copy_until(end)?;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn open(&mut self) -> Result<(), Failure> {
        self.is_open = true;
        self.output.push(self.marks.open)
    }

    /// Closes a mark that is open.
    pub(super) fn close(&mut self) -> Result<(), Failure> {
        if !self.is_open {
            return Ok(());
        }
        self.is_open = false;
        self.output.push(self.marks.close)
    }

    pub(super) fn copy_rest(&mut self) -> Result<(), Failure> {
        self.copy_until(self.text.len())
    }

    /// Copies the text up to a place, or all of it if the place is before what was copied: SQLite takes the length, which is
    /// then negative, for that of a whole text.
    fn copy_until(&mut self, end: usize) -> Result<(), Failure> {
        let rest = self.text.get(self.copied..).unwrap_or(&[]);
        let piece = end.checked_sub(self.copied).and_then(|length| rest.get(..length)).unwrap_or(rest);
        self.copied = end;
        self.output.push(until_nul(piece))
    }
}

/// What was found, as numbers of tokens, overlapping instances as one.
#[derive(Clone, Copy)]
pub(super) struct Match {
    first: i32,
    last: i32,
}

/// The matches of a column, in order.
pub(super) struct Matches<'c> {
    instances: Instances<'c>,
    current: Option<Match>,
}

impl<'c> Matches<'c> {
    pub(super) fn new(instances: Instances<'c>, steps: &mut Steps<'_>) -> Result<Self, Failure> {
        let mut matches = Self { instances, current: None };
        matches.advance(steps)?;
        Ok(matches)
    }

    /// Leaves the matches that begin before a token behind.
    pub(super) fn skip_until(&mut self, position: i32, steps: &mut Steps<'_>) -> Result<(), Failure> {
        while self.current.is_some_and(|found| found.first < position) {
            self.advance(steps)?;
        }
        Ok(())
    }

    fn advance(&mut self, steps: &mut Steps<'_>) -> Result<(), Failure> {
        self.current = None;
        let Some(instance) = self.instances.next(steps)? else { return Ok(()) };
        let mut end = instance.end;
        while self.instances.next_start().is_some_and(|start| start < end)
            && let Some(next) = self.instances.next(steps)?
        {
            end = end.max(next.end);
        }
        self.current = Some(Match { first: instance.start, last: end - 1 });
        Ok(())
    }
}

/// The text that is written, which may be as long as a value.
pub(super) struct Output {
    bytes: Vec<u8>,
    max_bytes: usize,
}

impl Output {
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), Failure> {
        if piece.len() > self.max_bytes - self.bytes.len() {
            return Err(Failure::TooBig);
        }
        self.bytes.try_reserve(piece.len()).map_err(|_| Failure::NoMemory)?;
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
