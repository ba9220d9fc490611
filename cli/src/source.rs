//! Where the SQL to execute comes from, and the statements in it.

use std::{
    fs,
    io::{self, IsTerminal, Read},
    path::Path,
};

use crate::{
    args::ExecuteArguments,
    failure::Failure,
    script::{self, ScriptStatement},
};

/// One text with SQL.
#[derive(Debug)]
pub(crate) struct Source {
    /// What to call it; `None` for the command line itself.
    name: Option<String>,
    sql: Vec<u8>,
}

/// A statement and where it is from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceStatement<'a> {
    pub(crate) sql: &'a str,
    pub(crate) line: usize,
    pub(crate) source: Option<&'a str>,
}

/// Reads what is to be executed, whole.
pub(crate) fn read(arguments: &ExecuteArguments) -> Result<Vec<Source>, Failure> {
    if !arguments.sql.is_empty() {
        return Ok(arguments.sql.iter().map(|sql| Source { name: None, sql: sql.clone().into_bytes() }).collect());
    }
    let source = match arguments.file.as_deref() {
        Some(path) if path != Path::new("-") => read_file(path)?,
        None if io::stdin().is_terminal() => {
            return Err(Failure::usage(
                "there is no SQL to execute; give it as an argument, with --file or on standard input",
            ));
        }
        _ => read_stdin()?,
    };
    Ok(vec![source])
}

/// The statements of all the sources, in order.
pub(crate) fn statements(sources: &[Source]) -> Result<Vec<SourceStatement<'_>>, Failure> {
    let mut statements = Vec::new();
    for source in sources {
        let name = source.name.as_deref();
        let split = script::split(&source.sql).map_err(|error| {
            let place = name.unwrap_or("the SQL on the command line");
            Failure::usage(format!("cannot read {place}: {error}\nNothing was sent to the daemon."))
        })?;
        statements.extend(split.into_iter().map(|ScriptStatement { sql, line }| SourceStatement {
            sql,
            line,
            source: name,
        }));
    }
    Ok(statements)
}

fn read_file(path: &Path) -> Result<Source, Failure> {
    let sql = fs::read(path).map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
    Ok(Source { name: Some(path.display().to_string()), sql })
}

fn read_stdin() -> Result<Source, Failure> {
    let mut sql = Vec::new();
    io::stdin()
        .read_to_end(&mut sql)
        .map_err(|error| Failure::usage(format!("cannot read standard input: {error}")))?;
    Ok(Source { name: Some("standard input".to_owned()), sql })
}
