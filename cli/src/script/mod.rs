//! Splits an SQL script into statements, at the semicolons at which SQLite itself would.
//!
//! The states are those of `sqlite3_complete()` (<https://sqlite.org/c3ref/complete.html>): they know strings, comments
//! and the semicolons within a trigger. The tests compare with the original. A script is read whole, so that a mistake
//! in its last line is found before its first statement is sent.

use std::{ops::Range, str};

/// One statement of a script, without the blanks and comments around it and without its semicolon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScriptStatement<'a> {
    pub(crate) sql: &'a str,
    /// The script's line, counted from 1, in which `sql` begins.
    pub(crate) line: usize,
}

/// Why a script cannot be split.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScriptError {
    #[error("line {line} is not UTF-8; convert the script first, with iconv -t UTF-8 for instance")]
    NotUtf8 { line: usize },
    #[error(
        "line {line} has a NUL character, which SQL cannot have; is the script UTF-16? Convert it with iconv -t UTF-8"
    )]
    Nul { line: usize },
    #[error("{what} that begins in line {line} has no end; the statement that it is in begins in line {statement}")]
    Unterminated { what: &'static str, line: usize, statement: usize },
    #[error("the CREATE TRIGGER that begins in line {line} has no END; it should end with `END;`")]
    UnterminatedTrigger { line: usize },
}

/// The statements of a script, in order. What has only blanks and comments is no statement.
pub(crate) fn split(script: &[u8]) -> Result<Vec<ScriptStatement<'_>>, ScriptError> {
    let text =
        str::from_utf8(script).map_err(|error| ScriptError::NotUtf8 { line: line_at(script, error.valid_up_to()) })?;
    if let Some(offset) = script.iter().position(|&byte| byte == 0) {
        return Err(ScriptError::Nul { line: line_at(script, offset) });
    }

    let mut statements = Vec::new();
    let mut state = State::Start;
    let mut current: Option<Range<usize>> = None;
    let mut lines = Lines { script, offset: 0, line: 1 };
    for (token, range) in (Tokens { script, position: 0 }) {
        if let Token::Unterminated(what) = token {
            let line = line_at(script, range.start);
            let statement = current.map_or(line, |current| line_at(script, current.start));
            return Err(ScriptError::Unterminated { what, line, statement });
        }
        state = state.after(token);
        if state == State::Start {
            statements.extend(current.take().map(|range| lines.statement(text, range)));
        } else if token != Token::Space {
            current = Some(current.map_or(range.start, |current| current.start)..range.end);
        }
    }

    if let Some(range) = current {
        if matches!(state, State::Trigger | State::TriggerSemicolon) {
            return Err(ScriptError::UnterminatedTrigger { line: line_at(script, range.start) });
        }
        statements.push(lines.statement(text, range));
    }
    Ok(statements)
}

/// What the tokens so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a statement's first token.
    Start,
    /// In a statement that ends with the next semicolon.
    Normal,
    /// After EXPLAIN, and perhaps QUERY PLAN.
    Explain,
    /// After CREATE, and perhaps TEMP.
    Create,
    /// In a trigger.
    Trigger,
    /// In a trigger, after a semicolon: END would be the trigger's end.
    TriggerSemicolon,
    /// In a trigger, after that END.
    TriggerEnd,
}

/// The tokens that make a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Semicolon,
    Space,
    Explain,
    Create,
    Temporary,
    Trigger,
    End,
    Other,
    /// A string or comment that the script ends in, by its description.
    Unterminated(&'static str),
}

impl State {
    fn after(self, token: Token) -> Self {
        match (self, token) {
            (state, Token::Space) => state,
            (Self::Trigger | Self::TriggerSemicolon, Token::Semicolon) => Self::TriggerSemicolon,
            (_, Token::Semicolon) => Self::Start,
            (Self::TriggerSemicolon, Token::End) => Self::TriggerEnd,
            (Self::Trigger | Self::TriggerSemicolon | Self::TriggerEnd, _) | (Self::Create, Token::Trigger) => {
                Self::Trigger
            }
            (Self::Start, Token::Explain) | (Self::Explain, Token::Other) => Self::Explain,
            (Self::Start | Self::Explain, Token::Create) | (Self::Create, Token::Temporary) => Self::Create,
            _ => Self::Normal,
        }
    }
}

/// Cuts a script into tokens. Every cut is beside an ASCII character, so that it never divides another one.
struct Tokens<'a> {
    script: &'a [u8],
    position: usize,
}

impl Iterator for Tokens<'_> {
    type Item = (Token, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.position;
        let rest = self.script.get(start..)?;
        let (token, length) = match *rest {
            [] => return None,
            [b';', ..] => (Token::Semicolon, 1),
            [b' ' | b'\t' | b'\n' | b'\x0c' | b'\r', ..] => (Token::Space, 1),
            // A byte order mark. sqlite3_complete() takes it for a letter, but SQLite's parser for a blank.
            [0xef, 0xbb, 0xbf, ..] => (Token::Space, 3),
            [b'-', b'-', ..] => (Token::Space, position(rest, b"\n").map_or(rest.len(), |end| end + 1)),
            [b'/', b'*', ..] => enclosed(rest, 2, b"*/", Token::Space, "the comment (/* … */)"),
            [b'\'', ..] => enclosed(rest, 1, b"'", Token::Other, "the string ('…')"),
            [b'"', ..] => enclosed(rest, 1, b"\"", Token::Other, "the name (\"…\")"),
            [b'`', ..] => enclosed(rest, 1, b"`", Token::Other, "the name (`…`)"),
            [b'[', ..] => enclosed(rest, 1, b"]", Token::Other, "the name ([…])"),
            [first, ..] if is_word_byte(first) => {
                let length = rest.iter().position(|&byte| !is_word_byte(byte)).unwrap_or(rest.len());
                (word(&rest[..length]), length)
            }
            _ => (Token::Other, 1),
        };
        self.position += length;
        Some((token, start..self.position))
    }
}

/// Counts lines along the statements, each line once.
struct Lines<'a> {
    script: &'a [u8],
    offset: usize,
    line: usize,
}

impl Lines<'_> {
    fn statement<'a>(&mut self, text: &'a str, range: Range<usize>) -> ScriptStatement<'a> {
        self.line += newlines(&self.script[self.offset..range.start]);
        self.offset = range.start;
        ScriptStatement { sql: &text[range], line: self.line }
    }
}

/// The token that begins with `open` bytes and goes up to and with `close`.
fn enclosed(rest: &[u8], open: usize, close: &[u8], token: Token, what: &'static str) -> (Token, usize) {
    match position(&rest[open..], close) {
        Some(length) => (token, open + length + close.len()),
        None => (Token::Unterminated(what), rest.len()),
    }
}

fn word(word: &[u8]) -> Token {
    let keywords: [(&[u8], Token); 6] = [
        (b"create", Token::Create),
        (b"trigger", Token::Trigger),
        (b"temp", Token::Temporary),
        (b"temporary", Token::Temporary),
        (b"end", Token::End),
        (b"explain", Token::Explain),
    ];
    keywords
        .into_iter()
        .find(|(keyword, _)| word.eq_ignore_ascii_case(keyword))
        .map_or(Token::Other, |(_, token)| token)
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn position(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

fn line_at(script: &[u8], offset: usize) -> usize {
    newlines(&script[..offset]) + 1
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.split(|&byte| byte == b'\n').count() - 1
}

#[cfg(test)]
mod tests;
