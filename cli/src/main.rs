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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::refused(format!("cannot start: {error}")))?;
    runtime.block_on(commands::run(arguments))
}
