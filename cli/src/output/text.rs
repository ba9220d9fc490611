//! Values as text, the same in every format but JSON.

use std::{borrow::Cow, fmt::Write};

use skylinedb::Value;

/// A value as text; `None` for NULL, which every format shows in its own way.
pub(super) fn of_value(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Null => None,
        Value::Integer(integer) => Some(integer.to_string().into()),
        Value::Real(real) => Some(of_real(*real).into()),
        Value::Text(text) => Some(text.as_str().into()),
        Value::Blob(bytes) => Some(of_blob(bytes).into()),
    }
}

/// The shortest text that reads back as this very number, always with a point or an exponent; `Infinity` if it is.
pub(super) fn of_real(real: f64) -> String {
    match real {
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        _ => format!("{real:?}"),
    }
}

/// The text without what would move a terminal's cursor or turn its writing round; `keep` may stay as it is.
pub(super) fn printable<'a>(text: &'a str, keep: &[char]) -> Cow<'a, str> {
    let hidden = |character: char| {
        let turns_round =
            matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        (character.is_control() || turns_round) && !keep.contains(&character)
    };
    if !text.contains(hidden) {
        return text.into();
    }
    let mut printable = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if hidden(character) {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable.into()
}

fn of_blob(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2 + 3);
    text.push_str("x'");
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\'');
    text
}
