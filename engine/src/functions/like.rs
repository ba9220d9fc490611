//! LIKE and GLOB. SQLite's own are recursive, a level for each `%`, so that a long pattern overflows a thread's stack; and
//! they may take the product of the lengths of text and pattern. These need no stack, and look whether the statement is to
//! end.

use memchr::{memchr, memchr2};
use rusqlite::Connection;

use super::{
    super::{
        cancel::Watch,
        sqlite3_function::{Call, Failure, Nature, Wildcards, create},
    },
    Steps,
};

const LIKE: Wildcards = Wildcards { any_text: b'%', any_character: b'_', set: 0, ignores_case: true };
const GLOB: Wildcards = Wildcards { any_text: b'*', any_character: b'?', set: b'[', ignores_case: false };

/// SQLite's default limit of a pattern (`SQLITE_LIMIT_LIKE_PATTERN_LENGTH`), which is the daemon's, too.
const PATTERN_MAX_BYTES: usize = 50_000;

/// Characters that are compared between two looks: some milliseconds.
const STEPS_BETWEEN_LOOKS: usize = 1 << 20;

pub(super) fn install(connection: &Connection, watch: &Watch) -> rusqlite::Result<()> {
    for (name, arguments, wildcards) in [(c"like", 2, LIKE), (c"like", 3, LIKE), (c"glob", 2, GLOB)] {
        let watch = watch.clone();
        create(connection, name, arguments, Nature::Like(wildcards), move |call| like(call, wildcards, &watch))?;
    }
    // A function is marked for the query planner when it is called.
    connection.query_row("SELECT '' LIKE '', '' LIKE '' ESCAPE '!', '' GLOB ''", [], |_| Ok(()))
}

fn like(call: &Call<'_>, wildcards: Wildcards, watch: &Watch) -> Result<(), Failure> {
    let pattern = call.text(0);
    if pattern.is_some_and(|pattern| pattern.len() > PATTERN_MAX_BYTES) {
        return Err(Failure::Message("LIKE or GLOB pattern too complex".into()));
    }
    let mut signs = Signs {
        any_text: u32::from(wildcards.any_text),
        any_character: u32::from(wildcards.any_character),
        other: u32::from(wildcards.set),
        is_glob: wildcards.set != 0,
        ignores_case: wildcards.ignores_case,
    };
    if call.len() == 3 {
        let Some(escape) = call.text(2) else { return Ok(()) };
        let mut rest = until_nul(escape);
        let escape = if rest.is_empty() { None } else { Some(read_character(&mut rest)) };
        let Some(escape) = escape.filter(|_| rest.is_empty()) else {
            return Err(Failure::Message("ESCAPE expression must be a single character".into()));
        };
        signs.other = escape;
        if escape == signs.any_text {
            signs.any_text = 0;
        }
        if escape == signs.any_character {
            signs.any_character = 0;
        }
    }
    if let (Some(pattern), Some(text)) = (pattern, call.text(1)) {
        let mut steps = Steps::new(watch, STEPS_BETWEEN_LOOKS);
        let mut goes_on = |taken| steps.take(taken).is_ok();
        let matches = signs.matches(until_nul(pattern), until_nul(text), &mut goes_on);
        call.set_integer(i64::from(matches.ok_or(Failure::Interrupted)?));
    }
    Ok(())
}

/// What has a meaning in a pattern, each as a character; 0 for what this kind of pattern has not.
#[derive(Clone, Copy)]
struct Signs {
    any_text: u32,
    any_character: u32,
    /// The escape character of LIKE; what begins a set in GLOB.
    other: u32,
    is_glob: bool,
    ignores_case: bool,
}

/// Where to go on when the text after an `any_text` does not fit: further to the right. Only the last one counts, since
/// whatever comes before it has matched with the least text.
#[derive(Clone, Copy)]
struct Retry<'p, 't> {
    /// The pattern from after the character that is looked for; for a set, from its bracket.
    pattern: &'p [u8],
    target: Target,
    /// The text that has not been looked through.
    text: &'t [u8],
}

