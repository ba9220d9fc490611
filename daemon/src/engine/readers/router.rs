//! Tells reads from writes by compiling them (`sqlite3_stmt_readonly`), and remembers the answers.

use std::sync::{Mutex, PoisonError};

use hashlink::LruCache;

use super::super::{connection::GuardedConnection, run};

/// Statements whose nature is remembered.
const REMEMBERED_STATEMENTS: usize = 2_048;

/// Longer statements are seldom sent twice, and would make the memory large.
const REMEMBERED_SQL_MAX_BYTES: usize = 4 << 10;

/// Up to this length a statement is compiled on the spot, in some tens of µs; a longer one might hold up the runtime's
/// thread.
const COMPILED_ON_THE_SPOT_MAX_BYTES: usize = 16 << 10;

/// Tells reads from writes.
#[derive(Debug)]
pub(super) struct Router {
    connection: Mutex<GuardedConnection>,
    /// Whether a text is a read. A text's nature does not change with the schema: what compiles as a read always does.
    remembered: Mutex<LruCache<String, bool>>,
}

impl Router {
    /// A router that compiles on this connection.
    pub(super) fn new(connection: GuardedConnection) -> Self {
        Self { connection: Mutex::new(connection), remembered: Mutex::new(LruCache::new(REMEMBERED_STATEMENTS)) }
    }

    /// Whether the text is a statement that only reads. A text that does not compile now is not, and is not remembered:
    /// its table may be made later.
    pub(super) fn is_read(&self, sql: &str) -> bool {
        if let Some(is_read) = self.remembered.lock().unwrap_or_else(PoisonError::into_inner).get(sql) {
            return *is_read;
        }
        let compile = || {
            let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
            run::is_readonly(&connection, sql)
        };
        let is_read =
            if sql.len() > COMPILED_ON_THE_SPOT_MAX_BYTES { tokio::task::block_in_place(compile) } else { compile() };
        if sql.len() <= REMEMBERED_SQL_MAX_BYTES
            && let Some(is_read) = is_read
        {
            self.remembered.lock().unwrap_or_else(PoisonError::into_inner).insert(sql.to_owned(), is_read);
        }
        is_read.unwrap_or(false)
    }
}
