//! `skylinedb-cli`: the command line of SkylineDB.
//!
//! `args` says what may be written, `commands` has a file a command, `output` a file a format. What `execute` runs comes
//! through `source` (where from), `script` (which statements) and `dump` (their own BEGIN and COMMIT).

mod args;
mod commands;
mod dump;
mod excerpt;
mod failure;
mod output;
mod params;
mod script;
mod source;

use std::process::ExitCode;

use clap::Parser;
use failure::Failure;

fn main() -> ExitCode {
    match run(args::Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(arguments: args::Arguments) -> Result<(), Failure> {
    let mut runtime = match &arguments.command {
        args::Command::Bench(bench) if bench.threads.get() > 1 => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    if let args::Command::Bench(bench) = &arguments.command {
        runtime.worker_threads(bench.threads.get());
    }
    let runtime = runtime.enable_all().build().map_err(|error| Failure::refused(format!("cannot start: {error}")))?;
    runtime.block_on(commands::run(arguments))
}