#[derive(Clone, Copy)]
enum Target {
    /// A character of one byte, in both cases.
    Byte(u8, u8),
    /// A longer one.
    Character(u32),
    /// A set: every place is tried.
    Set,
}

enum Outcome<'p, 't> {
    Matches,
    Differs,
    /// There is no match, wherever else one tries.
    Never,
    Retry(Retry<'p, 't>),
}

impl Signs {
    /// Whether the pattern fits the whole text; `None` if `goes_on`, which is told how much has been compared, says no.
    fn matches(self, pattern: &[u8], text: &[u8], goes_on: &mut impl FnMut(usize) -> bool) -> Option<bool> {
        let mut outcome = self.compare(pattern, text).0;
        let mut retry = None;
        loop {
            match outcome {
                Outcome::Matches => return Some(true),
                Outcome::Never => return Some(false),
                Outcome::Differs => {}
                Outcome::Retry(new) => retry = Some(new),
            }
            let Some(retry) = &mut retry else { return Some(false) };
            let before = retry.text.len();
            if !retry.advance() {
                return Some(false);
            }
            let start = match retry.target {
                // The text is where the set must fit; the next try is one character further.
                Target::Set => {
                    let start = retry.text;
                    skip_character(&mut retry.text);
                    start
                }
                _ => retry.text,
            };
            let compared;
            (outcome, compared) = self.compare(retry.pattern, start);
            if !goes_on(compared + before - retry.text.len()) {
                return None;
            }
        }
    }

    /// Compares up to the next `any_text`. Also returns how many bytes of the pattern that took.
    fn compare<'p, 't>(self, whole: &'p [u8], mut text: &'t [u8]) -> (Outcome<'p, 't>, usize) {
        let mut pattern = whole;
        let outcome = loop {
            let Some(mut wanted) = next_character(&mut pattern) else {
                break if text.is_empty() { Outcome::Matches } else { Outcome::Differs };
            };
            if wanted == self.any_text {
                break self.after_any_text(pattern, text);
            }
            let mut is_escaped = false;
            if wanted == self.other {
                if self.is_glob {
                    if is_in_set(&mut pattern, &mut text) {
                        continue;
                    }
                    break Outcome::Differs;
                }
                let Some(escaped) = next_character(&mut pattern) else { break Outcome::Differs };
                (wanted, is_escaped) = (escaped, true);
            }
            let Some(found) = next_character(&mut text) else { break Outcome::Differs };
            if wanted == found || self.ignores_case && is_same_but_case(wanted, found) {
                continue;
            }
            if wanted == self.any_character && !is_escaped {
                continue;
            }
            break Outcome::Differs;
        };
        (outcome, whole.len() - pattern.len())
    }

    /// Behind an `any_text`: skips more of them, and finds out what the text must be searched for.
    fn after_any_text<'p, 't>(self, mut pattern: &'p [u8], mut text: &'t [u8]) -> Outcome<'p, 't> {
        let mut wanted;
        let at_wanted = loop {
            let before = pattern;
            let Some(character) = next_character(&mut pattern) else { return Outcome::Matches };
            wanted = character;
            if wanted == self.any_text {
                continue;
            }
            if wanted != self.any_character || self.any_character == 0 {
                break before;
            }
            if next_character(&mut text).is_none() {
                return Outcome::Never;
            }
        };
        if wanted == self.other {
            if self.is_glob {
                return Outcome::Retry(Retry { pattern: at_wanted, target: Target::Set, text });
            }
            let Some(escaped) = next_character(&mut pattern) else { return Outcome::Never };
            wanted = escaped;
        }
        let target = match u8::try_from(wanted) {
            Ok(byte) if byte.is_ascii() && self.ignores_case => {
                Target::Byte(byte.to_ascii_uppercase(), byte.to_ascii_lowercase())
            }
            Ok(byte) if byte.is_ascii() => Target::Byte(byte, byte),
            _ => Target::Character(wanted),
        };
        Outcome::Retry(Retry { pattern, target, text })
    }
}

