//! The command line: what may be written, and what `--help` says about it.

mod access;
mod help_text;

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    thread::available_parallelism,
    time::Duration,
};

use anyhow::Context as _;
use clap::{
    ArgAction, Parser, ValueEnum,
    builder::{PathBufValueParser, PossibleValuesParser, TypedValueParser as _},
};
use skylinedb_engine::{self as engine, Ledger};
use skylinedb_local::{Endpoint, Places, Scope};

use crate::lifecycle::Times;
use access::AccessArguments;

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "skylinedb-daemon", version, about = help_text::ABOUT, after_help = after_help())]
pub(crate) struct Arguments {
    /// The database file. It and its folders are made if they are not there
    #[arg(value_name = "DATABASE", default_value = "data.db")]
    pub(crate) database: PathBuf,
    #[arg(long, help = help_text::SCOPE, value_name = "machine|user|database", value_parser = PossibleValuesParser::new(Scope::ALL.map(Scope::name)).try_map(|name| name.parse::<Scope>()), hide_possible_values = true)]
    pub(crate) scope: Option<Scope>,
    #[arg(
        long,
        help = help_text::ENDPOINT,
        value_name = help_text::ENDPOINT_VALUE,
        value_parser = PathBufValueParser::new().try_map(Endpoint::parse)
    )]
    #[cfg_attr(unix, arg(value_hint = clap::ValueHint::AnyPath))]
    // a relative one in a file is beside the file
    pub(crate) endpoint: Option<Endpoint>,
    #[arg(long, help = help_text::LOCK_FILE, value_name = help_text::LOCK_FILE_VALUE)]
    #[cfg_attr(windows, arg(value_hint = clap::ValueHint::Other))]
    pub(crate) lock_file: Option<PathBuf>,
    /// How durable a write is when it is acknowledged
    #[arg(long, value_enum, default_value = "full")]
    pub(crate) synchronous: Synchronous,
    /// A file at whose end the log is written; `-` is standard error. Why the daemon cannot start is written to both
    #[arg(long, value_name = "PATH", default_value = STANDARD_ERROR)]
    pub(crate) log_file: PathBuf,
    /// How the log is written
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,
    #[arg(long, help = help_text::CONFIG, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,
    /// Print every option's value and where it comes from, as a configuration file, and end
    #[arg(long)]
    pub(crate) print_config: bool,
    /// Write the manual page and completions for shells into a folder, and end
    #[arg(long, value_name = "FOLDER", hide = true)]
    pub(crate) generate_documents: Option<PathBuf>,
    /// Leave the session of the terminal, as `skylinedb-cli start` has it
    #[cfg(unix)]
    #[arg(long)]
    pub(crate) own_session: bool,
    /// Enforce foreign keys. SQLite itself leaves them unenforced unless it is told so, and so does this daemon
    #[arg(
        long,
        value_name = "BOOL",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        default_value = "false",
        hide_possible_values = true
    )]
    pub(crate) foreign_keys: bool,
    /// A folder below which ATTACH and VACUUM INTO may name files; may be given several times
    #[arg(long, value_name = "FOLDER")]
    pub(crate) allow_attach: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) access: AccessArguments,

    /// Threads that serve connections. Without it half of the machine's cores: the others are for the clients
    #[arg(long, value_name = "NUMBER", help_heading = LIMITS)]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Statements that read at once; as many more may be held by read transactions of sessions. Statements with more than
    /// 32 KiB of SQL may be half of them
    #[arg(long, value_name = "NUMBER", default_value = "8", help_heading = LIMITS)]
    pub(crate) readers: NonZeroUsize,
    /// Batches that may wait for the writer
    #[arg(long, value_name = "NUMBER", default_value = "10000", help_heading = LIMITS)]
    pub(crate) queue_jobs: NonZeroUsize,
    /// Sessions that may be open at once
    #[arg(long, value_name = "NUMBER", default_value = "10000", help_heading = LIMITS)]
    pub(crate) max_sessions: NonZeroUsize,
    /// Length of a message from a client
    #[arg(long, value_name = "BYTES", default_value = "67108864", help_heading = LIMITS)]
    pub(crate) max_message_bytes: NonZeroUsize,
    /// Memory for the messages of all clients that are under way: half of it for requests, half for answers
    #[arg(long, value_name = "BYTES", default_value = "536870912", help_heading = LIMITS)]
    pub(crate) max_buffered_bytes: NonZeroUsize,
    /// Length of one statement's SQL
    #[arg(long, value_name = "BYTES", default_value = "16777216", value_parser = at_least::<1_000>, help_heading = LIMITS)]
    pub(crate) max_sql_bytes: NonZeroUsize,
    /// Size of all the rows that answer one Execute; Query streams any number
    #[arg(long, value_name = "BYTES", default_value = "16777216", help_heading = LIMITS)]
    pub(crate) max_answer_bytes: NonZeroUsize,
    /// Length of one text, blob or row in the database
    #[arg(long, value_name = "BYTES", default_value = "67108864", value_parser = at_least::<65_536>, help_heading = LIMITS)]
    pub(crate) max_value_bytes: NonZeroUsize,
    /// Size of the temporary files that SQLite keeps for sorts and the like, of all clients together. Once it is reached, the
    /// statement whose files are the largest fails
    #[arg(long, value_name = "BYTES", default_value = "4294967296", value_parser = at_least::<65_536>, help_heading = LIMITS)]
    pub(crate) max_temp_bytes: NonZeroUsize,

    /// Memory of SQLite: all statements together, page caches included. One statement may take a quarter of it
    #[arg(long, value_name = "BYTES", default_value = "1073741824", value_parser = at_least::<67_108_864>, help_heading = LIMITS)]
    pub(crate) max_memory_bytes: NonZeroUsize,
    /// Size of the write-ahead log from which on the oldest reads that keep it from being emptied are ended
    #[arg(long, value_name = "BYTES", default_value = "1073741824", value_parser = at_least::<1_048_576>, help_heading = LIMITS)]
    pub(crate) max_wal_bytes: NonZeroUsize,

    /// How long a session's write transaction may wait for its next request
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration, help_heading = TIMES)]
    pub(crate) transaction_idle_timeout: Duration,
    /// How long a session's write transaction may last
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration, help_heading = TIMES)]
    pub(crate) transaction_timeout: Duration,
    /// How long a batch outside of transactions may run while other writes wait for it
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration, help_heading = TIMES)]
    pub(crate) batch_timeout: Duration,
    /// How long a session's read transaction may wait for its next request
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration, help_heading = TIMES)]
    pub(crate) snapshot_idle_timeout: Duration,
    /// How long a read may last, a session's read transaction or a query whose rows are being taken
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration, help_heading = TIMES)]
    pub(crate) snapshot_timeout: Duration,
    /// End the daemon when it has not been used for this long; 0 is never. A connection is a use from its first request
    /// until it closes; pings and health checks are none. `skylinedb-cli start` and --start make it 15m unless it is set
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration, help_heading = TIMES)]
    pub(crate) idle_timeout: Duration,
    /// What --idle-timeout is if it is set nowhere: for programs that start the daemon
    #[arg(long, value_name = "DURATION", value_parser = checked_duration, hide = true)]
    pub(crate) default_idle_timeout: Option<String>,
    /// How long work in hand may take once the daemon shuts down
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration, help_heading = TIMES)]
    pub(crate) drain_timeout: Duration,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// A line for people
    Text,
    /// A JSON object a line
    Json,
}

