//! `service run NAME …`: what the service control manager starts. What follows the name is the daemon's own command line.

use std::{env, ffi::OsString};

use anyhow::{anyhow, bail};
use windows_service::{define_windows_service, service_dispatcher};

use super::{command_line, control, explain};
use crate::{
    args::Arguments,
    config::{Asked, CommandLine},
    logging,
};

/// How many arguments come before the daemon's own: the program, `service`, `run`, the name.
const ARGUMENTS_OF_THE_SERVICE: usize = 4;

define_windows_service!(service_main, serve);

/// Hands this process over to the service control manager, and returns when the service has ended.
pub(super) fn run() -> anyhow::Result<()> {
    let Some(name) = env::args_os().nth(ARGUMENTS_OF_THE_SERVICE - 1) else {
        bail!("`service run` is for the service control manager; install a service: skylinedb-daemon service install");
    };
    service_dispatcher::start(&name, service_main).map_err(|error| match explain::code(&error) {
        Some(explain::NOT_OF_THE_MANAGER) => anyhow!(
            "`service run` is for the service control manager; start the service with it: net start \"{}\"",
            name.display()
        ),
        _ => explain::explain(error, "run", &name.to_string_lossy()),
    })
}

/// The service, on a thread of the service control manager's.
fn serve(_: Vec<OsString>) {
    let mut arguments = env::args_os();
    let program = arguments.next().unwrap_or_default();
    let name = arguments.nth(ARGUMENTS_OF_THE_SERVICE - 2).unwrap_or_default().to_string_lossy().into_owned();
    if control::register(&name).is_err() {
        return; // there is nobody to tell it to
    }
    let arguments = [program].into_iter().chain(arguments).collect();
    control::stopped(match command_line(&name, arguments) {
        Ok(command_line) => serve_as(&CommandLine { with_environment: true, ..command_line }),
        Err(error) => logging::report(&error, None),
    });
}

/// Serves, and returns the exit code.
fn serve_as(command_line: &CommandLine) -> u8 {
    match command_line.read() {
        Ok(Asked::Run(arguments)) => serve_with(&arguments),
        Ok(Asked::Done(_)) => 0,
        Err(error) => logging::report(&error, command_line.log_file().as_deref()),
    }
}

fn serve_with(arguments: &Arguments) -> u8 {
    control::set_drain_timeout(arguments.drain_timeout);
    match crate::run(arguments) {
        Ok(()) => 0,
        Err(error) => logging::report(&error, arguments.log_file()),
    }
}
