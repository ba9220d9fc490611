//! The command line: what may be written, and what `--help` says about it.

mod help_text;
mod proxy;

use std::{
    num::{NonZeroU64, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use clap::{
    Args, Parser, Subcommand, ValueEnum, ValueHint,
    builder::{PathBufValueParser, PossibleValuesParser, TypedValueParser as _},
};
pub(crate) use proxy::{ListenAddress, ProxyArguments};
use skylinedb::{Endpoint, Scope};

use crate::{
    output::Format,
    params::{self, Parameter},
};

/// Talk to a SkylineDB daemon: run SQL, see whether it is there, start it, stop it.
#[derive(Debug, Parser)]
#[command(name = "skylinedb-cli", version, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) daemon: DaemonArguments,
    /// Give up after this long, such as 500ms, 5s or 2m
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        value_parser = humantime::parse_duration,
        help_heading = GLOBAL
    )]
    pub(crate) timeout: Option<Duration>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which daemon is meant.
#[derive(Args, Clone, Debug)]
pub(crate) struct DaemonArguments {
    #[arg(
        long,
        global = true,
        help = help_text::ENDPOINT,
        value_name = help_text::ENDPOINT_VALUE,
        value_parser = PathBufValueParser::new().try_map(Endpoint::parse),
        value_hint = ValueHint::AnyPath,
        help_heading = GLOBAL
    )]
    pub(crate) endpoint: Option<Endpoint>,
    /// Look for the daemon of this scope only; that of a database needs --database
    #[arg(
        long,
        global = true,
        value_name = "machine|user|database",
        value_parser = PossibleValuesParser::new(Scope::ALL.map(Scope::name)).try_map(|name| name.parse::<Scope>()),
        hide_possible_values = true,
        help_heading = GLOBAL
    )]
    pub(crate) scope: Option<Scope>,
    /// The database that the daemon must have, and that one which is started gets
    #[arg(long, global = true, value_name = "PATH", help_heading = GLOBAL)]
    pub(crate) database: Option<PathBuf>,
    /// Start the daemon in the background if it is not there
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) start: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Is the daemon there, and which one is it?
    #[command(after_help = help_text::PING_HELP)]
    Ping(PingArguments),
    /// Run SQL that may write: a statement or a whole script
    #[command(visible_alias = "exec", after_help = EXECUTE_HELP)]
    Execute(ExecuteArguments),
    /// Run one statement that reads, and stream its rows
    #[command(after_help = QUERY_HELP)]
    Query(QueryArguments),
    /// Write the rows of a CSV file into a table
    #[command(after_help = IMPORT_HELP)]
    Import(ImportArguments),
    /// Start the daemon in the background, unless it runs already
    #[command(after_help = help_text::START_HELP)]
    Start(StartArguments),
    /// List the daemons that run
    #[command(after_help = help_text::DAEMONS_HELP)]
    Daemons(DaemonsArguments),
    /// Stop the daemon: it finishes the work in hand, then ends
    #[command(after_help = SHUTDOWN_HELP)]
    Shutdown(ShutdownArguments),
    #[command(about = help_text::PROXY, after_help = help_text::PROXY_HELP)]
    Proxy(ProxyArguments),
    /// Measure how fast the daemon does one kind of work
    #[command(after_help = BENCH_HELP)]
    Bench(BenchArguments),
    /// Write manual pages and completions for shells
    #[command(hide = true)]
    GenerateDocuments {
        /// Where to
        folder: PathBuf,
    },
}

#[derive(Args, Debug)]
pub(crate) struct PingArguments {
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: PingFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PingFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object
    Json,
}

#[derive(Args, Debug)]
pub(crate) struct ExecuteArguments {
    /// The SQL; several statements are separated by semicolons. Without it and without --file: standard input
    #[arg(value_name = "SQL", conflicts_with = "file")]
    pub(crate) sql: Vec<String>,
    /// A file with the SQL; - is standard input
    #[arg(long, short, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
    /// How the statements belong together
    #[arg(long, value_enum, default_value_t)]
    pub(crate) mode: Mode,
    /// The same as --mode each
    #[arg(long, conflicts_with = "mode")]
    pub(crate) each: bool,
    /// Makes a retry safe: SQL that was committed with this id is not run again, its first answer is given again
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<String>,
    #[command(flatten)]
    pub(crate) parameters: Parameters,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// All or nothing: the first error undoes everything
    #[default]
    Atomic,
    /// Every statement on its own: one that fails is reported, and the next one runs
    Each,
}

#[derive(Args, Debug)]
pub(crate) struct QueryArguments {
    /// The SQL of one statement that only reads
    #[arg(value_name = "SQL")]
    pub(crate) sql: String,
    #[command(flatten)]
    pub(crate) parameters: Parameters,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Args, Debug)]
