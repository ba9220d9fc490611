//! Connections to the database file, opened and set up: the one that writes, and those that read.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{CachedStatement, Connection, OpenFlags, config::DbConfig, limits::Limit};
use skylinedb::scope::canonical_database;

use super::{
    cancel::Watch,
    error::{Error, Kind},
    functions,
    policy::{Author, Policy},
    sqlite3,
};

/// How durable a commit is when it is acknowledged (<https://sqlite.org/pragma.html#pragma_synchronous>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Synchronous {
    /// On disk: survives a power cut.
    Full,
    /// With the operating system: survives a crash of the daemon; a power cut may take the newest commits.
    Normal,
    /// As `normal`, and a power cut may corrupt the database. For data that can be made again.
    Off,
}

/// The engine's settings.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The database file.
    pub(crate) path: PathBuf,
    /// Durability.
    pub(crate) synchronous: Synchronous,
    /// Whether foreign keys are enforced.
    pub(crate) foreign_keys: bool,
    /// Folders below which ATTACH and VACUUM INTO may name files; canonical.
    pub(crate) attach_folders: Vec<PathBuf>,
    /// SQL text of one statement.
    pub(crate) max_sql_bytes: usize,
    /// A value, a row.
    pub(crate) max_value_bytes: usize,
    /// All rows of a batch's answer.
    pub(crate) max_answer_bytes: usize,
    /// Jobs that wait for the writer.
    pub(crate) queue_jobs: usize,
    /// Connections that read at once.
    pub(crate) readers: usize,
    /// Connections for short reads: as many as there are threads that ask for them.
    pub(crate) inline_readers: usize,
    /// Session transactions: time without a request, time in all.
    pub(crate) transaction_idle_timeout: Duration,
    /// See `transaction_idle_timeout`.
    pub(crate) transaction_timeout: Duration,
}

/// How long a connection waits for another process's lock before it gives up with SQLITE_BUSY.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Statements that a connection keeps compiled. A compiled INSERT takes some 3 KiB; for long ones see `run::put_back`.
const CACHED_STATEMENTS: usize = 256;

/// The part of the file that short reads see as memory: a page that is read costs no system call and no copy. Scans do
/// without: their pages would count as the daemon's memory.
const INLINE_MMAP_BYTES: i64 = 1 << 30;

/// How large the write-ahead log stays on disk once a checkpoint has emptied it.
const WAL_SIZE_LIMIT_BYTES: i64 = 64 << 20;

/// A connection with its authorizer and its progress handler.
#[derive(Debug)]
pub(super) struct GuardedConnection {
    /// The connection itself.
    pub(super) sqlite: Connection,
    /// Its authorizer.
    pub(super) policy: Policy,
    /// Its progress handler.
    pub(super) watch: Watch,
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
        let synchronous = match config.synchronous {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
            Synchronous::Off => "OFF",
        };
        connection.sqlite.pragma_update(None, "synchronous", synchronous)?;
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
        let connection = Self::open_reader(config)?;
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

    fn open(config: &Config, flags: OpenFlags) -> Result<Self, Error> {
        // The path is canonical, and attached files inherit the flag.
        let sqlite = Connection::open_with_flags(&config.path, flags | OpenFlags::SQLITE_OPEN_NOFOLLOW)?;
        sqlite.busy_timeout(BUSY_TIMEOUT)?;
        sqlite.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        sqlite.set_limit(Limit::SQLITE_LIMIT_LENGTH, limit(config.max_value_bytes))?;
        sqlite.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, limit(config.max_sql_bytes))?;
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        let connection = Self { sqlite, policy: Policy::new(&config.attach_folders), watch: Watch::default() };
        connection.policy.install(&connection.sqlite)?;
        connection.watch.install(&connection.sqlite)?;
        functions::install(&connection.sqlite, &connection.watch, limit(config.max_value_bytes))?;
        Ok(connection)
    }
}

/// Compiles one of the daemon's own statements, or takes it from the connection's cache. The cache goes by the text and asks
/// no authorizer, so no client's statement may ever have the text of one of these: these end with a semicolon, and
/// clients' have theirs cut off (`run::prepare`).
pub(super) fn prepare_own<'c>(sqlite: &'c Connection, sql: &'static str) -> rusqlite::Result<CachedStatement<'c>> {
    debug_assert!(sql.ends_with(';'), "a client could run this in the daemon's name: {sql}");
    sqlite.prepare_cached(sql)
}

/// Makes the folders of the database file, and gives its path in the one form that names it in logs, errors and locks.
pub(crate) fn prepare_path(path: &Path) -> Result<PathBuf, Error> {
    let cannot = |what: &str, error: &std::io::Error| {
        Error::new(Kind::Invalid, "BAD_DATABASE_PATH", format!("cannot {what} {}: {error}", path.display()))
    };
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
    canonical_database(&absolute).map_err(|error| cannot("find", &error))
}

fn limit(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}
