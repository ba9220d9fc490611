//! The log: one line an event on standard error, or at the end of a file, with UTC times (RFC 3339).

use std::{
    fmt,
    fs::{self, File},
    io::{self, IsTerminal as _, Write as _},
    panic,
    path::Path,
    sync::Arc,
    time::SystemTime,
};

use anyhow::Context as _;
use tracing_subscriber::{
    EnvFilter,
    fmt::{format::Writer, time::FormatTime, writer::BoxMakeWriter},
};

use crate::args::LogFormat;

/// Starts logging, to a file if there is one. `RUST_LOG` chooses what is logged; without it that is `info` and above.
pub(crate) fn start(format: LogFormat, file: Option<&Path>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let (writer, is_terminal) = match file {
        Some(path) => {
            let file = open(path).with_context(|| format!("cannot open the log {} (--log-file)", path.display()))?;
            (BoxMakeWriter::new(Arc::new(file)), false)
        }
        None => (BoxMakeWriter::new(io::stderr), io::stderr().is_terminal()),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_timer(UtcMilliseconds);
    match format {
        LogFormat::Text => builder.with_ansi(is_terminal).init(),
        LogFormat::Json => builder.json().init(),
    }
    if file.is_some() {
        let to_standard_error = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            to_standard_error(panic);
            tracing::error!("{panic}");
        }));
    }
    Ok(())
}

/// Says why the daemon ends, on standard error and in the log's file, if there is one. It is not a log line: it is for whoever
/// has started the daemon, and its shape is part of the contract. Returns the exit code.
pub(crate) fn report(error: &anyhow::Error, file: Option<&Path>) -> u8 {
    // If standard output or error is closed, the exit code has to do.
    let (text, code) = if let Some(error) = error.downcast_ref::<clap::Error>() {
        let _ = error.print();
        (if error.use_stderr() { error.to_string() } else { String::new() }, error.exit_code())
    } else {
        let text = explain(error);
        let _ = io::stderr().write_all(text.as_bytes());
        (text, 1)
    };
    if let Some(file) = file.filter(|_| !text.is_empty()) {
        let _ = open(file).and_then(|mut file| file.write_all(text.as_bytes()));
    }
    u8::try_from(code).unwrap_or(1)
}

fn explain(error: &anyhow::Error) -> String {
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
    text
}

/// Opens it for writing at its end. It and its folders are made if they are not there.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    File::options().append(true).create(true).open(path)
}

/// `2025-11-07T04:00:00.000Z`
struct UtcMilliseconds;

impl FormatTime for UtcMilliseconds {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", humantime::format_rfc3339_millis(SystemTime::now()))
    }
}
