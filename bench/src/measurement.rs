//! What one measurement gives.

use hdrhistogram::Histogram;

/// Throughput, and latencies in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measurement {
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) max_us: f64,
}

impl Measurement {
    /// Of so many items in so many seconds, with these latencies in nanoseconds.
    #[allow(clippy::cast_precision_loss, reason = "far below 2⁵³")]
    pub(crate) fn new(items: u64, seconds: f64, latencies_ns: &Histogram<u64>) -> Self {
        let microseconds = |nanoseconds: u64| nanoseconds as f64 / 1e3;
        Self {
            per_second: items as f64 / seconds,
            p50_us: microseconds(latencies_ns.value_at_quantile(0.5)),
            p99_us: microseconds(latencies_ns.value_at_quantile(0.99)),
            max_us: microseconds(latencies_ns.max()),
        }
    }

    /// Each figure's median.
    pub(crate) fn median(all: &[Self]) -> Self {
        let median = |figure: fn(&Self) -> f64| {
            let mut figures: Vec<f64> = all.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures.get(figures.len() / 2).copied().unwrap_or_default()
        };
        Self {
            per_second: median(|one| one.per_second),
            p50_us: median(|one| one.p50_us),
            p99_us: median(|one| one.p99_us),
            max_us: median(|one| one.max_us),
        }
    }
}
