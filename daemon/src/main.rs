//! `skylinedb-daemon`: owns a database and serves it to the programs of this machine.
//!
//! A request's way: `transport` (accepts, knows who it is) → `service` (translates) → `engine` (the only place that knows
//! SQLite). `lifecycle` is what ends it all.

mod args;
mod config;
mod lifecycle;
mod logging;
#[cfg(unix)]
mod own_session;
mod server;
mod service;
#[cfg(unix)]
mod service_manager;
mod surroundings;
mod transport;
#[cfg(windows)]
mod windows_service;

use std::process::ExitCode;

use anyhow::Context as _;
use skylinedb_local::single_instance::SingleInstance;

use args::Arguments;
use config::{Asked, CommandLine};
use lifecycle::Lifecycle;
use surroundings::Surroundings;

/// The system's allocator maps, protects and unmaps large blocks one by one. While clients take and free tens of megabytes, the
/// threads that answer pings would wait for the process's memory map (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    #[cfg(windows)]
    if let Some(code) = windows_service::main() {
        return code;
    }
    // It touches nothing, so that --help works while a daemon runs.
    let command_line = CommandLine::of_this_process();
    let arguments = match command_line.read() {
        Ok(Asked::Run(arguments)) => arguments,
        Ok(Asked::Done(code)) => return code,
        Err(error) => return logging::report(&error, command_line.log_file().as_deref()).into(),
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => logging::report(&error, arguments.log_file()).into(),
    }
}

/// Runs the daemon until it is told to end.
fn run(arguments: &Arguments) -> anyhow::Result<()> {
    #[cfg(unix)]
    if arguments.own_session {
        own_session::begin();
    }
    let surroundings = Surroundings::of_this_process();
    let lifecycle = Lifecycle::new(arguments.times());
    lifecycle::supervise(&lifecycle).context("cannot listen for signals")?; // before the log, which a limit of its size may end
    logging::start(arguments.log_format, arguments.log_file())?;
    tracing::info!("Starting SQLite daemon");
    let places = arguments.places()?;
    let _lock = SingleInstance::acquire(&places).context("Failed to acquire single-instance lock")?; // freed last
    tracing::info!(target: "skylinedb_daemon::single_instance", "Acquired single-instance lock");
    let outcome = server::run(arguments, &places, surroundings, &lifecycle);
    logging::flush(); // before the next daemon writes to the same file
    outcome
}
