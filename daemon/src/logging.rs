//! The log: one line an event on standard error, with UTC times (RFC 3339).

use std::{
    fmt,
    io::{self, IsTerminal as _, Write as _},
    time::SystemTime,
};

use tracing_subscriber::{
    EnvFilter,
    fmt::{format::Writer, time::FormatTime},
};

use crate::args::LogFormat;

/// Starts logging. `RUST_LOG` chooses what is logged; without it that is `info` and above.
pub(crate) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_timer(UtcMilliseconds);
    match format {
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().init(),
    }
}

/// Prints why the daemon ends. Not a log line: it is for whoever has started it, and its shape is part of the contract.
pub(crate) fn report(error: &anyhow::Error) {
    let mut text = format!("Error: {error}\n");
    let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
    if !causes.is_empty() {
        text.push_str("\nCaused by:\n");
    }
    for line in causes.iter().flat_map(|cause| cause.lines()) {
        text.push_str(if line.is_empty() { "" } else { "    " });
        text.push_str(line);
        text.push('\n');
    }
    // If even standard error is closed, the exit code has to do.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// `2025-11-07T04:00:00.000Z`
struct UtcMilliseconds;

impl FormatTime for UtcMilliseconds {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", humantime::format_rfc3339_millis(SystemTime::now()))
    }
}
