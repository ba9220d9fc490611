//! `--print-config`: every option's value and where it comes from, as a file that could be used.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use clap::{Arg, ArgMatches, Command, parser::ValueSource};

use super::{entry_of, file::File, is_list, keys};

/// Where the comments begin, if the values leave room.
const COMMENT_COLUMN: usize = 44;

pub(super) fn print(command: &Command, matches: &ArgMatches, file: Option<&File>) -> io::Result<()> {
    let mut text = String::new();
    for (key, arg) in keys(command) {
        let line = match matches.get_raw(arg.get_id().as_str()) {
            Some(values) => {
                let values: Vec<_> = values.map(|value| written(&value.to_string_lossy())).collect();
                let value = if is_list(arg) { format!("[{}]", values.join(", ")) } else { values.concat() };
                format!("{key} = {value}")
            }
            None if is_list(arg) => format!("{key} = []"),
            None => format!("# {key} ="),
        };
        let _ = writeln!(text, "{line:<COMMENT_COLUMN$} # {}", source(arg, matches, file)); // a String takes everything
    }
    io::stdout().write_all(text.as_bytes())
}

fn source(arg: &Arg, matches: &ArgMatches, file: Option<&File>) -> String {
    match (matches.value_source(arg.get_id().as_str()), entry_of(file, arg)) {
        (Some(ValueSource::CommandLine), _) => "command line".to_owned(),
        (Some(ValueSource::EnvVariable), _) => {
            format!("environment SKYLINEDB_{}", arg.get_id().as_str().to_uppercase())
        }
        (_, Some((path, entry))) => format!("{}:{}", path.display(), entry.line),
        (Some(_), None) => "default".to_owned(),
        (None, None) => "default: not set".to_owned(),
    }
}

/// A value as TOML has it. What reads as the same number or truth value needs no quotes.
fn written(value: &str) -> String {
    let is_number = value.parse::<i64>().is_ok_and(|number| number.to_string() == value);
    if is_number || matches!(value, "true" | "false") {
        value.to_owned()
    } else {
        toml::Value::String(value.to_owned()).to_string()
    }
}