/// The log file that is none.
pub(crate) const STANDARD_ERROR: &str = "-";

const LIMITS: &str = "Limits";
const TIMES: &str = "Time limits (such as 500ms, 5s or 2m)";

fn after_help() -> String {
    format!(
        "\
Examples:
  skylinedb-daemon app.db
  skylinedb-daemon {}
  {}

{} `skylinedb-cli start app.db` starts it in the background.

Every option may also be set by an environment variable, SKYLINEDB_ and its name
(SKYLINEDB_IDLE_TIMEOUT=1h, SKYLINEDB_DATABASE=app.db), or in the configuration
file (idle-timeout = \"1h\"). The command line comes first, then the environment,
then the file.

Exit codes:
  0  it has run and has been shut down
  1  it could not start, and says why; or another daemon holds the lock
  2  a mistake on the command line",
        help_text::EXAMPLE,
        help_text::EXAMPLE_WITH_LOG,
        help_text::END
    )
}

impl Arguments {
    /// The log's file, unless it is standard error.
    pub(crate) fn log_file(&self) -> Option<&Path> {
        Some(self.log_file.as_path()).filter(|path| *path != STANDARD_ERROR)
    }

    /// Where the lock and the socket are.
    pub(crate) fn places(&self) -> anyhow::Result<Places> {
        let mut places = match &self.endpoint {
            Some(endpoint) => Places::at(endpoint.path()),
            None => self.places_of_scope()?,
        };
        if let Some(lock_file) = &self.lock_file {
            places.lock_file.clone_from(lock_file);
        }
        Ok(places)
    }

    fn places_of_scope(&self) -> anyhow::Result<Places> {
        let scope = self.scope.unwrap_or_else(Scope::of_this_user);
        if self.scope.is_none() && scope == Scope::User {
            tracing::info!("{}", help_text::USER_SCOPE);
        }
        let database = match scope {
            Scope::Database => engine::prepare_path(&self.database)?,
            Scope::Machine | Scope::User => PathBuf::new(),
        };
        scope.places(&database).context(help_text::NO_PLACES)
    }

    /// How long the daemon waits for what.
    pub(crate) fn times(&self) -> Times {
        let idle = Some(self.idle_timeout).filter(|limit| !limit.is_zero());
        Times { drain: self.drain_timeout, idle }
    }

    /// How many threads serve connections. With 2 cores, one thread answers a single client's point reads in 44 µs and two
    /// do so in 54 µs, because they wake each other (`skylinedb-cli bench --workload point-read`).
    pub(crate) fn threads(&self) -> NonZeroUsize {
        let half = || available_parallelism().ok().and_then(|cores| NonZeroUsize::new(cores.get() / 2));
        self.threads.or_else(half).unwrap_or(NonZeroUsize::MIN)
    }

    /// What messages may take of the memory.
    fn ledger(&self) -> anyhow::Result<Ledger> {
        let (buffered, message) = (self.max_buffered_bytes.get(), self.max_message_bytes.get());
        anyhow::ensure!(
            buffered / 2 >= message,
            "--max-buffered-bytes is {buffered}, and must be at least twice --max-message-bytes ({message}): half of it is for \
             requests, and a message must fit in",
        );
        Ok(Ledger::new(buffered))
    }

    /// The engine's settings for the database file at this path.
    pub(crate) fn engine(&self) -> anyhow::Result<engine::Config> {
        let attach_folders = self.allow_attach.iter().map(|folder| {
            folder.canonicalize().with_context(|| format!("cannot allow ATTACH below {}", folder.display()))
        });
        Ok(engine::Config {
            path: engine::prepare_path(&self.database)?,
            synchronous: self.synchronous.into(),
            foreign_keys: self.foreign_keys,
            attach_folders: attach_folders.collect::<anyhow::Result<_>>()?,
            max_sql_bytes: self.max_sql_bytes.get(),
            max_value_bytes: self.max_value_bytes.get(),
            max_memory_bytes: self.max_memory_bytes.get(),
            max_answer_bytes: self.max_answer_bytes.get(),
            max_wal_bytes: self.max_wal_bytes.get() as u64,
            snapshot_timeout: self.snapshot_timeout,
            schema: engine::SchemaGeneration::default(),
            temp_files: engine::TempFiles::limited_to(self.max_temp_bytes.get() as u64),
            ledger: self.ledger()?,
            queue_jobs: self.queue_jobs.get(),
            readers: self.readers.get(),
            inline_readers: self.threads().get(),
            transaction_idle_timeout: self.transaction_idle_timeout,
            transaction_timeout: self.transaction_timeout,
            batch_timeout: self.batch_timeout,
            flush_log: crate::logging::flush,
        })
    }
}

/// How durable a commit is when it is acknowledged, as the command line has it.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Synchronous {
    /// On disk: survives a power cut.
    Full,
    /// With the operating system: survives a crash of the daemon; a power cut may take the newest commits.
    Normal,
    /// As `normal`, and a power cut may corrupt the database. For data that can be made again.
    Off,
}

