//! `import`: the rows of a CSV file into a table.
//!
//! One thread reads and parses while the daemon writes. Many rows go into one INSERT: a statement a row would cost several
//! times as much to send and to run.

use std::{
    fs::File,
    io::{self, IsTerminal, Read},
    path::Path,
    thread,
};

use csv::{ReaderBuilder, StringRecord};
use skylinedb::{Batch, Client, Error, Params, Statement, Transaction, TransactionKind, Value, params};
use tokio::sync::mpsc;

use super::connect;
use crate::{
    args::{DaemonArguments, ImportArguments, ImportMode},
    failure::{Failure, say},
    output::count,
};

/// Rows of one INSERT. More make it no faster, and SQLite's limit of 32,766 parameters allows it for 65 columns.
const STATEMENT_ROWS: usize = 500;

/// Parameters of one INSERT.
const MAX_PARAMETERS: usize = 32_766;

/// Text in one batch: some thousand ordinary rows.
const BATCH_BYTES: usize = 512 << 10;

/// Batches that are read ahead.
const BATCHES_AHEAD: usize = 2;

/// Rows for one batch.
struct Chunk {
    rows: Vec<StringRecord>,
    /// The first row's line in the file.
    line: u64,
}

/// What is inserted into.
struct Target {
    table: String,
    columns: Vec<String>,
    null: Option<String>,
}

pub(super) async fn run(daemon: &DaemonArguments, arguments: ImportArguments) -> Result<(), Failure> {
    let delimiter = u8::try_from(arguments.delimiter)
        .ok()
        .filter(u8::is_ascii)
        .ok_or_else(|| Failure::usage("the delimiter must be an ASCII character, such as , or ; (--delimiter)"))?;
    let mut reader =
        ReaderBuilder::new().delimiter(delimiter).has_headers(!arguments.no_header).from_reader(open(&arguments.file)?);
    let name = arguments.file.display().to_string();
    let unreadable = |error: csv::Error| Failure::usage(format!("cannot read {name}: {error}"));
    // Without a header the first row says how many columns there are; the reader gives it again.
    let header = reader.headers().map_err(unreadable)?.clone();

    let client = connect(daemon).await?;
    let columns = if arguments.no_header {
        known_columns(&client, &arguments.table).await?.ok_or_else(|| {
            Failure::refused(format!("there is no table {}; create it, or give the file a header", arguments.table))
        })?
    } else {
        header.iter().map(|name| name.trim_start_matches('\u{feff}').to_owned()).collect()
    };
    if columns.is_empty() {
        return Err(Failure::usage(format!("{name} is empty: there is neither a header nor a row")));
    }
    if columns.len() > MAX_PARAMETERS {
        return Err(Failure::usage(format!(
            "{name} has {} columns, and SQLite allows 32,766 parameters",
            columns.len()
        )));
    }
    let target = Target { table: quoted(&arguments.table), columns, null: arguments.null };
    let create = if arguments.no_header { None } else { Some(target.create()) };

    let (sender, chunks) = mpsc::channel(BATCHES_AHEAD);
    let parsing = thread::spawn(move || parse(reader, &sender));
    let written = match arguments.mode {
        ImportMode::Atomic => atomic(&client, create, &target, chunks).await,
        ImportMode::Batches => in_batches(&client, create, &target, chunks).await,
    };
    // An error while reading has ended the chunks early, and is the first cause.
    let parsed = parsing.join().unwrap_or(Ok(()));
    parsed.map_err(|error| Failure::usage(format!("cannot read {name}: {error}\n{}", consequence(arguments.mode))))?;
    let rows = written?;
    if !arguments.quiet {
        say(&format!("{} imported into {}", count(rows, "row"), arguments.table));
    }
    Ok(())
}

fn open(path: &Path) -> Result<Box<dyn Read + Send>, Failure> {
    if path == Path::new("-") {
        if io::stdin().is_terminal() {
            return Err(Failure::usage("there is nothing to import on standard input"));
        }
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path).map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
    Ok(Box::new(file))
}

fn parse(
    mut reader: csv::Reader<Box<dyn Read + Send>>,
    chunks: &mpsc::Sender<Result<Chunk, ()>>,
) -> Result<(), csv::Error> {
    let mut chunk = Chunk { rows: Vec::new(), line: reader.position().line() };
    let mut bytes = 0;
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let _ = chunks.blocking_send(Err(())); // whoever writes must not take this for the end
                return Err(error);
            }
        };
        if chunk.rows.is_empty() {
            chunk.line = record.position().map_or(0, csv::Position::line);
        }
        bytes += record.as_slice().len();
        chunk.rows.push(record);
        if bytes >= BATCH_BYTES {
            bytes = 0;
            let full = std::mem::replace(&mut chunk, Chunk { rows: Vec::new(), line: 0 });
            if chunks.blocking_send(Ok(full)).is_err() {
                return Ok(()); // writing has failed, and says why
            }
        }
    }
    if !chunk.rows.is_empty() {
        let _ = chunks.blocking_send(Ok(chunk));
    }
    Ok(())
}

