//! The log: one line an event on standard error, or at the end of a file, with UTC times (RFC 3339). To write it is the business of a
//! thread of its own (`queue`), so that a log that cannot be written holds nothing up.

mod queue;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fmt,
    fs::{self, File},
    io::{self, IsTerminal as _, Write as _},
    panic::{self, PanicHookInfo},
    path::Path,
    sync::{Arc, OnceLock, mpsc},
    thread,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use tracing_subscriber::{
    EnvFilter,
    fmt::{format::Writer, time::FormatTime},
};

use crate::args::LogFormat;
use queue::{LogFile, Queue};

/// How long the end of the daemon waits for a log that is slow, and for standard error.
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// The log of this process, once it is started.
static LOG: OnceLock<Arc<Queue>> = OnceLock::new();

/// Starts logging, to a file if there is one. `RUST_LOG` chooses what is logged; without it that is `info` and above.
pub(crate) fn start(format: LogFormat, file: Option<&Path>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let (queue, is_terminal) = match file {
        Some(path) => {
            let file = LogFile::open(path);
            let file = file.with_context(|| format!("cannot open the log {} (--log-file)", path.display()))?;
            (Queue::start(file), false)
        }
        None => (Queue::start(io::stderr()), io::stderr().is_terminal()),
    };
    let queue = queue.context("cannot start the log's thread")?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Arc::clone(&queue));
    // Errors of its own it would write to standard error by `eprintln!`, which panics if that is closed.
    let builder = builder.with_timer(UtcMilliseconds).log_internal_errors(false);
    match format {
        LogFormat::Text => builder.with_ansi(is_terminal).init(),
        LogFormat::Json => builder.json().init(),
    }
    let _ = LOG.set(queue);
    // The standard hook writes to standard error, and so waits for as long as that is not read.
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Opens the log's file anew: logrotate may have moved it away.
#[cfg(unix)]
pub(crate) fn reopen() {
    if let Some(queue) = LOG.get() {
        queue.reopen();
    }
}

/// Waits until the log is written, but not for long.
pub(crate) fn flush() {
    if let Some(queue) = LOG.get() {
        queue.flush(FLUSH_TIME);
    }
}

/// Reports why the daemon ends, on standard error and in the log's file, if there is one. It is not a log line: it is for the program
/// that has started the daemon, and its shape is part of the contract. Returns the exit code.
pub(crate) fn report(error: &anyhow::Error, file: Option<&Path>) -> u8 {
    flush();
    // If standard output or error is closed, the exit code has to do.
    let (text, code) = if let Some(error) = error.downcast_ref::<clap::Error>() {
        let _ = error.print();
        (if error.use_stderr() { error.to_string() } else { String::new() }, error.exit_code())
    } else {
        let text = explain(error);
        write_to_standard_error(text.clone());
        (text, 1)
    };
    if let Some(file) = file.filter(|file| !text.is_empty() && !is_standard_error(file)) {
        let _ = open(file).and_then(|mut file| file.write_all(text.as_bytes()));
    }
    u8::try_from(code).unwrap_or(1)
}

/// Writes to standard error. Does not wait for long if it is a pipe that is full.
fn write_to_standard_error(text: String) {
    let (written, is_written) = mpsc::channel();
    let writer = thread::Builder::new().spawn(move || {
        let _ = io::stderr().write_all(text.as_bytes());
        let _ = written.send(());
    });
    if writer.is_ok() {
        let _ = is_written.recv_timeout(FLUSH_TIME);
    }
}

/// Whether standard error is this file, as `skylinedb-cli start` has it.
#[cfg(unix)]
fn is_standard_error(file: &Path) -> bool {
    use std::os::{fd::AsFd as _, unix::fs::MetadataExt as _};

    let identity = |file: fs::Metadata| (file.dev(), file.ino());
    let standard_error = io::stderr().as_fd().try_clone_to_owned().map(File::from);
    let standard_error = standard_error.and_then(|file| file.metadata()).map(identity);
    standard_error.is_ok_and(|own| fs::metadata(file).is_ok_and(|file| identity(file) == own))
}

/// Whether standard error is this file. On Windows a daemon in the background has none.
#[cfg(windows)]
const fn is_standard_error(_: &Path) -> bool {
    false
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("without a name");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(thread, "{panic}\n{backtrace}");
    } else {
        tracing::error!(thread, "{panic}");
    }
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
