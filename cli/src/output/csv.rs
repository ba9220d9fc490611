//! CSV by RFC 4180: a header, lines that end with CR LF, quotes where they are needed.
//!
//! NULL is empty and an empty text is `""`, so that a reader who looks can tell them apart. A blob is `x'0aff'`.

use std::io::{self, Write};

use skylinedb::Value;

use super::{Printer, text};

pub(super) struct Csv {
    columns: Vec<String>,
}

impl Csv {
    pub(super) fn new(columns: Vec<String>) -> Self {
        Self { columns }
    }
}

impl Printer for Csv {
    fn begin(&mut self, output: &mut dyn Write) -> io::Result<()> {
        write_line(output, self.columns.iter().map(|column| Some(column.as_str())))
    }

    fn row(&mut self, output: &mut dyn Write, row: &[Value]) -> io::Result<()> {
        write_line(output, row.iter().map(text::of_value))
    }

    fn end(&mut self, _output: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

fn write_line(output: &mut dyn Write, fields: impl Iterator<Item = Option<impl AsRef<str>>>) -> io::Result<()> {
    for (index, field) in fields.enumerate() {
        if index > 0 {
            output.write_all(b",")?;
        }
        match field.as_ref().map(AsRef::as_ref) {
            None => {}
            Some(field) if field.is_empty() || field.contains([',', '"', '\r', '\n']) => {
                write!(output, "\"{}\"", field.replace('"', "\"\""))?;
            }
            Some(field) => output.write_all(field.as_bytes())?,
        }
    }
    output.write_all(b"\r\n")
}
