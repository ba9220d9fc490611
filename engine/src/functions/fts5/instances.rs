//! Where the query's phrases are found in one column of a row, in order.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
};

use super::{
    super::super::{
        sqlite3_fts5::{Positions, Row},
        sqlite3_function::Failure,
    },
    Steps,
};

/// A place where a phrase is found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instance {
    pub(super) phrase: usize,
    /// The number of its first token.
    pub(super) start: i32,
    /// The number of the token after its last one.
    pub(super) end: i32,
}

/// All phrases' positions, from which the columns are taken in ascending order.
pub(super) struct Phrases<'c> {
    row: Row<'c>,
    positions: Vec<Positions<'c>>,
}

/// The instances in a column, ordered by their starts and then by their phrases. Takes no memory for each of them, so that
/// a copy is cheap.
#[derive(Clone)]
pub(super) struct Instances<'c> {
    row: Row<'c>,
    column: i32,
    /// The positions of the phrases that are found in the column.
    phrases: Vec<(usize, Positions<'c>)>,
    /// The next start of each, with its place in `phrases`.
    queue: BinaryHeap<Reverse<(i32, usize)>>,
}

impl<'c> Phrases<'c> {
    pub(super) fn of(row: Row<'c>, steps: &mut Steps<'_>) -> Result<Self, Failure> {
        let mut positions = Vec::new();
        for phrase in 0..row.phrase_count()? {
            steps.take(1)?;
            positions.push(row.positions(phrase)?);
        }
        Ok(Self { row, positions })
    }

    /// The instances in a column. The columns before it are left behind.
    pub(super) fn in_column(&mut self, column: i32, steps: &mut Steps<'_>) -> Result<Instances<'c>, Failure> {
        let mut phrases = Vec::new();
        let mut starts = Vec::new();
        for (phrase, positions) in self.positions.iter_mut().enumerate() {
            steps.take(1)?;
            while positions.current().is_some_and(|(found, _)| found < column) {
                steps.take(1)?;
                positions.advance();
            }
            if let Some((_, start)) = positions.current().filter(|&(found, _)| found == column) {
                starts.push(Reverse((start, phrases.len())));
                phrases.push((phrase, positions.clone()));
            }
        }
        Ok(Instances { row: self.row, column, phrases, queue: starts.into() })
    }
}

impl Instances<'_> {
    /// Where the next instance starts.
    pub(super) fn next_start(&self) -> Option<i32> {
        self.queue.peek().map(|&Reverse((start, _))| start)
    }

    pub(super) fn next(&mut self, steps: &mut Steps<'_>) -> Result<Option<Instance>, Failure> {
        steps.take(1)?;
        let Some(mut first) = self.queue.peek_mut() else { return Ok(None) };
        let Reverse((start, place)) = *first;
        let (phrase, positions) = &mut self.phrases[place];
        let phrase = *phrase;
        positions.advance();
        match positions.current() {
            Some((column, next)) if column == self.column => *first = Reverse((next, place)),
            _ => {
                PeekMut::pop(first);
            }
        }
        let end = start.saturating_add(self.row.phrase_size(phrase)?);
        Ok(Some(Instance { phrase, start, end }))
    }
}