impl From<Synchronous> for engine::Synchronous {
    fn from(synchronous: Synchronous) -> Self {
        match synchronous {
            Synchronous::Full => Self::Full,
            Synchronous::Normal => Self::Normal,
            Synchronous::Off => Self::Off,
        }
    }
}

/// The daemon's own statements and rows need some room, too.
fn at_least<const MINIMUM: usize>(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse::<NonZeroUsize>().map_err(|error| error.to_string())?;
    if number.get() < MINIMUM { Err(format!("it must be {MINIMUM} or more")) } else { Ok(number) }
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 500ms, 5s or 2m"))
}

/// A duration as it is written.
fn checked_duration(text: &str) -> Result<String, String> {
    duration(text).map(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[cfg(unix)]
    #[test]
    fn the_lock_lies_beside_a_socket_that_is_named() {
        let arguments = Arguments::parse_from(["skylinedb-daemon", "--endpoint", "/a/b.sock"]);
        assert_eq!(arguments.places().expect("places").lock_file, PathBuf::from("/a/b.lock"));
        let arguments = Arguments::parse_from(["skylinedb-daemon", "--endpoint", "/a/b.sock", "--lock-file", "/c/d"]);
        assert_eq!(arguments.places().expect("places").lock_file, PathBuf::from("/c/d"));
    }

    #[cfg(windows)]
    #[test]
    fn the_mutex_has_the_name_of_a_pipe_that_is_named() {
        let arguments = Arguments::parse_from(["skylinedb-daemon", "--endpoint", "pipe:app"]);
        let places = arguments.places().expect("places");
        assert_eq!(places.endpoint, PathBuf::from(r"\\.\pipe\app"));
        assert_eq!(places.lock_file, PathBuf::from(r"Global\app-SingleInstance"));
        let error = Arguments::try_parse_from(["skylinedb-daemon", "--endpoint", "run/app.sock"]).expect_err("no pipe");
        assert!(error.to_string().contains("pipe:NAME"), "{error}");
    }
}
