//! `bm25()`, by which `ORDER BY rank` orders.

use super::{
    super::super::{
        sqlite3_fts5::Row,
        sqlite3_function::{Call, Failure},
    },
    Steps,
};

/// How soon more instances of a phrase stop counting, and how much a row's length counts.
const SATURATION: f64 = 1.2;
const LENGTH_SHARE: f64 = 0.75;

/// What counts for all rows of a query.
struct Query {
    average_size: f64,
    /// How rare each phrase is.
    rarity: Vec<f64>,
}

/// `bm25(table, weight, …)`: how well the row fits the query, the better the smaller, with a weight for each column.
#[allow(clippy::cast_precision_loss, reason = "as SQLite does")]
pub(super) fn bm25(call: &Call<'_>, row: Row<'_>, steps: &mut Steps<'_>) -> Result<(), Failure> {
    let query = if let Some(query) = row.kept::<Query>()? {
        query
    } else {
        row.keep(Query::of(row, steps)?)?;
        row.kept()?.ok_or(Failure::NoMemory)?
    };
    let weights: Vec<_> = (0..call.len()).map(|column| call.real(column)).collect();
    let mut frequencies = Vec::new();
    for phrase in 0..query.rarity.len() {
        steps.take(1)?;
        let mut frequency = 0.0;
        let mut positions = row.positions(phrase)?;
        while let Some((column, _)) = positions.current() {
            steps.take(1)?;
            frequency += usize::try_from(column).ok().and_then(|column| weights.get(column)).unwrap_or(&1.0);
            positions.advance();
        }
        frequencies.push(frequency);
    }
    let size = f64::from(row.size(-1)?);
    // Each operation in SQLite's order: another would round in another way.
    let length = SATURATION * (1.0 - LENGTH_SHARE + LENGTH_SHARE * size / query.average_size);
    let mut score = 0.0;
    for (rarity, frequency) in query.rarity.iter().zip(frequencies) {
        score += rarity * ((frequency * (SATURATION + 1.0)) / (frequency + length));
    }
    call.set_real(-score);
    Ok(())
}

impl Query {
    #[allow(clippy::cast_precision_loss, reason = "as SQLite does")]
    fn of(row: Row<'_>, steps: &mut Steps<'_>) -> Result<Self, Failure> {
        let rows = row.row_count()?;
        let average_size = row.table_size()? as f64 / rows as f64;
        let mut rarity = Vec::new();
        for phrase in 0..row.phrase_count()? {
            let mut hits = 0_i64;
            row.rows_with(phrase, || {
                hits += 1;
                steps.take(1)
            })?;
            let value = (((rows - hits) as f64 + 0.5) / (hits as f64 + 0.5)).ln();
            rarity.push(if value <= 0.0 { 1e-6 } else { value });
        }
        Ok(Self { average_size, rarity })
    }
}
