//! Connections to the database file, opened and set up: the one that writes, and those that read.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rusqlite::{CachedStatement, Connection, OpenFlags, config::DbConfig, limits::Limit};
use skylinedb_local::canonical_database;

use super::{
    cancel::Watch,
    error::{Error, Kind},
    functions,
    policy::{Author, Policy},
    sqlite3::{self, memory, sigbus, vfs},
    temp_files::{TempFiles, TempUser},
};
use crate::ledger::{Half, Ledger};

/// How durable a commit is when it is acknowledged (<https://sqlite.org/pragma.html#pragma_synchronous>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronous {
    /// On disk: survives a power cut.
    Full,
    /// With the operating system: survives a crash of the daemon; a power cut may take the newest commits.
    Normal,
    /// As `normal`, and a power cut may corrupt the database. For data that can be made again.
    Off,
}

impl Synchronous {
    /// What SQLite calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
            Self::Off => "OFF",
        }
    }
}

/// The engine's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// The database file.
    pub path: PathBuf,
    /// Durability.
    pub synchronous: Synchronous,
    /// Whether foreign keys are enforced.
    pub foreign_keys: bool,
    /// Folders below which ATTACH and VACUUM INTO may name files; canonical.
    pub attach_folders: Vec<PathBuf>,
    /// SQL text of one statement.
    pub max_sql_bytes: usize,
    /// A value, a row.
    pub max_value_bytes: usize,
    /// What all statements together may take of memory; one may take a quarter of it.
    pub max_memory_bytes: usize,
    /// All rows of a batch's answer.
    pub max_answer_bytes: usize,
    /// SQLite's temporary files, and what they may take.
    pub temp_files: TempFiles,
    /// What messages may take of the memory.
    pub ledger: Ledger,
    /// Jobs that wait for the writer.
    pub queue_jobs: usize,
    /// Connections that read at once.
    pub readers: usize,
    /// Connections for short reads: as many as there are threads that ask for them.
    pub inline_readers: usize,
    /// How long a read may hold its snapshot, in a transaction or not.
    pub snapshot_timeout: Duration,
    /// How large the write-ahead log may grow before the oldest reads that keep it are ended.
    pub max_wal_bytes: u64,
    /// How many changes of the schema there have been.
    pub schema: SchemaGeneration,
    /// Session transactions: time without a request, time in all.
    pub transaction_idle_timeout: Duration,
    /// See `transaction_idle_timeout`.
    pub transaction_timeout: Duration,
    /// How long a batch outside of transactions may run while others wait for the writer.
    pub batch_timeout: Duration,
    /// Called before the engine ends the process because it cannot go on: what is still to be logged should be written.
    pub flush_log: fn(),
}

/// How long a connection waits for another process's lock before it gives up with SQLITE_BUSY.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many virtual machine operations pass between two looks at the watch: some 10 to 50 µs, so that the look is not felt.
const OPERATIONS_BETWEEN_LOOKS: i32 = 1_000;

/// Statements that a connection keeps compiled. A compiled INSERT takes some 3 KiB; for long ones see `run::put_back`.
const CACHED_STATEMENTS: usize = 256;

/// The part of the file that short reads see as memory: a page that is read costs no system call and no copy. Scans do
/// without: their pages would count as the daemon's memory.
const INLINE_MMAP_BYTES: i64 = 1 << 30;

/// What a short read may take of memory, the length of a value in it, and how often it is looked at: a statement that works
/// on more is not short, and one look is never far away.
const INLINE_STATEMENT_BYTES: usize = 2 << 20;
const INLINE_VALUE_BYTES: usize = 64 << 10;
const INLINE_OPERATIONS_BETWEEN_LOOKS: i32 = 50;

/// How large the write-ahead log stays on disk once a checkpoint has emptied it.
const WAL_SIZE_LIMIT_BYTES: i64 = 64 << 20;

/// How many of the largest statements fit into the memory that all of them may take.
const STATEMENTS_PER_MEMORY: usize = 4;

/// The generation of a connection that has read no schema.
const NO_SCHEMA: u64 = u64::MAX;

/// Makes SQLite see whether its schema is that of the file, and gives no row.
pub(super) const LOOK_AT_SCHEMA: &str = "SELECT 1 FROM sqlite_schema LIMIT 0;";

/// A connection with its authorizer and its progress handler.
#[derive(Debug)]
pub(super) struct GuardedConnection {
    /// The connection itself.
    pub(super) sqlite: Connection,
    /// Its authorizer.
    pub(super) policy: Policy,
    /// Its progress handler.
    pub(super) watch: Watch,
    /// What one statement may take of memory.
    pub(super) statement_bytes: usize,
    /// How large a row of a result may be: as large as SQLite lets one be that is stored.
    pub(super) row_bytes: usize,
    /// Whether a statement has changed the schema, or may have, since this was set to false.
    pub(super) changes_schema: Cell<bool>,
    /// What the texts of the schema have together, at most; more than any schema as long as it was not measured.
    pub(super) schema_bytes: Cell<usize>,
    pub(super) schema: SchemaGeneration,
    /// The generation of the schema that SQLite has read on this connection.
    schema_seen: AtomicU64,
    /// Its temporary files.
    pub(super) temp_files: Arc<TempUser>,
    /// What answers may take of the memory.
    pub(super) answers: Half,
}

