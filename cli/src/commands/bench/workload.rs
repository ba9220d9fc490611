//! What is done again and again, and the table that it is done to.

use skylinedb::{Batch, Client, Params, Statement, params};

use crate::{
    args::{BenchArguments, Workload},
    failure::Failure,
};

/// Rows that are written at once while a table is filled.
const FILL_ROWS: i64 = 100_000;

/// The text of every row: 64 bytes, so that a row has about 100.
pub(super) const TEXT: &str = "The quick brown fox jumps over the lazy dog, and then once more.";

/// The table of a benchmark: `id` is the key, from 1 to `rows`.
#[derive(Clone, Debug)]
pub(super) struct Table {
    name: String,
    pub(super) rows: i64,
}

/// A generator of numbers that look random (splitmix64); no two clients have the same ones.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Table {
    /// Makes the table and fills it.
    pub(super) async fn prepare(client: &Client, arguments: &BenchArguments) -> Result<Self, Failure> {
        let is_read = !matches!(arguments.workload, Workload::Ping | Workload::Insert | Workload::Import);
        let rows = if is_read { arguments.rows.get().cast_signed() } else { 0 };
        let table = Self { name: format!("skylinedb_bench_{}", std::process::id()), rows };
        let name = &table.name;
        client
            .execute(format!("CREATE TABLE {name}(id INTEGER PRIMARY KEY, number INTEGER, text TEXT)"), params![])
            .await?;
        let fill = format!(
            "INSERT INTO {name} WITH RECURSIVE n(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2) SELECT i, i * 7, ?3 FROM n"
        );
        let mut first = 1;
        while first <= rows {
            let last = (first + FILL_ROWS - 1).min(rows);
            client.execute(&fill, params![first, last, TEXT]).await?;
            first = last + 1;
        }
        Ok(table)
    }

    pub(super) async fn drop(&self, client: &Client) -> Result<(), Failure> {
        client.execute(format!("DROP TABLE IF EXISTS {}", self.name), params![]).await?;
        Ok(())
    }

    /// `count` rows to insert, in one batch.
    pub(super) fn insert(&self, count: usize, random: &mut Random) -> Batch {
        let sql = format!("INSERT INTO {}(number, text) VALUES (?, ?)", self.name);
        (0..count).map(|_| Statement::new(&*sql, params![random.below(1 << 32), TEXT])).collect()
    }

    /// `count` rows to read by their key, in one batch.
    pub(super) fn point_read(&self, count: usize, random: &mut Random) -> Batch {
        let sql = format!("SELECT id, number, text FROM {} WHERE id = ?", self.name);
        (0..count).map(|_| Statement::new(&*sql, params![1 + random.below(self.rows)])).collect()
    }

    /// Everything.
    pub(super) fn scan(&self) -> (String, Params) {
        (format!("SELECT id, number, text FROM {}", self.name), params![])
    }
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 to `limit - 1`.
    pub(super) fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((number ^ (number >> 31)) >> 1).cast_signed() % limit.max(1)
    }
}
