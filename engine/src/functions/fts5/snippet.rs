//! `snippet()`: the part of a row that shows the most of what was found.

use std::ops::ControlFlow;

use rusqlite::ffi;

use super::{
    super::super::{
        sqlite3_fts5::Row,
        sqlite3_function::{Call, Failure},
    },
    Steps, addition,
    highlight::{Highlighter, Marks, Matches, Range},
    instances::{Instance, Instances, Phrases},
};

/// `snippet(table, column, open, close, ellipsis, tokens)`: so many tokens of the column, or of any for -1.
pub(super) fn snippet(call: &Call<'_>, row: Row<'_>, steps: &mut Steps<'_>) -> Result<(), Failure> {
    if call.len() != 5 {
        return Err(Failure::Message("wrong number of arguments to function snippet()".into()));
    }
    let column = call.integer(0);
    let marks = Marks { open: addition(call, 1), close: addition(call, 2) };
    let ellipsis = addition(call, 3);
    let width = call.integer(4);

    let mut best = find_best(row, column, width, steps)?;
    let text = row.text(best.column)?;
    if best.column_size == 0 {
        best.column_size = row.size(best.column)?;
    }
    let Some(text) = text else { return Ok(()) };
    let last = best.start.wrapping_add(width).wrapping_sub(1);
    let instances = Phrases::of(row, steps)?.in_column(best.column, steps)?;
    let mut matches = Matches::new(instances, steps)?;
    matches.skip_until(best.start, steps)?;
    let mut highlighter = Highlighter::new(text, marks, matches, call.max_bytes());
    // With a width below one SQLite shows all.
    highlighter.range = (last >= 0).then_some(Range { first: best.start, last });
    if best.start > 0 {
        highlighter.output.push(ellipsis)?;
    }
    row.tokenize(best.column, text, |start, end| highlighter.token(start, end, steps))?;
    highlighter.close()?;
    if last >= best.column_size.saturating_sub(1) {
        highlighter.copy_rest()?;
    } else {
        highlighter.output.push(ellipsis)?;
    }
    call.set_text(highlighter.output.bytes());
    Ok(())
}

/// The best part so far.
struct Best {
    score: i32,
    column: i32,
    /// The number of its first token.
    start: i32,
    /// How many tokens its column has; 0 if nothing was found.
    column_size: i32,
}

impl Best {
    fn compare(&mut self, other: Self) {
        if other.score > self.score {
            *self = other;
        }
    }
}

