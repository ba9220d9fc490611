//! `instr`, `replace` and `unhex`, which SQLite searches byte by byte: the time is the product of two lengths.

use memchr::memmem;
use rusqlite::ffi;

use super::{
    super::{
        cancel::Watch,
        sqlite3_function::{Call, Failure},
    },
    Steps,
};

/// How much a search byte by byte may take, in comparisons: some µs.
const PLAIN_MAX_COMPARISONS: usize = 1_024;

/// Places that are replaced between two looks whether the statement is to end: some 100 µs.
const PLACES_BETWEEN_LOOKS: usize = 1 << 14;

/// `instr(haystack, needle)`: the place of the first occurrence, from 1, in characters; of a blob in a blob, in bytes.
pub(super) fn instr(call: &Call<'_>) -> Result<(), Failure> {
    let kinds = [call.kind(0), call.kind(1)];
    if kinds.contains(&ffi::SQLITE_NULL) {
        return Ok(());
    }
    let place = match kinds.map(|kind| kind == ffi::SQLITE_BLOB) {
        [true, true] => place_in_bytes(call.blob(0), call.blob(1)),
        [false, false] => {
            let (Some(haystack), Some(needle)) = (call.text(0), call.text(1)) else { return Err(Failure::NoMemory) };
            place_in_text(haystack, needle)
        }
        _ if call.byte_length(1) == 0 => 1,
        // A blob that is read as text would be text from then on.
        _ => {
            let (haystack, needle) = (call.copy(0), call.copy(1));
            let (Some(haystack), Some(needle)) = (haystack.text(), needle.text()) else {
                return Err(Failure::NoMemory);
            };
            place_in_text(haystack, needle)
        }
    };
    call.set_integer(i64::try_from(place).unwrap_or(i64::MAX));
    Ok(())
}

fn place_in_bytes(haystack: &[u8], needle: &[u8]) -> usize {
    memmem::find(haystack, needle).map_or(0, |position| position + 1)
}

/// SQLite looks at the first byte, and at every one that does not continue a character.
fn place_in_text(haystack: &[u8], needle: &[u8]) -> usize {
    match needle.first() {
        None => return 1,
        Some(&first) if continues_character(first) => return usize::from(haystack.starts_with(needle)),
        Some(_) => {}
    }
    memmem::find(haystack, needle).map_or(0, |position| {
        1 + haystack[..=position].iter().skip(1).filter(|&&byte| !continues_character(byte)).count()
    })
}

fn continues_character(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// `replace(text, pattern, replacement)`.
pub(super) fn replace(call: &Call<'_>, watch: &Watch) -> Result<(), Failure> {
    let Some(text) = call.text(0) else { return Ok(()) };
    let Some(pattern) = call.text(1) else { return Ok(()) };
    if pattern.first().is_none_or(|&byte| byte == 0) {
        call.set_text(text);
        return Ok(());
    }
    let Some(replacement) = call.text(2) else { return Ok(()) };
    let mut steps = Steps::new(watch, PLACES_BETWEEN_LOOKS);
    // To prepare a search costs more than to search a short text.
    if text.len().saturating_mul(pattern.len()) <= PLAIN_MAX_COMPARISONS {
        let places = |from: usize| {
            text[from..].windows(pattern.len()).position(|window| window == pattern).map(|offset| from + offset)
        };
        return replace_at(call, text, pattern.len(), replacement, &mut steps, places);
    }
    let finder = memmem::Finder::new(pattern);
    let places = |from: usize| finder.find(&text[from..]).map(|offset| from + offset);
    replace_at(call, text, pattern.len(), replacement, &mut steps, places)
}

/// Replaces so many bytes wherever `next` finds them from a place on.
fn replace_at(
    call: &Call<'_>,
    text: &[u8],
    length: usize,
    replacement: &[u8],
    steps: &mut Steps<'_>,
    next: impl Fn(usize) -> Option<usize>,
) -> Result<(), Failure> {
    let Some(first) = next(0) else {
        call.set_text(text);
        return Ok(());
    };
    let mut count = 0;
    let mut place = Some(first);
    while let Some(position) = place {
        count += 1;
        steps.take(1)?;
        place = next(position + length);
    }
    let bytes = (text.len() - count * length).saturating_add(count.saturating_mul(replacement.len()));
    if bytes > call.max_bytes() && replacement.len() > length {
        return Err(Failure::TooBig);
    }
    let mut replaced = Vec::new();
    replaced.try_reserve_exact(bytes).map_err(|_| Failure::NoMemory)?;
    let mut copied = 0;
    place = Some(first);
    while let Some(position) = place {
        steps.take(1)?;
        replaced.extend_from_slice(&text[copied..position]);
        replaced.extend_from_slice(replacement);
        copied = position + length;
        place = next(copied);
    }
    replaced.extend_from_slice(&text[copied..]);
    call.set_text(&replaced);
    Ok(())
}

/// `unhex(digits, ignored)`: the bytes of pairs of digits, between which ignored characters may stand. SQLite's own looks
/// through all ignored characters for each that it meets.
pub(super) fn unhex(call: &Call<'_>) -> Result<(), Failure> {
    let (digits, ignored) = (call.text(0), call.text(1));
    let (Some(digits), Some(ignored)) = (digits, ignored) else { return Ok(()) };
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(digits.len() / 2).map_err(|_| Failure::NoMemory)?;
    let mut ignored_characters = None;
    let mut rest = super::like::until_nul(digits);
    while let Some(&high) = rest.first() {
        let Some(high) = char::from(high).to_digit(16) else {
            let character = super::like::read_character(&mut rest);
            let ignored = ignored_characters.get_or_insert_with(|| sorted_characters(ignored));
            if ignored.binary_search(&character).is_err() {
                return Ok(());
            }
            continue;
        };
        let Some(low) = rest.get(1).and_then(|&low| char::from(low).to_digit(16)) else { return Ok(()) };
        // Two digits of four bits each.
        bytes.push(u8::try_from(high << 4 | low).unwrap_or(u8::MAX));
        rest = &rest[2..];
    }
    call.set_blob(&bytes);
    Ok(())
}

fn sorted_characters(text: &[u8]) -> Vec<u32> {
    let mut rest = text;
    let mut characters = Vec::new();
    while !rest.is_empty() {
        let character = super::like::read_character(&mut rest);
        if characters.last() != Some(&character) {
            characters.push(character);
        }
    }
    characters.sort_unstable();
    characters.dedup();
    characters
}
