//! One line a value, `column = value`, with an empty line between rows, as `sqlite3 -line` prints them.

use std::io::{self, Write};

use skylinedb::Value;
use unicode_width::UnicodeWidthStr;

use super::{Printer, text};

/// What may stay in a value: it has the rest of the screen to itself.
const KEEP: [char; 2] = ['\n', '\t'];

pub(super) struct Line {
    /// The columns' names, with blanks before them so that the equals signs are in one line.
    columns: Vec<String>,
    rows: bool,
}

impl Line {
    pub(super) fn new(columns: &[String]) -> Self {
        let columns: Vec<_> = columns.iter().map(|column| text::printable(column, &[])).collect();
        let width = columns.iter().map(|column| column.width()).max().unwrap_or(0);
        let columns = columns.into_iter().map(|column| " ".repeat(width - column.width()) + &column).collect();
        Self { columns, rows: false }
    }
}

impl Printer for Line {
    fn begin(&mut self, _output: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    fn row(&mut self, output: &mut dyn Write, row: &[Value]) -> io::Result<()> {
        if self.rows {
            output.write_all(b"\n")?;
        }
        self.rows = true;
        for (column, value) in self.columns.iter().zip(row) {
            let value = text::of_value(value).unwrap_or("NULL".into());
            writeln!(output, "{column} = {}", text::printable(&value, &KEEP))?;
        }
        Ok(())
    }

    fn end(&mut self, _output: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}
