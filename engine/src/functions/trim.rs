//! `trim`, `ltrim` and `rtrim`. SQLite's own compares every character of the set with every one that it cuts off.

use std::collections::HashMap;

use super::super::sqlite3_function::{Call, Failure};

/// How much time the plain search may take, in comparisons: some 10 µs. Below it, it is faster than to build an index.
const PLAIN_MAX_COMPARISONS: usize = 4_096;

/// The longest set of characters: its index takes some 30 times as much memory.
const SET_MAX_BYTES: usize = 1 << 20;

pub(super) fn trim(call: &Call<'_>) -> Result<(), Failure> {
    cut(call, true, true)
}

pub(super) fn ltrim(call: &Call<'_>) -> Result<(), Failure> {
    cut(call, true, false)
}

pub(super) fn rtrim(call: &Call<'_>) -> Result<(), Failure> {
    cut(call, false, true)
}

fn cut(call: &Call<'_>, left: bool, right: bool) -> Result<(), Failure> {
    let Some(text) = call.text(0) else { return Ok(()) };
    if call.len() == 1 {
        call.set_text(cut_bytes(text, left, right, |byte| byte == b' '));
        return Ok(());
    }
    let Some(set) = call.text(1) else { return Ok(()) };
    let set = super::like::until_nul(set);
    if set.is_ascii() {
        let mut is_in_set = [false; 256];
        for &byte in set {
            is_in_set[usize::from(byte)] = true;
        }
        call.set_text(cut_bytes(text, left, right, |byte| is_in_set[usize::from(byte)]));
        return Ok(());
    }
    if text.len().saturating_mul(set.len()) <= PLAIN_MAX_COMPARISONS {
        let characters: Vec<&[u8]> = Characters(set).collect();
        let at = |fits: &dyn Fn(&[u8]) -> bool| characters.iter().find(|character| fits(character)).map(|c| c.len());
        let mut text = text;
        while left && let Some(length) = at(&|character| text.starts_with(character)) {
            text = &text[length..];
        }
        while right && let Some(length) = at(&|character| text.ends_with(character)) {
            text = &text[..text.len() - length];
        }
        call.set_text(text);
        return Ok(());
    }
    if set.len() > SET_MAX_BYTES {
        return Err(Failure::Message(format!(
            "the set of characters to trim has {} bytes; the daemon allows {SET_MAX_BYTES}",
            set.len()
        )));
    }
    let index = Index::of(set);
    let text = if left { index.cut_left(text) } else { text };
    call.set_text(if right { index.cut_right(text) } else { text });
    Ok(())
}

fn cut_bytes(mut text: &[u8], left: bool, right: bool, is_in_set: impl Fn(u8) -> bool) -> &[u8] {
    while left
        && let [first, rest @ ..] = text
        && is_in_set(*first)
    {
        text = rest;
    }
    while right
        && let [rest @ .., last] = text
        && is_in_set(*last)
    {
        text = rest;
    }
    text
}

/// The characters of a set as SQLite takes it apart: one byte, or one from 0xC0 on with all that continue it, however many.
struct Characters<'t>(&'t [u8]);

impl<'t> Iterator for Characters<'t> {
    type Item = &'t [u8];

    fn next(&mut self) -> Option<&'t [u8]> {
        let first = *self.0.first()?;
        let continuing = if first >= 0xc0 { run_of_continuing(&self.0[1..]) } else { 0 };
        let (character, rest) = self.0.split_at(1 + continuing);
        self.0 = rest;
        Some(character)
    }
}

fn run_of_continuing(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|&&byte| byte & 0xc0 == 0x80).count()
}

/// A set of characters, to be found by their bytes. Where more than one fits, which needs text that is not UTF-8, the one
/// that stands first in the set is taken.
struct Index {
    /// The place in the set of each character of one byte.
    single: [Option<usize>; 256],
    /// A tree of the longer ones: which node follows a node (0 is the root) by a byte.
    nodes: HashMap<(u32, u8), u32>,
    /// The place in the set of the character that ends at a node.
    ends: Vec<Option<usize>>,
}

impl Index {
    fn of(set: &[u8]) -> Self {
        let mut index = Self { single: [None; 256], nodes: HashMap::new(), ends: vec![None] };
        for (place, character) in Characters(set).enumerate() {
            if let [byte] = character {
                index.single[usize::from(*byte)].get_or_insert(place);
                continue;
            }
            let mut node = 0;
            for &byte in character {
                // No more nodes than bytes in the set.
                let new = u32::try_from(index.ends.len()).unwrap_or(u32::MAX);
                node = *index.nodes.entry((node, byte)).or_insert(new);
                if node == new {
                    index.ends.push(None);
                }
            }
            index.ends[node as usize].get_or_insert(place);
        }
        index
    }

    /// Where the characters stand in the set that are prefixes of this text: of 1 byte, of 2, and so on.
    fn prefixes<'i>(&'i self, text: &'i [u8]) -> impl Iterator<Item = Option<usize>> + 'i {
        let nodes = text.iter().scan(0, |node, &byte| {
            *node = *self.nodes.get(&(*node, byte))?;
            Some(*node)
        });
        nodes.map(|node| self.ends[node as usize])
    }

    fn cut_left<'t>(&self, mut text: &'t [u8]) -> &'t [u8] {
        while let Some(&first) = text.first() {
            let single = self.single[usize::from(first)].map(|place| (place, 1));
            let long = if first >= 0xc0 {
                let found = self.prefixes(text).zip(1..);
                found.filter_map(|(place, length)| Some((place?, length))).min()
            } else {
                None
            };
            match single.into_iter().chain(long).min() {
                Some((_, length)) => text = &text[length..],
                None => break,
            }
        }
        text
    }

    fn cut_right<'t>(&self, mut text: &'t [u8]) -> &'t [u8] {
        // The only long character that can end a text begins at the last byte from 0xC0 on, if all after it continue it.
        // What fits from there is looked up once: text that is cut off from the right does not change it.
        let mut start = usize::MAX;
        let mut prefixes = Vec::new();
        while let Some(&last) = text.last() {
            let single = self.single[usize::from(last)].map(|place| (place, 1));
            if last & 0xc0 == 0x80 && text.len() <= start.saturating_add(1) {
                start = text.len() - 1;
                while start > 0 && text[start] & 0xc0 == 0x80 {
                    start -= 1;
                }
                prefixes = if text[start] >= 0xc0 { self.prefixes(&text[start..]).collect() } else { Vec::new() };
            }
            let long = if last & 0xc0 == 0x80 {
                let length = text.len() - start;
                prefixes.get(length - 1).copied().flatten().map(|place| (place, length))
            } else {
                None
            };
            match single.into_iter().chain(long).min() {
                Some((_, length)) => text = &text[..text.len() - length],
                None => break,
            }
        }
        text
    }
}
