//! What clients' statements may do: SQLite's authorizer (<https://sqlite.org/c3ref/set_authorizer.html>) asks here, action
//! by action, while it compiles a statement. Nothing is ever judged by a statement's text.
//!
//! Connections are shared by all clients. So whatever would stay behind on one is refused: transactions across batches,
//! connection settings, temporary tables, attached files outside the allowed folders.

mod attach;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{
    Connection, ffi,
    hooks::{AuthAction, AuthContext, Authorization},
};

pub(super) use attach::Target;

/// The tables of the daemon itself, which clients may read but not change.
const OWN_TABLES: [&str; 2] = ["skylinedb_meta", "skylinedb_requests"];

/// PRAGMAs that tell something, with or without an argument (<https://sqlite.org/pragma.html>).
const TELLING_PRAGMAS: &[&str] = &[
    "collation_list",
    "compile_options",
    "data_version",
    "database_list",
    "foreign_key_check",
    "foreign_key_list",
    "freelist_count",
    "function_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "module_list",
    "page_count",
    "pragma_list",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
];

/// Settings that may be looked at but not set: they belong to the connection, or to the file for good.
const SETTINGS: &[&str] = &[
    "auto_vacuum",
    "busy_timeout",
    "cache_size",
    "encoding",
    "foreign_keys",
    "journal_mode",
    "journal_size_limit",
    "max_page_count",
    "mmap_size",
    "page_size",
    "recursive_triggers",
    "schema_version",
    "secure_delete",
    "synchronous",
    "temp_store",
    "threads",
    "trusted_schema",
    "wal_autocheckpoint",
];

/// PRAGMAs that change the database as a statement does, inside the batch's transaction.
const WRITING_PRAGMAS: &[&str] = &["application_id", "incremental_vacuum", "optimize", "user_version"];

/// Functions that would reach out of the database or tell one client what others did.
const REFUSED_FUNCTIONS: &[(&str, &str)] = &[
    ("load_extension", "loading extensions is not allowed"),
    ("fts3_tokenizer", "registering tokenizers by address is not allowed"),
    ("total_changes", "total_changes() would count every client's changes; use changes() or rows_affected"),
];

/// The authorizer of one connection.
#[derive(Clone, Debug)]
pub(super) struct Policy(Arc<Mutex<State>>);

/// What a statement turned out to be while it was compiled. Only statements that are all of these's default are kept in the
/// statement cache, so that a cached statement never has to tell again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "they do not depend on one another")]
pub(super) struct Traits {
    /// Must run outside any transaction (`PRAGMA wal_checkpoint`).
    pub(super) outside_transaction: bool,
    /// Attaches or detaches a file, which must be let go of after the batch.
    pub(super) attaches: bool,
    /// The file that it attaches.
    pub(super) attached_file: Option<String>,
    /// Sets `PRAGMA defer_foreign_keys`, which must not reach beyond the batch.
    pub(super) defers_foreign_keys: bool,
    /// Writes, though SQLite may take it for a read (`PRAGMA optimize`, which runs ANALYZE inside).
    pub(super) writes: bool,
    /// Tells of the schema, which SQLite does while it compiles and from what it remembers of it.
    pub(super) tells_of_schema: bool,
    /// Changes the schema, or what the query planner knows of the tables.
    pub(super) changes_schema: bool,
    /// The table that it makes or alters.
    pub(super) defines: Option<String>,
}

/// Whose statements are being compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Author {
    /// The daemon itself: everything is allowed.
    Daemon,
    /// A client.
    Client,
    /// SQLite, carrying out a client's VACUUM: it attaches a nameless file and copies the schema's own table.
    Vacuum,
}

#[derive(Debug)]
struct State {
    author: Author,
    attach_folders: Vec<PathBuf>,
    traits: Traits,
    denial: Option<String>,
    /// The file that a VACUUM INTO writes, and whether SQLite has opened it.
    vacuum_target: Option<(Target, bool)>,
    /// Whether a client has set `PRAGMA defer_foreign_keys`, which it is as soon as that is compiled: a statement that fails
    /// later, or before it has begun, has set it as well.
    defers_foreign_keys: bool,
}

impl Policy {
    /// A policy that allows ATTACH and VACUUM INTO below these folders, given in their canonical form.
    pub(super) fn new(attach_folders: &[PathBuf]) -> Self {
        Self(Arc::new(Mutex::new(State {
            author: Author::Daemon,
            attach_folders: attach_folders.to_vec(),
            traits: Traits::default(),
            denial: None,
            vacuum_target: None,
            defers_foreign_keys: false,
        })))
    }

