//! JSON: an array of objects, their members in the order of the columns.
//!
//! No value is lost: an integer keeps its 64 bits, a real has a point or an exponent, a blob is `{"base64":"…"}`, and the
//! infinities, for which JSON has no numbers, are `{"real":"Infinity"}` and `{"real":"-Infinity"}`. An object cannot have
//! two members of one name, so the second column `a` is `a_2`.

use std::{
    collections::HashSet,
    io::{self, Write},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use skylinedb::Value;

use super::{Printer, text};

pub(super) struct Json {
    /// The members' names, already in quotes.
    names: Vec<String>,
    separator: &'static [u8],
    rows: bool,
}

impl Json {
    pub(super) fn new(columns: &[String], one_line: bool) -> Self {
        let names = distinct(columns).into_iter().map(|name| serde_json::Value::String(name).to_string()).collect();
        Self { names, separator: if one_line { b"," } else { b",\n" }, rows: false }
    }
}

impl Printer for Json {
    fn begin(&mut self, output: &mut dyn Write) -> io::Result<()> {
        output.write_all(b"[")
    }

    fn row(&mut self, output: &mut dyn Write, row: &[Value]) -> io::Result<()> {
        if self.rows {
            output.write_all(self.separator)?;
        }
        self.rows = true;
        for (index, (name, value)) in self.names.iter().zip(row).enumerate() {
            write!(output, "{}{name}:", if index == 0 { '{' } else { ',' })?;
            write_value(output, value)?;
        }
        output.write_all(b"}")
    }

    fn end(&mut self, output: &mut dyn Write) -> io::Result<()> {
        output.write_all(b"]\n")
    }
}

fn write_value(output: &mut dyn Write, value: &Value) -> io::Result<()> {
    match value {
        Value::Null => output.write_all(b"null"),
        Value::Integer(integer) => write!(output, "{integer}"),
        Value::Real(real) if real.is_finite() => write!(output, "{}", text::of_real(*real)),
        Value::Real(real) => write!(output, "{{\"real\":\"{}\"}}", text::of_real(*real)),
        Value::Text(text) => Ok(serde_json::to_writer(output, text)?),
        Value::Blob(bytes) => write!(output, "{{\"base64\":\"{}\"}}", BASE64_STANDARD.encode(bytes)),
    }
}

/// The names, each once: the second `a` becomes `a_2`, unless a column is called that already.
fn distinct(columns: &[String]) -> Vec<String> {
    let mut taken: HashSet<String> = columns.iter().cloned().collect();
    let mut seen = HashSet::new();
    let mut distinct = Vec::with_capacity(columns.len());
    for column in columns {
        let mut name = column.clone();
        if !seen.insert(column) {
            for number in 2_usize.. {
                name = format!("{column}_{number}");
                if taken.insert(name.clone()) {
                    break;
                }
            }
        }
        distinct.push(name);
    }
    distinct
}
