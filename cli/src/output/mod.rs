//! Prints rows to standard output: one printer a format, none of which keeps more than a bounded part of the rows.

mod csv;
mod json;
mod line;
mod table;
mod text;

use std::{
    io::{self, BufWriter, IsTerminal, Stdout, Write},
    mem,
};

use clap::ValueEnum;
use skylinedb::Value;

/// How much is written to standard output at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for people; NULL is NULL, a blob x'0aff'
    Table,
    /// An array of objects; a blob is {"base64":"Cv8="}
    Json,
    /// Comma-separated values with a header (RFC 4180); NULL is empty, an empty text ""
    Csv,
    /// One line a value: column = value
    Line,
}

/// Standard output, for one result after another.
pub(crate) struct Output {
    stdout: BufWriter<Stdout>,
    format: Format,
    one_line_arrays: bool,
    terminal_columns: Option<usize>,
    printer: Option<Box<dyn Printer>>,
    results: usize,
}

/// `1 row`, `2 rows`.
pub(crate) fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Prints one result in one format. What it is created with are the columns' names.
trait Printer {
    fn begin(&mut self, output: &mut dyn Write) -> io::Result<()>;
    fn row(&mut self, output: &mut dyn Write, row: &[Value]) -> io::Result<()>;
    fn end(&mut self, output: &mut dyn Write) -> io::Result<()>;
}

impl Output {
    /// Standard output in this format; without one, a table on a terminal and JSON anywhere else.
    pub(crate) fn new(format: Option<Format>) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        Self {
            format: format.unwrap_or(if terminal { Format::Table } else { Format::Json }),
            one_line_arrays: false,
            terminal_columns: terminal.then(terminal_size::terminal_size).flatten().map(|(width, _)| width.0.into()),
            stdout: BufWriter::with_capacity(BUFFER_BYTES, stdout),
            printer: None,
            results: 0,
        }
    }

    /// Has every JSON array on a line of its own, so that several results can be told apart.
    pub(crate) fn with_one_line_arrays(mut self) -> Self {
        self.one_line_arrays = true;
        self
    }

    /// Begins a result.
    pub(crate) fn begin<'a>(&mut self, columns: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
        let columns: Vec<String> = columns.into_iter().map(str::to_owned).collect();
        let mut printer: Box<dyn Printer> = match self.format {
            Format::Table => Box::new(table::Table::new(&columns, self.terminal_columns)),
            Format::Json => Box::new(json::Json::new(&columns, self.one_line_arrays)),
            Format::Csv => Box::new(csv::Csv::new(columns)),
            Format::Line => Box::new(line::Line::new(&columns)),
        };
        if self.results > 0 && self.format != Format::Json {
            self.stdout.write_all(b"\n")?;
        }
        self.results += 1;
        printer.begin(&mut self.stdout)?;
        self.printer = Some(printer);
        Ok(())
    }

    /// Prints a row of the result that has begun.
    pub(crate) fn row(&mut self, row: &[Value]) -> io::Result<()> {
        let printer = self.printer.as_mut();
        printer.map_or(Ok(()), |printer| printer.row(&mut self.stdout, row))
    }

    /// Ends the result that has begun.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        if let Some(mut printer) = mem::take(&mut self.printer) {
            printer.end(&mut self.stdout)?;
        }
        self.stdout.flush()
    }

    /// Writes what is still kept, when the rest of the result will not come.
    pub(crate) fn abandon(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }
}

#[cfg(test)]
mod tests;