pub(crate) struct ImportArguments {
    /// The file; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The table
    #[arg(long, short, value_name = "NAME")]
    pub(crate) table: String,
    /// The first line is a row, not the columns' names; columns then are the table's, in their order
    #[arg(long)]
    pub(crate) no_header: bool,
    /// What is between two fields
    #[arg(long, value_name = "CHARACTER", default_value = ",")]
    pub(crate) delimiter: char,
    /// Fields with this text are NULL, such as --null '' or --null NULL; without it none is
    #[arg(long, value_name = "TEXT")]
    pub(crate) null: Option<String>,
    /// How the rows belong together
    #[arg(long, value_enum, default_value_t)]
    pub(crate) mode: ImportMode,
    /// No summary on standard error
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportMode {
    /// All or nothing; other writers wait meanwhile
    #[default]
    Atomic,
    /// Some thousand rows at once; other writers come in between
    Batches,
}

#[derive(Args, Debug)]
pub(crate) struct Parameters {
    /// The value of the next ?; or NAME=VALUE, the value of :NAME. Once for each, see execute --help
    #[arg(
        long = "param",
        short = 'p',
        value_name = "VALUE",
        value_parser = params::parse,
        allow_hyphen_values = true
    )]
    pub(crate) list: Vec<Parameter>,
}

