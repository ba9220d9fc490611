//! What a benchmark has measured.

use std::{fmt::Write, time::Duration};

use clap::ValueEnum;
use serde_json::json;

use super::load::Done;
use crate::{args::BenchArguments, failure::Failure};

const PERCENTILES: [(&str, f64); 4] = [("p50", 50.0), ("p95", 95.0), ("p99", 99.0), ("p99.9", 99.9)];

/// What all clients have done.
pub(super) struct Report {
    title: String,
    settings: serde_json::Value,
    done: Done,
    pub(super) elapsed: Duration,
}

impl Report {
    pub(super) fn new(arguments: &BenchArguments) -> Self {
        let (workload, mode) = (name(&arguments.workload), name(&arguments.mode));
        let title = format!(
            "{workload}, {} clients, {} requests each under way, {} in each, mode {mode}",
            arguments.clients,
            arguments.pipeline,
            arguments.batch()
        );
        let settings = json!({
            "workload": workload,
            "mode": mode,
            "clients": arguments.clients,
            "pipeline": arguments.pipeline,
            "batch": arguments.batch(),
            "rows": arguments.rows,
        });
        Self { title, settings, done: Done::default(), elapsed: Duration::ZERO }
    }

    pub(super) fn add(&mut self, done: Done) {
        self.done.add(done);
    }

    /// An error if requests failed: a figure of a run with errors is no figure.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match (&self.done.first_error, self.done.errors) {
            (Some(error), errors) => {
                Err(Failure::refused(format!("{errors} requests failed, the first one with: {error}")))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.title);
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "  {name:<12}{value}"); // writing to a String cannot fail
        };
        line("throughput", format!("{:.0}/s", self.per_second(self.done.items)));
        if self.done.items != self.done.requests {
            line("requests", format!("{:.0}/s", self.per_second(self.done.requests)));
        }
        for (name, percentile) in PERCENTILES {
            line(name, microseconds(self.done.latencies.value_at_percentile(percentile)));
        }
        line("max", microseconds(self.done.latencies.max()));
        line("errors", self.done.errors.to_string());
        text
    }

    pub(super) fn to_json(&self) -> String {
        let mut report = self.settings.clone();
        report["seconds"] = json!(self.elapsed.as_secs_f64());
        report["per_second"] = json!(self.per_second(self.done.items));
        report["requests_per_second"] = json!(self.per_second(self.done.requests));
        for (name, percentile) in PERCENTILES {
            report[format!("{name}_ns")] = json!(self.done.latencies.value_at_percentile(percentile));
        }
        report["max_ns"] = json!(self.done.latencies.max());
        report["errors"] = json!(self.done.errors);
        format!("{report}\n")
    }

    #[allow(clippy::cast_precision_loss, reason = "a count of requests is far below 2⁵³")]
    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

#[allow(clippy::cast_precision_loss, reason = "a latency is far below 2⁵³ ns")]
fn microseconds(nanoseconds: u64) -> String {
    format!("{:.1} µs", nanoseconds as f64 / 1e3)
}