impl Retry<'_, '_> {
    /// Goes to the next place where the rest of the pattern may fit.
    fn advance(&mut self) -> bool {
        match self.target {
            Target::Byte(one, other) => {
                let found = if one == other { memchr(one, self.text) } else { memchr2(one, other, self.text) };
                let Some(position) = found else { return false };
                self.text = &self.text[position + 1..];
                true
            }
            Target::Character(wanted) => loop {
                match next_character(&mut self.text) {
                    Some(character) if character == wanted => return true,
                    Some(_) => {}
                    None => return false,
                }
            },
            Target::Set => !self.text.is_empty(),
        }
    }
}

/// Whether the next character of the text is in the set whose bracket has just been read. Both move on.
fn is_in_set(pattern: &mut &[u8], text: &mut &[u8]) -> bool {
    let Some(found) = next_character(text) else { return false };
    let (mut is_seen, mut is_inverted) = (false, false);
    let mut before_range = 0;
    let mut next = next_character(pattern);
    if next == Some(u32::from(b'^')) {
        is_inverted = true;
        next = next_character(pattern);
    }
    let closing = Some(u32::from(b']'));
    if next == closing {
        is_seen = next == Some(found);
        next = next_character(pattern);
    }
    while let Some(character) = next.filter(|_| next != closing) {
        let is_range =
            character == u32::from(b'-') && pattern.first().is_some_and(|&next| next != b']') && before_range > 0;
        if is_range {
            let end = next_character(pattern).unwrap_or(0);
            is_seen |= (before_range..=end).contains(&found);
            before_range = 0;
        } else {
            is_seen |= character == found;
            before_range = character;
        }
        next = next_character(pattern);
    }
    next.is_some() && is_seen != is_inverted
}

/// SQLite's pattern functions take a text up to its first NUL for the whole.
pub(super) fn until_nul(text: &[u8]) -> &[u8] {
    memchr(0, text).map_or(text, |end| &text[..end])
}

fn next_character(text: &mut &[u8]) -> Option<u32> {
    match **text {
        [] => None,
        [byte, ref rest @ ..] if byte < 0x80 => {
            *text = rest;
            Some(u32::from(byte))
        }
        _ => Some(read_character(text)),
    }
}

fn skip_character(text: &mut &[u8]) {
    if let [first, rest @ ..] = *text {
        let continuing = if *first >= 0xc0 { rest.iter().take_while(|&&byte| byte & 0xc0 == 0x80).count() } else { 0 };
        *text = &rest[continuing..];
    }
}

/// Takes a character off a text that is not empty, as SQLite does, which reads text that is not UTF-8 in its own way.
pub(super) fn read_character(text: &mut &[u8]) -> u32 {
    let (&first, mut rest) = text.split_first().unwrap_or((&0, &[]));
    let mut character = u32::from(first);
    if first >= 0xc0 {
        character = match first {
            0xc0..=0xdf => character & 0x1f,
            0xe0..=0xef => character & 0x0f,
            0xf0..=0xf7 => character & 0x07,
            0xf8..=0xfb => character & 0x03,
            0xfc..=0xfd => character & 0x01,
            _ => 0,
        };
        while let [byte, after @ ..] = rest
            && byte & 0xc0 == 0x80
        {
            character = (character << 6).wrapping_add(u32::from(byte & 0x3f));
            rest = after;
        }
        if character < 0x80 || character & 0xffff_f800 == 0xd800 || character & 0xffff_fffe == 0xfffe {
            character = 0xfffd;
        }
    }
    *text = rest;
    character
}

fn is_same_but_case(one: u32, other: u32) -> bool {
    match (u8::try_from(one), u8::try_from(other)) {
        (Ok(one), Ok(other)) => one.is_ascii() && other.is_ascii() && one.eq_ignore_ascii_case(&other),
        _ => false,
    }
}
