//! What is known of statements' texts: whether one only reads, and whether it is short. SQLite says so when it compiles a text,
//! which may take long itself: so an unknown text is compiled in the pool, never on a thread of the runtime.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use hashlink::LruCache;

use super::super::{
    connection::{GuardedConnection, SchemaGeneration},
    long_sql,
    run::{self, Nature},
    statement::{Batch, Statement},
};

/// Texts that are remembered.
const REMEMBERED_STATEMENTS: usize = 2_048;

/// Longer texts are seldom sent twice, and would make the memory large.
const REMEMBERED_SQL_MAX_BYTES: usize = 4 << 10;

/// Hashes of texts that have come once. Two that fall on one place only make each other come once more.
const SEEN_STATEMENTS: usize = 4_096;

/// A batch of more statements is not short, and its texts are not looked at.
const FEW_STATEMENTS: usize = 64;

/// How the texts begin that SQLite compiles to writes. It is a hint, so that they need not be compiled twice: the writer runs
/// whatever it is sent, and a text that has another beginning is compiled to see what it is.
const WRITES_BEGIN_WITH: [&str; 16] = [
    "INSERT",
    "UPDATE",
    "DELETE",
    "REPLACE",
    "CREATE",
    "DROP",
    "ALTER",
    "VACUUM",
    "REINDEX",
    "ANALYZE",
    "ATTACH",
    "DETACH",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT",
];

/// Where a batch is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    /// Here and now: it only reads, and none of its operations can take long.
    Now,
    /// By the pool: it only reads, or is yet to be looked at.
    Pool,
    /// By the writer.
    Writer,
}

/// What is known of statements' texts.
#[derive(Debug)]
pub(super) struct Facts {
    remembered: Mutex<LruCache<String, Fact>>,
    /// Hashes of texts that have been run. A text is looked at when it comes the second time: many never do.
    seen: Box<[AtomicU64]>,
    schema: SchemaGeneration,
}

#[derive(Clone, Copy, Debug)]
struct Fact {
    nature: Nature,
    /// The generation of the schema under which it is known. That a text only reads holds under any; how it is carried out,
    /// under this one only.
    generation: u64,
}

impl Facts {
    pub(super) fn new(schema: SchemaGeneration) -> Self {
        Self {
            remembered: Mutex::new(LruCache::new(REMEMBERED_STATEMENTS)),
            seen: (0..SEEN_STATEMENTS).map(|_| AtomicU64::new(0)).collect(),
            schema,
        }
    }

    /// Where a batch is run. A batch of many statements goes by its first: to look all of them up would take long.
    pub(super) fn route(&self, batch: &Batch) -> Route {
        if long_sql::has_long(&batch.statements) {
            return Route::Pool;
        }
        // Only the writer knows the answers to earlier requests.
        if batch.request.is_some() {
            return Route::Writer;
        }
        let generation = self.schema.current();
        let mut remembered = self.remembered();
        let mut route = if batch.statements.len() > FEW_STATEMENTS { Route::Pool } else { Route::Now };
        for statement in batch.statements.iter().take(FEW_STATEMENTS) {
            route = route.max(route_of(&mut remembered, &statement.sql, generation));
            if route == Route::Writer || batch.statements.len() > FEW_STATEMENTS {
                break;
            }
        }
        route
    }

    /// Whether a text is known to be short, as the schema is now.
    pub(super) fn is_short(&self, sql: &str) -> bool {
        route_of(&mut self.remembered(), sql, self.schema.current()) == Route::Now
    }

    /// Looks at the texts of statements that have just been run, and remembers what they are.
    pub(super) fn learn(&self, connection: &GuardedConnection, statements: &[Statement]) {
        if statements.len() > FEW_STATEMENTS {
            return;
        }
        for Statement { sql, .. } in statements {
            // Before the text is looked at: if the schema changes meanwhile, that counts for nothing.
            let generation = self.schema.current();
            if sql.len() > REMEMBERED_SQL_MAX_BYTES {
                continue;
            }
            let is_known = self.remembered().get(sql).is_some_and(|fact| fact.generation == generation);
            if !is_known
                && self.has_come_before(sql)
                && let Some(nature) = run::nature(connection, sql)
            {
                self.remembered().insert(sql.clone(), Fact { nature, generation });
            }
        }
    }

    fn has_come_before(&self, sql: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        sql.hash(&mut hasher);
        let hash = hasher.finish();
        #[allow(clippy::cast_possible_truncation, reason = "any part of a hash is as good as the whole")]
        let place = &self.seen[hash as usize % SEEN_STATEMENTS];
        place.swap(hash, Ordering::Relaxed) == hash
    }

    fn remembered(&self) -> MutexGuard<'_, LruCache<String, Fact>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn route_of(remembered: &mut LruCache<String, Fact>, sql: &str, generation: u64) -> Route {
    // To look a long text up takes as long as to read it.
    let known = if sql.len() <= REMEMBERED_SQL_MAX_BYTES { remembered.get(sql) } else { None };
    match known {
        Some(Fact { nature: Nature::Writes, .. }) => Route::Writer,
        Some(fact) if fact.nature == Nature::ShortRead && fact.generation == generation => Route::Now,
        None if begins_as_a_write(sql) => Route::Writer,
        _ => Route::Pool,
    }
}

/// Whether a text is one of the most common that write.
pub(super) fn begins_as_a_write(sql: &str) -> bool {
    let sql = sql.trim_ascii_start();
    WRITES_BEGIN_WITH.iter().any(|word| {
        sql.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word))
            && !sql.as_bytes().get(word.len()).is_some_and(|next| next.is_ascii_alphanumeric() || *next == b'_')
    })
}