#[derive(Args, Debug)]
pub(crate) struct OutputArguments {
    /// How rows are printed; without it a table on a terminal, and JSON anywhere else
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// No summary on standard error
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
pub(crate) struct StartArguments {
    /// The database file; it is made if it is not there. Without it data.db in this folder
    #[arg(value_name = "DATABASE", id = "file")]
    pub(crate) database: Option<PathBuf>,
    #[arg(long, help = help_text::LOCK_FILE, value_name = help_text::LOCK_FILE_VALUE)]
    pub(crate) lock_file: Option<PathBuf>,
    /// Where the daemon writes its log
    #[arg(long, value_name = "PATH")]
    pub(crate) log_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct DaemonsArguments {
    /// How they are listed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: PingFormat,
}

#[derive(Args, Debug)]
pub(crate) struct ShutdownArguments {
    /// How long the daemon's work in hand may take, such as 500ms or 1m; then it is given up. Without it as the daemon was
    /// told (10s)
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) grace: Option<Duration>,
    /// Have the daemon give its work in hand up at once
    #[arg(long, conflicts_with = "grace")]
    pub(crate) force: bool,
    /// Do not wait until the daemon is gone
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Args, Debug)]
pub(crate) struct BenchArguments {
    /// What is done
    #[arg(long, value_enum, default_value_t)]
    pub(crate) workload: Workload,
    /// How many clients do it, each with a connection of its own
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    pub(crate) clients: NonZeroUsize,
    /// Threads that make the load. The daemon needs the machine's cores, too: more than one pays only if there are many
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    pub(crate) threads: NonZeroUsize,
    /// Requests that each client has under way at once
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    pub(crate) pipeline: NonZeroUsize,
    /// Statements in each request; 1 without it, for import 1000
    #[arg(long, value_name = "NUMBER")]
    pub(crate) batch: Option<NonZeroUsize>,
    /// For how long
    #[arg(long, value_name = "NUMBER", default_value = "5")]
    pub(crate) seconds: NonZeroU64,
    /// How requests are sent
    #[arg(long, value_enum, default_value_t)]
    pub(crate) mode: BenchMode,
    /// Rows of the table that is read
    #[arg(long, value_name = "NUMBER", default_value = "100000")]
    pub(crate) rows: NonZeroU64,
    /// How the figures are printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: BenchFormat,
    /// Leave the table there
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Nothing but the way to the daemon and back
    #[default]
    Ping,
    /// Write a row
    Insert,
    /// Read a row by its key
    PointRead,
    /// Read the whole table; counted are rows
    Scan,
    /// Nine point reads to one insert
    Mixed,
    /// Write many rows in each request
    Import,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchMode {
    /// As the client library does it by itself
    #[default]
    Default,
    /// A gRPC call a request
    Unary,
    /// A session a client
    Session,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object, times in nanoseconds
    Json,
}

impl BenchArguments {
    pub(crate) fn batch(&self) -> usize {
        match (self.batch, self.workload) {
            (Some(batch), _) => batch.get(),
            (None, Workload::Import) => 1000,
            (None, _) => 1,
        }
    }
}

impl ExecuteArguments {
    pub(crate) fn mode(&self) -> Mode {
        if self.each { Mode::Each } else { self.mode }
    }
}

const GLOBAL: &str = "Global options";

const AFTER_HELP: &str = "\
Examples:
  skylinedb-cli start app.db
  skylinedb-cli execute 'CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT)'
  skylinedb-cli execute 'INSERT INTO t(name) VALUES (?)' -p Anna
  skylinedb-cli query 'SELECT * FROM t'
  skylinedb-cli execute --file schema.sql
  skylinedb-cli shutdown

Exit codes:
  0  done
  1  the daemon was reached, but it answered with an error or not in time
  2  a mistake on the command line or in a script; nothing was sent
  3  no daemon is there; the message says where it was looked for";

const EXECUTE_HELP: &str = "\
Examples:
  skylinedb-cli execute 'UPDATE t SET name = :n WHERE id = :id' -p n=Anna -p id=5
  skylinedb-cli execute 'INSERT INTO t(name) VALUES (?)' -p text:007
  skylinedb-cli execute --file schema.sql
  sqlite3 old.db .dump | skylinedb-cli execute
  skylinedb-cli execute --mode each 'VACUUM; PRAGMA optimize'

Scripts:
  A script is split where SQLite would split it. In --mode atomic it is one
  transaction: all of it is kept or nothing. BEGIN and COMMIT around all of it
  may stand and change nothing, so that the output of sqlite3's .dump can be
  loaded (its PRAGMA foreign_keys=OFF is taken as defer_foreign_keys=ON).
  More than 32 MiB or 50,000 statements go to the daemon in parts, still in one
  transaction. Other writers wait meanwhile, and the daemon ends a transaction
  that takes too long (skylinedb-daemon --transaction-timeout, 60 s).
  In --mode each every statement is a transaction of its own. VACUUM and others
  that cannot run in a transaction need that, or a call of their own.

Parameters, for a single statement:
  -p VALUE        the value of the next ?
  -p NAME=VALUE   the value of :NAME, @NAME or $NAME
  VALUE is an integer or a real if it looks like one, NULL if it is null, a blob
  if it is x'0aff', and otherwise a text. To say which it is:
    int:5  real:1  text:05  text:a=b  blob:0aff  null:
    file:photo.png (the file's bytes, as a blob)

Output:
  Rows go to standard output, the summary goes to standard error.
  table  for people
  json   an array of objects; if there are several statements, each that returns
         rows has its array on a line of its own. Integers have all their digits,
         reals a point or an exponent, blobs are {\"base64\":\"Cv8=\"}, infinities
         {\"real\":\"Infinity\"}. A second column \"a\" is called \"a_2\"
  csv    RFC 4180 with a header; NULL is empty, an empty text \"\", a blob x'0aff'
  line   one line a value

Exit code 1 means that a statement failed. Standard error says which one and
why; in --mode atomic nothing was kept.";

const QUERY_HELP: &str = "\
Examples:
  skylinedb-cli query 'SELECT * FROM t'
  skylinedb-cli query 'SELECT * FROM t WHERE name = ?' -p Anna
  skylinedb-cli query 'SELECT * FROM t WHERE id > :low' -p low=1
  skylinedb-cli query --format csv 'SELECT * FROM t' > t.csv

A statement that writes is refused: use execute. Rows are printed as they come,
however many they are. Parameters and formats are described by
`skylinedb-cli execute --help`.";

const IMPORT_HELP: &str = "\
Examples:
  skylinedb-cli import people.csv --table person
  skylinedb-cli import - --table person --delimiter ';' --null '' < people.csv
  skylinedb-cli import huge.csv --table log --mode batches

The file is CSV (RFC 4180) in UTF-8. Its header names the columns; a table that is
not there is made with them, as TEXT. Fields come as texts, and become numbers
where a column is declared INTEGER or REAL. In --mode atomic the daemon's
--transaction-timeout (60 s) is the limit; --mode batches has none.";

const SHUTDOWN_HELP: &str = "\
Examples:
  skylinedb-cli shutdown
  skylinedb-cli shutdown --grace 2m
  skylinedb-cli shutdown --force
  skylinedb-cli shutdown --no-wait

It is done when the daemon's process is gone, so that another one can be started
at once. It waits 20 s longer than --grace for that, or as long as --timeout says.";

const BENCH_HELP: &str = "\
Examples:
  skylinedb-cli bench --workload insert --clients 64
  skylinedb-cli bench --workload point-read --pipeline 64 --mode session
  skylinedb-cli bench --workload scan --rows 1000000 --format json

It makes a table of its own in the daemon's database and drops it at the end,
unless --keep is given. scripts/compare runs the same work against PostgreSQL
and against programs that open the file themselves.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_negative_number_is_a_parameter() {
        let arguments = Arguments::try_parse_from(["skylinedb-cli", "query", "SELECT ?", "-p", "-5", "--param=-1.5"]);
        let Ok(Arguments { command: Command::Query(query), .. }) = arguments else { panic!("{arguments:?}") };
        assert_eq!(query.parameters.list.len(), 2);
    }
}
