//! All measurements, and how they are printed: medians, and what SkylineDB's are to the others'.

use std::fmt::Write as _;

use serde_json::json;

use crate::{Measurement, case::Case};

/// What has been measured so far.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
    rest: Vec<(&'static str, Vec<f64>)>,
}

#[derive(Debug)]
struct Row {
    case: &'static str,
    who: &'static str,
    all: Vec<Measurement>,
}

const OWN: &str = "SkylineDB";

impl Table {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn add(&mut self, case: &Case, who: &'static str, measurement: Measurement) {
        match self.rows.iter_mut().find(|row| row.case == case.name && row.who == who) {
            Some(row) => row.all.push(measurement),
            None => self.rows.push(Row { case: case.name, who, all: vec![measurement] }),
        }
    }

    pub(crate) fn rest(&mut self, name: &'static str, figure: f64) {
        match self.rest.iter_mut().find(|(known, _)| *known == name) {
            Some((_, figures)) => figures.push(figure),
            None => self.rest.push((name, vec![figure])),
        }
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = format!(
            "| {:<40} | {:<10} | {:>10} | {:>9} | {:>10} | {:>10} | {:>8} | {:>8} |\n|{}|{}|{}|{}|{}|{}|{}|{}|\n",
            "work",
            "who",
            "per second",
            "p50 µs",
            "p99 µs",
            "max µs",
            "speed ×",
            "p50 ×",
            "-".repeat(42),
            "-".repeat(12),
            "-".repeat(12),
            "-".repeat(11),
            "-".repeat(12),
            "-".repeat(12),
            "-".repeat(10),
            "-".repeat(10),
        );
        for row in &self.rows {
            let median = Measurement::median(&row.all);
            let ratio = |figure: fn(&Measurement) -> f64| {
                self.ratio(row, figure).map_or_else(String::new, |ratio| format!("{ratio:.2}"))
            };
            let _ = writeln!(
                text,
                "| {:<40} | {:<10} | {:>10.0} | {:>9.1} | {:>10.1} | {:>10.1} | {:>8} | {:>8} |",
                row.case,
                row.who,
                median.per_second,
                median.p50_us,
                median.p99_us,
                median.max_us,
                ratio(|one| one.per_second),
                ratio(|one| one.p50_us),
            );
        }
        let _ = writeln!(
            text,
            "\n`speed ×` and `p50 ×` are SkylineDB's figure divided by the other's of the same round; the median."
        );
        for (name, figures) in &self.rest {
            let _ = writeln!(text, "{name}: {:.2}", median(figures));
        }
        text
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        let rows = self.rows.iter().map(|row| {
            let median = Measurement::median(&row.all);
            json!({
                "work": row.case, "who": row.who, "per_second": median.per_second, "p50_us": median.p50_us,
                "p99_us": median.p99_us, "max_us": median.max_us,
                "every_per_second": row.all.iter().map(|one| one.per_second).collect::<Vec<_>>(),
            })
        });
        let rest = self.rest.iter().map(|(name, figures)| ((*name).to_owned(), json!(median(figures))));
        json!({ "cases": rows.collect::<Vec<_>>(), "at_rest": rest.collect::<serde_json::Map<_, _>>() })
    }

    /// How SkylineDB's figure compares with another's. Round by round: what slows the machine for a while slows both.
    fn ratio(&self, other: &Row, figure: fn(&Measurement) -> f64) -> Option<f64> {
        let own = self.rows.iter().find(|row| row.case == other.case && row.who == OWN)?;
        let ratios: Vec<_> = own.all.iter().zip(&other.all).map(|(own, other)| figure(own) / figure(other)).collect();
        (other.who != OWN).then(|| median(&ratios))
    }
}

fn median(figures: &[f64]) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