async fn atomic(
    client: &Client,
    create: Option<String>,
    target: &Target,
    mut chunks: mpsc::Receiver<Result<Chunk, ()>>,
) -> Result<u64, Failure> {
    let mut session = client.session().await?;
    let mut transaction = session.transaction(TransactionKind::Write).await?;
    match write_all(&mut transaction, create, target, &mut chunks).await {
        Ok(rows) => {
            let failed = |error| Failure::from(error).and(consequence(ImportMode::Atomic));
            transaction.commit().await.map_err(failed)?;
            Ok(rows)
        }
        Err(failure) => {
            // The end of the session would do the same; this way other writers need not wait for it.
            transaction.rollback().await.ok();
            Err(failure)
        }
    }
}

async fn write_all(
    transaction: &mut Transaction<'_>,
    create: Option<String>,
    target: &Target,
    chunks: &mut mpsc::Receiver<Result<Chunk, ()>>,
) -> Result<u64, Failure> {
    if let Some(create) = create {
        transaction.execute(create, params![]).await?;
    }
    let mut rows = 0;
    while let Some(chunk) = chunks.recv().await {
        let Ok(chunk) = chunk else { return Err(Failure::refused("the file cannot be read")) };
        rows += chunk.rows.len() as u64;
        let line = chunk.line;
        let result = transaction.execute_batch(target.batch(&chunk.rows)).await;
        result.map_err(|error| failure(error, line, ImportMode::Atomic))?;
    }
    Ok(rows)
}

async fn in_batches(
    client: &Client,
    create: Option<String>,
    target: &Target,
    mut chunks: mpsc::Receiver<Result<Chunk, ()>>,
) -> Result<u64, Failure> {
    if let Some(create) = create {
        client.execute(create, params![]).await?;
    }
    let mut rows = 0;
    while let Some(Ok(chunk)) = chunks.recv().await {
        let (line, count) = (chunk.line, chunk.rows.len() as u64);
        let result = client.execute_batch(target.batch(&chunk.rows)).await;
        result.map_err(|error| failure(error, line, ImportMode::Batches))?;
        rows += count;
    }
    Ok(rows)
}

/// The names of a table's columns that can be inserted into; `None` if there is no such table.
async fn known_columns(client: &Client, table: &str) -> Result<Option<Vec<String>>, Error> {
    let columns = client.execute("SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0", params![table]).await?;
    let names = columns.rows.iter().map(|row| row.get(0)).collect::<Result<Vec<String>, _>>()?;
    Ok((!names.is_empty()).then_some(names))
}

fn failure(error: Error, line: u64, mode: ImportMode) -> Failure {
    Failure::from(error).and(&format!("  in the rows from line {line} on\n{}", consequence(mode)))
}

fn consequence(mode: ImportMode) -> &'static str {
    match mode {
        ImportMode::Atomic => "Nothing was kept: the import is one transaction.",
        ImportMode::Batches => "Rows of earlier batches were kept.",
    }
}

impl Target {
    fn create(&self) -> String {
        let columns: Vec<_> = self.columns.iter().map(|name| format!("{} TEXT", quoted(name))).collect();
        format!("CREATE TABLE IF NOT EXISTS {}({})", self.table, columns.join(", "))
    }

    fn batch(&self, rows: &[StringRecord]) -> Batch {
        let names: Vec<_> = self.columns.iter().map(|name| quoted(name)).collect();
        let insert = format!("INSERT INTO {}({}) VALUES ", self.table, names.join(","));
        let row = format!("({})", vec!["?"; names.len()].join(","));
        let at_once = STATEMENT_ROWS.min(MAX_PARAMETERS / names.len()).max(1);
        let statement = |rows: &[StringRecord]| {
            let sql = format!("{insert}{}", vec![row.as_str(); rows.len()].join(","));
            Statement::new(sql, Params::positional(rows.iter().flatten().map(|field| self.value(field))))
        };
        rows.chunks(at_once).map(statement).collect()
    }

    /// The table's columns make numbers of texts that look like one, if they are declared so.
    fn value(&self, field: &str) -> Value {
        if self.null.as_deref() == Some(field) { Value::Null } else { Value::Text(field.to_owned()) }
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
