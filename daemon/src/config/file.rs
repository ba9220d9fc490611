//! The configuration file: a TOML table whose keys are the options' names.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};
use clap::{Arg, Command};
use toml::de::{DeTable, DeValue};

use crate::args::STANDARD_ERROR;

use super::{check, is_list, is_path, keys};

/// How alike a key must be to one that exists to be taken for it: from 0 to 1.
const ALIKE: f64 = 0.7;

/// A file that was read.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    /// By the option's id.
    entries: BTreeMap<String, Entry>,
}

/// What the file says of one option.
#[derive(Debug)]
pub(super) struct Entry {
    /// As they would be written on the command line.
    pub(super) values: Vec<String>,
    pub(super) line: usize,
}

impl File {
    /// Reads a file. Everything in it must be an option of this command, with a value that it may have.
    pub(super) fn read(path: &Path, command: &Command) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration file {}", path.display()))?;
        let path = &std::path::absolute(path).context("the working directory is not there any more")?;
        let entries = parse(&text, path, command);
        let entries = entries.with_context(|| format!("the configuration file {} is wrong", path.display()))?;
        Ok(Self { path: path.to_owned(), entries })
    }

    pub(super) fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.get(id)
    }
}

fn parse(text: &str, path: &Path, command: &Command) -> anyhow::Result<BTreeMap<String, Entry>> {
    let table = DeTable::parse(text).map_err(|error| anyhow!("{}", error.to_string().trim()))?;
    let mut entries = BTreeMap::new();
    for (key, value) in table.get_ref() {
        let line = text[..key.span().start].matches('\n').count() + 1;
        let key: &str = key.get_ref();
        let Some((_, arg)) = keys(command).find(|(known, _)| known == key) else {
            bail!("line {line}: {}", unknown(key, command));
        };
        let values = values(value.get_ref(), arg, path).with_context(|| format!("line {line}: {key}"))?;
        for value in &values {
            check(command, arg, value.into()).with_context(|| format!("line {line}: {key}"))?;
        }
        entries.insert(arg.get_id().to_string(), Entry { values, line });
    }
    Ok(entries)
}

fn unknown(key: &str, command: &Command) -> String {
    let alike = keys(command).map(|(known, _)| (strsim::jaro_winkler(&key.replace('_', "-"), &known), known));
    match alike.max_by(|one, other| one.0.total_cmp(&other.0)) {
        Some((likeness, nearest)) if likeness > ALIKE => {
            format!("there is no option {key:?}; did you mean {nearest:?}?")
        }
        _ => format!("there is no option {key:?}; `skylinedb-daemon --print-config` shows those that there are"),
    }
}

fn values(value: &DeValue<'_>, arg: &Arg, path: &Path) -> anyhow::Result<Vec<String>> {
    match value {
        DeValue::Array(list) if is_list(arg) => {
            list.iter().map(|one| scalar(one.get_ref(), arg, path)).collect::<anyhow::Result<_>>()
        }
        DeValue::Array(_) => bail!("it has one value, not a list"),
        one if is_list(arg) => bail!("it is a list: write [{}]", quoted(one)),
        one => Ok(vec![scalar(one, arg, path)?]),
    }
}

fn scalar(value: &DeValue<'_>, arg: &Arg, path: &Path) -> anyhow::Result<String> {
    match value {
        // As everywhere in configuration files: a relative path is meant from where the file is.
        DeValue::String(text) if is_path(arg) && text != STANDARD_ERROR => {
            let folder = path.parent().unwrap_or(Path::new(""));
            Ok(folder.join(text.as_ref()).to_string_lossy().into_owned())
        }
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Boolean(yes) => Ok(yes.to_string()),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            bail!("a text, an integer or true and false are possible, not a {}", value.type_str())
        }
    }
}

fn quoted(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        _ => "...".to_owned(),
    }
}