    /// Installs this policy as the connection's authorizer.
    pub(super) fn install(&self, connection: &Connection) -> rusqlite::Result<()> {
        let policy = self.clone();
        connection.authorizer(Some(move |context: AuthContext<'_>| policy.state().authorize(&context)))
    }

    /// From now on, statements are this author's. Returns whose they were.
    pub(super) fn set_author(&self, author: Author) -> Author {
        let mut state = self.state();
        state.traits = Traits::default();
        state.denial = None;
        std::mem::replace(&mut state.author, author)
    }

    /// What has been learned since the author was set, and why something was refused, if it was.
    pub(super) fn take_findings(&self) -> (Traits, Option<String>) {
        let mut state = self.state();
        (std::mem::take(&mut state.traits), state.denial.take())
    }

    /// Looks at the file that a statement is about to attach, or makes it.
    pub(super) fn prepare_attach(&self, filename: &str) -> Result<Target, String> {
        let folders = self.state().attach_folders.clone();
        Target::prepare(filename, &folders)
    }

    /// Keeps the file that a VACUUM INTO has written; one that it has made and not written is removed.
    pub(super) fn end_vacuum(&self, is_written: bool) {
        if let Some((target, _)) = self.state().vacuum_target.take()
            && is_written
        {
            target.keep();
        }
    }

    /// Whether foreign keys have been deferred since this was asked last.
    pub(super) fn take_deferral(&self) -> bool {
        std::mem::take(&mut self.state().defers_foreign_keys)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn authorize(&mut self, context: &AuthContext<'_>) -> Authorization {
        let verdict = match self.author {
            Author::Daemon => Ok(()),
            Author::Vacuum => self.judge_vacuum(context.action),
            Author::Client => self.judge(context),
        };
        match verdict {
            Ok(()) => Authorization::Allow,
            Err(reason) => {
                self.denial.get_or_insert(reason);
                Authorization::Deny
            }
        }
    }

    fn judge(&mut self, context: &AuthContext<'_>) -> Result<(), String> {
        self.traits.changes_schema |= changes_schema(&context.action);
        match context.action {
            AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => {
                Err("BEGIN, COMMIT, ROLLBACK and SAVEPOINT \
                 are not allowed in a batch: a batch is a transaction already; for a longer one use a session's \
                 begin and commit"
                    .into())
            }
            // Whatever is made there needs a row in its schema's table; some of it has no other action that tells
            // (CREATE TABLE temp.x is no CreateTempTable).
            AuthAction::Insert { .. } if context.database_name == Some("temp") => {
                Err("temporary tables, views, indexes and triggers are not allowed: they belong to one connection, and all \
                     clients share the daemon's; use an ordinary table, or WITH … AS"
                    .into())
            }
            AuthAction::Insert { table_name }
            | AuthAction::Update { table_name, .. }
            | AuthAction::Delete { table_name }
            | AuthAction::DropTable { table_name }
            | AuthAction::AlterTable { table_name, .. }
            | AuthAction::CreateTrigger { table_name, .. }
            | AuthAction::CreateIndex { table_name, .. }
                if OWN_TABLES.iter().any(|own| own.eq_ignore_ascii_case(table_name)) =>
            {
                Err(format!("the table {table_name} is the daemon's own: it may be read, not changed"))
            }
            AuthAction::CreateTable { table_name } | AuthAction::AlterTable { table_name, .. } => {
                self.traits.defines = Some(table_name.to_owned());
                Ok(())
            }
            AuthAction::Attach { filename } => {
                attach::check_name(filename, &self.attach_folders)?;
                self.traits.attaches = true;
                self.traits.attached_file = Some(filename.to_owned());
                Ok(())
            }
            AuthAction::Detach { .. } => {
                self.traits.attaches = true;
                Ok(())
            }
            AuthAction::Function { function_name } => {
                match REFUSED_FUNCTIONS.iter().find(|(name, _)| name.eq_ignore_ascii_case(function_name)) {
                    Some((_, why)) => Err((*why).to_owned()),
                    None => Ok(()),
                }
            }
            AuthAction::Pragma { pragma_name, pragma_value } => {
                self.pragma(pragma_name, pragma_value, context.database_name)
            }
            // SQLite asks before it works out an expression, and then without saying what it will be.
            AuthAction::Unknown { code: ffi::SQLITE_ATTACH | ffi::SQLITE_DETACH, .. } => {
                Err("ATTACH and DETACH need the file and the name as literals, not as expressions or parameters".into())
            }
            AuthAction::Unknown { code, .. } => Err(format!("the daemon does not know SQLite's action {code}")),
            _ => Ok(()),
        }
    }

    /// VACUUM compiles statements of its own while it runs. It attaches a nameless file, or the one of INTO; the next
    /// action comes when that is open and before anything is written to it.
    fn judge_vacuum(&mut self, action: AuthAction<'_>) -> Result<(), String> {
        match (action, &mut self.vacuum_target) {
            (AuthAction::Attach { filename: "" }, _) => Ok(()),
            (AuthAction::Attach { filename }, _) => {
                self.vacuum_target = Some((Target::prepare(filename, &self.attach_folders)?, false));
                Ok(())
            }
            (_, Some((target, is_checked @ false))) => {
                target.check_opened()?;
                *is_checked = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn pragma(&mut self, name: &str, value: Option<&str>, database: Option<&str>) -> Result<(), String> {
        let name = name.to_ascii_lowercase();
        let is_in = |names: &[&str]| names.contains(&name.as_str());
        match value {
            _ if is_in(TELLING_PRAGMAS) => {
                self.traits.tells_of_schema = true;
                Ok(())
            }
            _ if is_in(WRITING_PRAGMAS) && database == Some("temp") => {
                Err(format!("PRAGMA temp.{name} is not allowed: the temporary database belongs to one connection"))
            }
            _ if is_in(WRITING_PRAGMAS) => {
                self.traits.writes = name == "optimize";
                Ok(())
            }
            None if is_in(SETTINGS) || name == "defer_foreign_keys" => Ok(()),
            Some(_) if name == "defer_foreign_keys" => {
                self.traits.defers_foreign_keys = true;
                self.defers_foreign_keys = true;
                Ok(())
            }
            _ if name == "wal_checkpoint" => {
                self.traits.outside_transaction = true;
                Ok(())
            }
            Some(_) if is_in(SETTINGS) => Err(format!(
                "PRAGMA {name} may not be set: it belongs to a connection, and all clients share the daemon's; settings \
                 are the daemon's options"
            )),
            _ => Err(format!("PRAGMA {name} is not allowed through the daemon")),
        }
    }
}

fn changes_schema(action: &AuthAction<'_>) -> bool {
    matches!(
        action,
        AuthAction::CreateIndex { .. }
            | AuthAction::CreateTable { .. }
            | AuthAction::CreateTrigger { .. }
            | AuthAction::CreateView { .. }
            | AuthAction::CreateVtable { .. }
            | AuthAction::DropIndex { .. }
            | AuthAction::DropTable { .. }
            | AuthAction::DropTrigger { .. }
            | AuthAction::DropView { .. }
            | AuthAction::DropVtable { .. }
            | AuthAction::AlterTable { .. }
            | AuthAction::Analyze { .. }
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rusqlite::Connection;

    use super::{super::sqlite3::memory, *};

    fn connection(author: Author, folders: &[PathBuf]) -> (Connection, Policy) {
        memory::install().expect("before the first connection of the process");
        let connection = Connection::open_in_memory().expect("a setup that works");
        connection
            .execute_batch("CREATE TABLE t(a); CREATE TABLE skylinedb_meta(revision)")
            .expect("a setup that works");
        let policy = Policy::new(folders);
        policy.install(&connection).expect("a setup that works");
        policy.set_author(author);
        (connection, policy)
    }

    #[test]
    fn what_would_stay_behind_on_the_connection_is_refused_with_the_reason() {
        let (connection, policy) = connection(Author::Client, &[]);
        for (sql, part_of_reason) in [
            ("BEGIN", "a batch is a transaction already"),
            ("COMMIT", "a batch is a transaction already"),
            ("SAVEPOINT a", "a batch is a transaction already"),
            ("CREATE TEMP TABLE x(a)", "temporary tables"),
            ("CREATE TEMP VIEW x AS SELECT 1", "temporary tables"),
            ("CREATE TABLE temp.x(a)", "temporary tables"),
            ("CREATE TEMP TABLE x AS SELECT 1", "temporary tables"),
            ("CREATE VIEW temp.x AS SELECT 1", "temporary tables"),
            ("CREATE TRIGGER temp.x AFTER INSERT ON t BEGIN SELECT 1; END", "temporary tables"),
            ("CREATE VIRTUAL TABLE temp.x USING dbstat(main)", "temporary tables"),
            ("ATTACH 'x' || '.db' AS x", "literals"),
            ("ATTACH ?1 AS x", "literals"),
            ("DETACH ?1", "literals"),
            ("ATTACH 'x.db' AS x", "absolute path"),
            ("ATTACH 'file:/tmp/x.db' AS x", "absolute path"),
            ("ATTACH ':memory:' AS x", "absolute path"),
            ("ATTACH '' AS x", "absolute path"),
            ("PRAGMA foreign_keys = OFF", "may not be set"),
            ("PRAGMA journal_mode = DELETE", "may not be set"),
            ("PRAGMA writable_schema = ON", "not allowed"),
            ("PRAGMA case_sensitive_like = ON", "not allowed"),
            ("PRAGMA no_such_pragma", "not allowed"),
            ("PRAGMA temp.user_version = 7", "temporary database"),
            ("PRAGMA TEMP.Application_Id(7)", "temporary database"),
            ("ATTACH '/tmp/x.db-wal' AS x", "beside a database"),
            ("ATTACH '/tmp/x.db-SHM' AS x", "beside a database"),
            ("ATTACH '/tmp/x.db-journal' AS x", "beside a database"),
            ("SELECT load_extension('x')", "extensions"),
            ("SELECT total_changes()", "every client"),
            ("UPDATE skylinedb_meta SET revision = 0", "daemon's own"),
            ("DROP TABLE SKYLINEDB_META", "daemon's own"),
        ] {
            assert!(connection.prepare(sql).is_err(), "{sql} is allowed");
            let reason = policy.take_findings().1.unwrap_or_default();
            assert!(reason.contains(part_of_reason), "{sql}: {reason}");
        }
    }

    #[test]
    fn ordinary_statements_are_allowed_and_the_unusual_ones_are_noted() {
        let (connection, policy) = connection(Author::Client, &[]);
        let ordinary = Traits::default();
        for (sql, traits) in [
            ("INSERT INTO t VALUES (1)", ordinary.clone()),
            ("CREATE TABLE u(a)", Traits { defines: Some("u".into()), changes_schema: true, ..ordinary.clone() }),
            (
                "ALTER TABLE t ADD COLUMN b",
                Traits { defines: Some("t".into()), changes_schema: true, ..ordinary.clone() },
            ),
            ("PRAGMA optimize", Traits { writes: true, ..ordinary.clone() }),
            ("SELECT * FROM skylinedb_meta", ordinary.clone()),
            ("PRAGMA user_version = 3", ordinary.clone()),
            ("PRAGMA journal_mode", ordinary.clone()),
            ("PRAGMA table_info(t)", Traits { tells_of_schema: true, ..ordinary.clone() }),
            ("PRAGMA defer_foreign_keys = ON", Traits { defers_foreign_keys: true, ..ordinary.clone() }),
            ("PRAGMA wal_checkpoint(TRUNCATE)", Traits { outside_transaction: true, ..ordinary.clone() }),
        ] {
            connection.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
            assert_eq!(policy.take_findings(), (traits, None), "{sql}");
        }
    }

    #[test]
    fn a_file_may_be_attached_below_an_allowed_folder_only() {
        let folder = tempfile::tempdir().expect("a setup that works");
        let allowed = folder.path().canonicalize().expect("a setup that works");
        let (connection, policy) = connection(Author::Client, std::slice::from_ref(&allowed));
        let attach = |path: &Path| connection.prepare(&format!("ATTACH '{}' AS x", path.display())).is_ok();
        assert!(attach(&allowed.join("other.db")));
        assert_eq!(policy.take_findings().0.attached_file, allowed.join("other.db").to_str().map(str::to_owned));
        assert!(!allowed.join("other.db").exists(), "compiling alone made the file");
        assert!(!attach(&folder.path().join("../other.db")));
        let reason = policy.take_findings().1.unwrap_or_default();
        assert!(reason.contains("--allow-attach"), "{reason}");
        assert!(!attach(Path::new("/etc/passwd")));
        policy.take_findings();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("/etc/passwd", allowed.join("link.db")).expect("a setup that works");
            assert!(!attach(&allowed.join("link.db")));
        }
        #[cfg(windows)]
        for (name, part_of_reason) in
            [("x.db-wal.", "beside a database"), ("x.db-WAL ", "beside a database"), ("x.db:y", "a stream")]
        {
            assert!(!attach(&folder.path().join(name)), "{name}");
            let reason = policy.take_findings().1.unwrap_or_default();
            assert!(reason.contains(part_of_reason), "{name}: {reason}");
        }
    }
}
