//! A table with borders, numbers to the right.
//!
//! The first rows are kept until the columns' widths are known by them; the others go through. In a later row a longer
//! value is cut on a terminal, and anywhere else it pushes its line to the right: nothing is lost in a file.

use std::io::{self, Write};

use skylinedb::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Printer, text};

/// The widths are those of so many rows …
const SAMPLE_ROWS: usize = 1000;
/// … or fewer, if they are this long.
const SAMPLE_BYTES: usize = 4 << 20;
/// No column is made wider for one long value: in its other rows it would be nothing but blanks.
const COLUMN_MAX_WIDTH: usize = 200;
/// No column is made narrower than this to fit a terminal.
const COLUMN_MIN_WIDTH: usize = 4;

pub(super) struct Table {
    header: Vec<Cell>,
    sample: Vec<Vec<Cell>>,
    sample_bytes: usize,
    /// The columns' widths, once they are fixed and the header is printed.
    widths: Option<Vec<usize>>,
    terminal_columns: Option<usize>,
}

struct Cell {
    text: String,
    width: usize,
    is_number: bool,
}

impl Table {
    pub(super) fn new(columns: &[String], terminal_columns: Option<usize>) -> Self {
        let header = columns.iter().map(|column| Cell::new(column, false, terminal_columns)).collect();
        Self { header, sample: Vec::new(), sample_bytes: 0, widths: None, terminal_columns }
    }

    /// Fixes the widths and prints the header and the rows that waited for it.
    fn open(&mut self, output: &mut dyn Write) -> io::Result<Vec<usize>> {
        let mut widths: Vec<usize> = self.header.iter().map(|cell| cell.width).collect();
        for row in &self.sample {
            for ((width, header), cell) in widths.iter_mut().zip(&mut self.header).zip(row) {
                *width = (*width).max(cell.width);
                header.is_number |= cell.is_number;
            }
        }
        fit(&mut widths, self.terminal_columns);
        write_border(output, &widths, ["┌", "┬", "┐"])?;
        self.write_row(output, &widths, &self.header)?;
        write_border(output, &widths, ["├", "┼", "┤"])?;
        for row in &self.sample {
            self.write_row(output, &widths, row)?;
        }
        self.sample = Vec::new();
        Ok(widths)
    }

    fn write_row(&self, output: &mut dyn Write, widths: &[usize], row: &[Cell]) -> io::Result<()> {
        for (cell, &width) in row.iter().zip(widths) {
            let cut = (self.terminal_columns.is_some() && cell.width > width).then(|| cut(&cell.text, width));
            let text = cut.as_ref().unwrap_or(&cell.text);
            let blanks = width.saturating_sub(cut.as_ref().map_or(cell.width, |text| text.width()));
            let (before, after) = if cell.is_number { (blanks, 0) } else { (0, blanks) };
            write!(output, "│ {:before$}{text}{:after$} ", "", "")?;
        }
        output.write_all("│\n".as_bytes())
    }
}

impl Printer for Table {
    fn begin(&mut self, _output: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    fn row(&mut self, output: &mut dyn Write, row: &[Value]) -> io::Result<()> {
        let row: Vec<Cell> = row
            .iter()
            .map(|value| {
                let text = text::of_value(value).unwrap_or("NULL".into());
                Cell::new(&text, matches!(value, Value::Integer(_) | Value::Real(_)), self.terminal_columns)
            })
            .collect();
        if let Some(widths) = &self.widths {
            return self.write_row(output, widths, &row);
        }
        self.sample_bytes += row.iter().map(|cell| cell.text.len()).sum::<usize>();
        self.sample.push(row);
        if self.sample.len() >= SAMPLE_ROWS || self.sample_bytes >= SAMPLE_BYTES {
            self.widths = Some(self.open(output)?);
        }
        Ok(())
    }

    fn end(&mut self, output: &mut dyn Write) -> io::Result<()> {
        let widths = match self.widths.take() {
            Some(widths) => widths,
            None => self.open(output)?,
        };
        write_border(output, &widths, ["└", "┴", "┘"])
    }
}

impl Cell {
    fn new(text: &str, is_number: bool, terminal_columns: Option<usize>) -> Self {
        // A megabyte is not to be measured to show its first 80 characters.
        let end = terminal_columns.and_then(|columns| Some((columns, text.char_indices().nth(columns)?.0)));
        let shown = text::printable(end.map_or(text, |(_, end)| &text[..end]), &[]).into_owned();
        // One that was shortened here has to count as too wide, even if it is all of characters without a width.
        let least = end.map_or(0, |(columns, _)| columns + 1);
        Self { width: shown.width().max(least), text: shown, is_number }
    }
}

/// Makes the widest columns narrower, until the table fits the terminal or they are as narrow as can be.
fn fit(widths: &mut [usize], terminal_columns: Option<usize>) {
    let mut widest = COLUMN_MAX_WIDTH;
    if let Some(terminal_columns) = terminal_columns {
        let borders = 3 * widths.len() + 1;
        let available = terminal_columns.saturating_sub(borders);
        widest = available.max(COLUMN_MIN_WIDTH);
        while widest > COLUMN_MIN_WIDTH && widths.iter().map(|&width| width.min(widest)).sum::<usize>() > available {
            widest -= 1;
        }
    }
    for width in widths {
        *width = (*width).min(widest);
    }
}

/// The beginning of the text, so that it is `width` wide with an ellipsis.
fn cut(text: &str, width: usize) -> String {
    let mut used = 1;
    let beginning = text.chars().take_while(|character| {
        used += character.width().unwrap_or(0);
        used <= width
    });
    beginning.chain(['…']).collect()
}

fn write_border(output: &mut dyn Write, widths: &[usize], [left, between, right]: [&str; 3]) -> io::Result<()> {
    for (index, width) in widths.iter().enumerate() {
        write!(output, "{}{}", if index == 0 { left } else { between }, "─".repeat(width + 2))?;
    }
    writeln!(output, "{right}")
}
