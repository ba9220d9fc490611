//! The line of a statement that an error is about, short enough to be read, and where in it the mistake is.

use unicode_width::UnicodeWidthStr;

/// How much of the line is shown, and how much of that before the mistake.
const EXCERPT_CHARS: usize = 80;
const BEFORE_CHARS: usize = 50;

/// A part of a statement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Excerpt {
    /// How many lines of the statement are before it.
    pub(crate) lines_before: usize,
    pub(crate) text: String,
    /// In which column of `text` the mistake is, counted from 0; `None` if only the statement is known.
    pub(crate) caret: Option<usize>,
}

impl Excerpt {
    /// The line that has the byte at `offset`; without an offset, the first line.
    pub(crate) fn new(sql: &str, offset: Option<usize>) -> Self {
        let at = sql.floor_char_boundary(offset.unwrap_or(0));
        let start = sql[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let line = sql[start..].lines().next().unwrap_or("");
        let before = line.get(..at - start).unwrap_or(line).chars().count();

        let skipped = if line.chars().count() > EXCERPT_CHARS { before.saturating_sub(BEFORE_CHARS) } else { 0 };
        let mut text = String::from(if skipped > 0 { "…" } else { "" });
        let mut caret = text.width();
        for (index, character) in line.chars().enumerate().skip(skipped).take(EXCERPT_CHARS) {
            if index == before {
                caret = text.width();
            }
            text.push(if character.is_control() { ' ' } else { character });
        }
        if before >= skipped + EXCERPT_CHARS || before >= line.chars().count() {
            caret = text.width();
        }
        if line.chars().count() > skipped + EXCERPT_CHARS {
            text.push('…');
        }
        Self { lines_before: sql[..start].matches('\n').count(), text, caret: offset.map(|_| caret) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_line_of_the_mistake() {
        let sql = "SELECT *\r\nFORM t\nWHERE 1";
        let excerpt = |lines_before, text: &str, caret| Excerpt { lines_before, text: text.to_owned(), caret };
        assert_eq!(Excerpt::new(sql, None), excerpt(0, "SELECT *", None));
        assert_eq!(Excerpt::new(sql, Some(0)), excerpt(0, "SELECT *", Some(0)));
        assert_eq!(Excerpt::new(sql, Some(10)), excerpt(1, "FORM t", Some(0)));
        assert_eq!(Excerpt::new(sql, Some(15)), excerpt(1, "FORM t", Some(5)));
        assert_eq!(Excerpt::new(sql, Some(sql.len())), excerpt(2, "WHERE 1", Some(7)));
        assert_eq!(Excerpt::new(sql, Some(1000)), excerpt(2, "WHERE 1", Some(7)));
        assert_eq!(Excerpt::new("", Some(0)), excerpt(0, "", Some(0)));
    }

    #[test]
    fn the_caret_counts_what_the_eye_sees() {
        assert_eq!(Excerpt::new("SELECT '日本', x", Some(17)).caret, Some(15));
        assert_eq!(Excerpt::new("SELECT\t'é', x", Some(13)).caret, Some(12));
    }

    #[test]
    fn a_long_line_is_cut_around_the_mistake() {
        let sql = format!("SELECT {} x", "1, ".repeat(100));
        let first = Excerpt::new(&sql, None);
        assert!(first.text.starts_with("SELECT 1") && first.text.ends_with('…') && first.text.chars().count() == 81);
        let last = Excerpt::new(&sql, Some(sql.len() - 1));
        assert!(last.text.starts_with('…') && last.text.ends_with(" x"));
        assert_eq!(last.caret, Some(last.text.width() - 1));
    }
}