/// Counts the changes of the database's schema that go through the daemon. What is known of a statement holds for one
/// generation.
#[derive(Clone, Debug, Default)]
pub struct SchemaGeneration(Arc<AtomicU64>);

impl SchemaGeneration {
    /// The generation. Work during which it stays the same has been done on one schema.
    pub(super) fn current(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Begins another generation: before a change is committed, so that what is found out meanwhile does not count, and after.
    pub(super) fn advance(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

impl GuardedConnection {
    /// Opens the connection that writes; the file and its folders are made if they are not there.
    pub(super) fn open_writer(config: &Config) -> Result<Self, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Self::open(config, flags)?;
        let mode: String = connection.sqlite.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        if mode != "wal" {
            return Err(Error::new(
                Kind::Precondition,
                "WAL_UNAVAILABLE",
                format!(
                    "{} cannot use write-ahead logging (journal mode is {mode:?}): its file system must be local",
                    config.path.display()
                ),
            ));
        }
        connection.sqlite.pragma_update(None, "synchronous", config.synchronous.name())?;
        connection.sqlite.pragma_update(None, "foreign_keys", config.foreign_keys)?;
        connection.sqlite.pragma_update(None, "journal_size_limit", WAL_SIZE_LIMIT_BYTES)?;
        Ok(connection)
    }

    /// Opens a connection that can only read.
    pub(super) fn open_reader(config: &Config) -> Result<Self, Error> {
        let connection = Self::open(config, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.sqlite.pragma_update(None, "foreign_keys", config.foreign_keys)?; // for whoever asks
        connection.sqlite.pragma_update(None, "query_only", true)?;
        Ok(connection)
    }

    /// Opens a connection that can only read, for a thread that must not wait.
    pub(super) fn open_impatient_reader(config: &Config) -> Result<Self, Error> {
        let mut connection = Self::open_reader(config)?;
        connection.statement_bytes = INLINE_STATEMENT_BYTES;
        connection.row_bytes = config.max_value_bytes.min(INLINE_VALUE_BYTES);
        connection.watch.install(&connection.sqlite, INLINE_OPERATIONS_BETWEEN_LOOKS)?;
        connection
            .sqlite
            .set_limit(Limit::SQLITE_LIMIT_LENGTH, limit(config.max_value_bytes.min(INLINE_VALUE_BYTES)))?;
        connection.sqlite.busy_timeout(Duration::ZERO)?;
        connection.sqlite.pragma_update(None, "mmap_size", INLINE_MMAP_BYTES)?;
        Ok(connection)
    }

    /// Whether a transaction is open.
    pub(super) fn in_transaction(&self) -> bool {
        !self.sqlite.is_autocommit()
    }

    /// Runs one of the daemon's own statements, which has no parameters and no rows.
    pub(super) fn run(&self, sql: &'static str) -> Result<(), Error> {
        self.as_daemon(|sqlite| prepare_own(sqlite, sql)?.raw_execute().map(drop))
    }

    /// Does something in the daemon's own name: no authorizer judges it, and no client's deadline interrupts it.
    pub(super) fn as_daemon<T>(&self, run: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        let author = self.policy.set_author(Author::Daemon);
        self.watch.pause(true);
        let outcome = run(&self.sqlite);
        self.watch.pause(false);
        self.policy.set_author(author);
        outcome.map_err(Error::from)
    }

    /// Whether a batch has attached a file.
    pub(super) fn has_attached(&self) -> Result<bool, Error> {
        self.as_daemon(|sqlite| {
            let ask = "SELECT EXISTS (SELECT 1 FROM pragma_database_list WHERE name NOT IN ('main', 'temp'));";
            prepare_own(sqlite, ask)?.query_row([], |row| row.get(0))
        })
    }

    /// Lets go of every file that a batch has attached.
    pub(super) fn detach_all(&self) -> Result<(), Error> {
        self.as_daemon(|sqlite| {
            let list = "SELECT name FROM pragma_database_list WHERE name NOT IN ('main', 'temp');";
            let attached: Vec<String> =
                prepare_own(sqlite, list)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            attached.iter().try_for_each(|name| sqlite.execute("DETACH ?1", [name]).map(drop))
        })
    }

    /// Lets go of the file that was attached last.
    pub(super) fn detach_newest(&self) -> Result<(), Error> {
        self.as_daemon(|sqlite| {
            let newest = "SELECT name FROM pragma_database_list ORDER BY seq DESC LIMIT 1;";
            let name: String = prepare_own(sqlite, newest)?.query_row([], |row| row.get(0))?;
            sqlite.execute("DETACH ?1", [name]).map(drop)
        })
    }

    /// Makes the connection forget what an earlier client did: `last_insert_rowid()` and `changes()` begin at 0.
    pub(super) fn forget_last_client(&self) -> Result<(), Error> {
        sqlite3::forget_last_insert_rowid(&self.sqlite);
        // An UPDATE that finds nothing is SQLite's only way to set changes() to 0.
        self.run("UPDATE skylinedb_meta SET revision = revision WHERE 0;")
    }

    /// Whether SQLite has read the newest schema on this connection. If not, its next statement does.
    pub(super) fn has_newest_schema(&self) -> bool {
        self.schema_seen.load(Ordering::Relaxed) == self.schema.current()
    }

    /// Has SQLite read the schema again if it may have changed. A large one takes more memory and time than a statement may.
    pub(super) fn refresh_schema(&self) -> Result<(), Error> {
        let current = self.schema.current();
        if self.schema_seen.load(Ordering::Relaxed) != current {
            self.run(LOOK_AT_SCHEMA)?;
            self.schema_seen.store(current, Ordering::Relaxed);
        }
        Ok(())
    }

    fn open(config: &Config, flags: OpenFlags) -> Result<Self, Error> {
        memory::install().map_err(|code| Error::internal(format_args!("setting SQLite's allocator (code {code})")))?;
        memory::set_limit(config.max_memory_bytes);
        sigbus::flush_before_exit(config.flush_log);
        vfs::register()?;
        // The path is canonical, and attached files inherit the flag.
        let flags = flags | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let sqlite = Connection::open_with_flags_and_vfs(&config.path, flags, vfs::NAME)?;
        sqlite.busy_timeout(BUSY_TIMEOUT)?;
        sqlite.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        sqlite.set_limit(Limit::SQLITE_LIMIT_LENGTH, limit(config.max_value_bytes))?;
        sqlite.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, limit(config.max_sql_bytes))?;
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        let connection = Self {
            sqlite,
            policy: Policy::new(&config.attach_folders),
            watch: Watch::default(),
            statement_bytes: config.max_memory_bytes / STATEMENTS_PER_MEMORY,
            row_bytes: config.max_value_bytes,
            changes_schema: Cell::new(false),
            schema_bytes: Cell::new(usize::MAX),
            schema: config.schema.clone(),
            schema_seen: AtomicU64::new(NO_SCHEMA),
            temp_files: config.temp_files.user(),
            answers: config.ledger.answers.clone(),
        };
        connection.policy.install(&connection.sqlite)?;
        connection.watch.install(&connection.sqlite, OPERATIONS_BETWEEN_LOOKS)?;
        functions::install(&connection.sqlite, &connection.watch, limit(config.max_value_bytes))?;
        Ok(connection)
    }
}

impl Drop for GuardedConnection {
    fn drop(&mut self) {
        // The last connection to close would copy the log into a file that has been truncated, and remove the log, in which the
        // newest commits still are.
        if sigbus::check().is_err() {
            let _ = self.sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
    }
}

/// Compiles one of the daemon's own statements, or takes it from the connection's cache. The cache goes by the text and asks
/// no authorizer, so no client's statement may ever have the text of one of these: these end with a semicolon, and
/// clients' have theirs cut off (`run::prepare`).
pub(super) fn prepare_own<'c>(sqlite: &'c Connection, sql: &'static str) -> rusqlite::Result<CachedStatement<'c>> {
    debug_assert!(sql.ends_with(';'), "a client could run this in the daemon's name: {sql}");
    sqlite.prepare_cached(sql)
}

/// Whether SQLite takes a name for something else than a file's path: `:memory:`, or a URI.
pub(super) fn is_no_path(name: &str) -> bool {
    name.starts_with(':') || name.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:"))
}

/// Makes the folders of the database file, and gives its path in the one form that names it in logs, errors and locks.
pub fn prepare_path(path: &Path) -> Result<PathBuf, Error> {
    let cannot = |what: &str, error: &std::io::Error| {
        Error::new(Kind::Invalid, "BAD_DATABASE_PATH", format!("cannot {what} {}: {error}", path.display()))
    };
    if path.to_str().is_some_and(is_no_path) {
        return Err(Error::new(
            Kind::Invalid,
            "BAD_DATABASE_PATH",
            format!(
                "{} would be a file of that name; give the path of a database file (./{0} if this is meant)",
                path.display()
            ),
        ));
    }
    let absolute = std::path::absolute(path).map_err(|error| cannot("find", &error))?;
    let Some(folder) = absolute.parent() else {
        return Err(Error::new(Kind::Invalid, "BAD_DATABASE_PATH", format!("{} is not a file's path", path.display())));
    };
    fs::create_dir_all(folder).map_err(|error| cannot("make the folder of", &error))?;
    if absolute.is_dir() {
        return Err(Error::new(
            Kind::Invalid,
            "BAD_DATABASE_PATH",
            format!(
                "{} is a folder; give the path of a database file, such as {}/data.db",
                path.display(),
                path.display()
            ),
        ));
    }
    if absolute.exists() && !absolute.is_file() {
        return Err(Error::new(
            Kind::Invalid,
            "BAD_DATABASE_PATH",
            format!("{} is a device, a pipe or a socket; give the path of a database file", path.display()),
        ));
    }
    canonical_database(&absolute).map_err(|error| cannot("find", &error))
}

fn limit(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}