fn find_best(row: Row<'_>, wanted: i32, width: i32, steps: &mut Steps<'_>) -> Result<Best, Failure> {
    let mut best = Best { score: 0, column: wanted.max(0), start: 0, column_size: 0 };
    let mut phrases = Phrases::of(row, steps)?;
    // SQLite goes on after these two failures, and the last column decides. Without a query it has no memory for the phrases.
    let mut failure = (row.phrase_count()? == 0).then_some(ffi::SQLITE_NOMEM);
    for column in (0..row.column_count()?).filter(|&column| wanted < 0 || wanted == column) {
        steps.take(1)?;
        let text = row.text(column)?.unwrap_or(&[]);
        let column_size = row.size(column)?;
        let instances = phrases.in_column(column, steps)?;
        failure = None;
        if instances.next_start().is_none() {
            continue;
        }
        let mut search = Search {
            column,
            column_size,
            width,
            from_instance: Window::new(&instances, width, row.phrase_count()?),
            from_sentence: Window::new(&instances, width, row.phrase_count()?),
            instances,
            sentence: None,
            tried_sentence: None,
            has_more: false,
            best: &mut best,
        };
        if column_size > width {
            let mut sentences = Sentences::new(text);
            row.tokenize(column, text, |start, _| {
                steps.take(1)?;
                if let Some(sentence) = sentences.begun_by_token(start) {
                    search.try_until(Some(sentence), steps)?;
                    search.sentence = Some(sentence);
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        search.try_until(None, steps)?;
        failure = search.has_more.then_some(ffi::SQLITE_CORRUPT_VTAB);
    }
    failure.map_or(Ok(best), |code| Err(Failure::Code(code)))
}

/// Looks for the best part in a column.
struct Search<'c, 'b> {
    column: i32,
    column_size: i32,
    width: i32,
    /// Those from which on no part has been tried.
    instances: Instances<'c>,
    from_instance: Window<'c>,
    from_sentence: Window<'c>,
    /// The first token of the sentence in which the instances are, if that is of interest.
    sentence: Option<i32>,
    tried_sentence: Option<i32>,
    /// Whether there are instances behind the column's end.
    has_more: bool,
    best: &'b mut Best,
}

impl Search<'_, '_> {
    /// Tries the part from each instance before a token on, and that from the beginning of its sentence on.
    fn try_until(&mut self, end: Option<i32>, steps: &mut Steps<'_>) -> Result<(), Failure> {
        let Self { column, column_size, .. } = *self;
        while !self.has_more
            && self.instances.next_start().is_some_and(|start| end.is_none_or(|end| start < end))
            && let Some(Instance { start, .. }) = self.instances.next(steps)?
        {
            self.has_more = start > column_size;
            if self.has_more {
                break;
            }
            let score = self.from_instance.score(start, steps)?;
            let end = self.from_instance.last.map_or(0, |last| last.end);
            self.best.compare(Best { score, column, start: self.centred(start, end), column_size });

            // To try a sentence again would change nothing.
            if let Some(sentence) = self.sentence.filter(|&sentence| sentence < start)
                && self.tried_sentence != Some(sentence)
            {
                self.tried_sentence = Some(sentence);
                let bonus = if sentence == 0 { 120 } else { 100 };
                let score = self.from_sentence.score(sentence, steps)?.saturating_add(bonus);
                self.best.compare(Best { score, column, start: sentence, column_size });
            }
        }
        Ok(())
    }

    /// Where a part begins that has what was found in its middle.
    fn centred(&self, start: i32, end: i32) -> i32 {
        let around = self.width.wrapping_sub(end.wrapping_sub(start)) / 2;
        let mut first = i64::from(start.wrapping_sub(around));
        if first + i64::from(self.width) > i64::from(self.column_size) {
            first = i64::from(self.column_size.wrapping_sub(self.width));
        }
        i32::try_from(first.max(0)).unwrap_or(i32::MAX)
    }
}

/// The instances in so many tokens. It moves to the right only, so that each instance enters and leaves it once.
struct Window<'c> {
    width: i32,
    entering: Instances<'c>,
    leaving: Instances<'c>,
    /// How many instances of each phrase are in it.
    of_phrase: Vec<u32>,
    instances: i64,
    phrases: i64,
    /// The instance that has entered last.
    last: Option<Instance>,
}

/// What a phrase counts more for its first instance than for the others.
const FIRST_INSTANCE: i64 = 999;

impl<'c> Window<'c> {
    fn new(instances: &Instances<'c>, width: i32, phrases: usize) -> Self {
        let (entering, leaving) = (instances.clone(), instances.clone());
        Self { width, entering, leaving, of_phrase: vec![0; phrases], instances: 0, phrases: 0, last: None }
    }

    /// Moves to a token, and returns the score of what is in it then.
    fn score(&mut self, start: i32, steps: &mut Steps<'_>) -> Result<i32, Failure> {
        if self.width <= 0 {
            return Ok(0);
        }
        let end = i64::from(start) + i64::from(self.width);
        while self.entering.next_start().is_some_and(|next| i64::from(next) < end)
            && let Some(instance) = self.entering.next(steps)?
        {
            let of_phrase = &mut self.of_phrase[instance.phrase];
            *of_phrase += 1;
            self.phrases += i64::from(*of_phrase == 1);
            self.instances += 1;
            self.last = Some(instance);
        }
        while self.leaving.next_start().is_some_and(|next| next < start)
            && let Some(instance) = self.leaving.next(steps)?
        {
            let of_phrase = &mut self.of_phrase[instance.phrase];
            *of_phrase -= 1;
            self.phrases -= i64::from(*of_phrase == 0);
            self.instances -= 1;
        }
        Ok(i32::try_from(self.instances + FIRST_INSTANCE * self.phrases).unwrap_or(i32::MAX))
    }
}

/// Finds the tokens that begin a sentence: the first one, and those behind a full stop or a colon and white space.
struct Sentences<'t> {
    text: &'t [u8],
    /// The number of the next token.
    position: i32,
    /// Up to where the text has been looked through, and the end of what is not white space in it.
    seen: usize,
    seen_end: usize,
}

impl<'t> Sentences<'t> {
    fn new(text: &'t [u8]) -> Self {
        Self { text, position: 0, seen: 0, seen_end: 0 }
    }

    /// The number of the next token, which begins at this place, if it begins a sentence.
    fn begun_by_token(&mut self, start: usize) -> Option<i32> {
        let position = self.position;
        self.position += 1;
        (position == 0 || self.is_behind_stop(start)).then_some(position)
    }

    /// Looks from the last token on, not back from this one: the tokens of `trigram` are white space, too, and overlap.
    fn is_behind_stop(&mut self, start: usize) -> bool {
        if start < self.seen {
            (self.seen, self.seen_end) = (0, 0);
        }
        let new = self.text.get(self.seen..start).unwrap_or(&[]);
        if let Some(last) = new.iter().rposition(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
            self.seen_end = self.seen + last + 1;
        }
        self.seen = start;
        self.seen_end < start && matches!(self.text[..self.seen_end].last(), Some(b'.' | b':'))
    }
}
