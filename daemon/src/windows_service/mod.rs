//! `skylinedb-daemon service …`: the daemon as a Windows service. A database that is called `service` is named `./service`.

mod access;
pub(crate) mod control;
mod explain;
mod install;
mod run;
mod uninstall;

use std::{
    env,
    ffi::{OsStr, OsString},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::{Arg, Command, CommandFactory as _, builder::NonEmptyStringValueParser};

use crate::{
    args::Arguments,
    config::{CommandLine, machine_file, machine_folder},
    logging,
};

/// What a service is called if nobody says so.
const DEFAULT_NAME: &str = "SkylineDB";

/// How long a name may be, by the service control manager's rules.
const MAX_NAME_CHARS: usize = 256;

const AFTER_HELP: &str = r"Examples, in a console of an administrator:
  skylinedb-daemon service install C:\data\app.db
  net start SkylineDB
  skylinedb-daemon service uninstall";

/// Does what a command line says that begins with `service`; `None` for all others.
pub(crate) fn main() -> Option<ExitCode> {
    let arguments: Vec<OsString> = env::args_os().collect();
    if arguments.get(1).is_none_or(|argument| argument != "service") {
        return None;
    }
    let outcome = match arguments.get(2).and_then(|argument| argument.to_str()) {
        Some("install") => install::install(arguments.into_iter().skip(2).collect()),
        Some("run") => run::run(),
        _ => others(&arguments[1..]),
    };
    Some(match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => logging::report(&error, None).into(),
    })
}

fn others(arguments: &[OsString]) -> anyhow::Result<()> {
    let command = Command::new("service")
        .bin_name("skylinedb-daemon service")
        .about("Runs the daemon as a Windows service")
        .after_help(AFTER_HELP)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(Command::new("install").about("Install a service, with the daemon's own options and its DATABASE"))
        .subcommand(
            Command::new("uninstall")
                .about("Stop a service and remove it; its database and its log stay")
                .arg(name_option("name")),
        );
    let matches = command.try_get_matches_from(arguments)?;
    match matches.subcommand() {
        Some(("uninstall", matches)) => {
            uninstall::uninstall(matches.get_one::<String>("name").map_or("", String::as_str))
        }
        _ => Ok(()), // the others have been looked at
    }
}

fn name_option(id: &'static str) -> Arg {
    Arg::new(id)
        .long("name")
        .value_name("NAME")
        .help("What the service is called")
        .default_value(DEFAULT_NAME)
        .value_parser(NonEmptyStringValueParser::new())
}

/// The name is also that of files.
fn check_name(name: &str) -> anyhow::Result<()> {
    let allowed = |character: char| character.is_alphanumeric() || " -_.".contains(character);
    if !name.chars().all(allowed) || name.ends_with(['.', ' ']) || name.starts_with(' ') {
        bail!("a service cannot be called {name:?}: use letters, digits, blanks, and - _ . (--name)");
    }
    if name.chars().count() > MAX_NAME_CHARS {
        bail!("a service's name has no more than {MAX_NAME_CHARS} characters (--name)");
    }
    Ok(())
}

/// The folder that a service has for itself.
fn own_folder(name: &str) -> anyhow::Result<PathBuf> {
    Ok(machine_folder().context("PROGRAMDATA is not set: which folder is for a service's files?")?.join(name))
}

/// Where a service writes its log if nobody says so.
fn default_log(name: &str) -> anyhow::Result<PathBuf> {
    Ok(own_folder(name)?.with_file_name(format!("{name}.log")))
}

/// A service's command line: the daemon's own, with some other defaults. Only the machine's files count, as a service's user has
/// none.
fn command_line(name: &str, arguments: Vec<OsString>) -> anyhow::Result<CommandLine> {
    let folder = own_folder(name)?;
    let (database, log_file) = (folder.join("data.db").into_os_string(), default_log(name)?.into_os_string());
    let command = Arguments::command()
        .mut_arg("database", |arg| arg.default_value(OsStr::to_os_string(&database)))
        .mut_arg("log_file", |arg| {
            arg.default_value(OsStr::to_os_string(&log_file)).help("The file at whose end the log is written")
        });
    Ok(CommandLine { command, arguments, with_environment: false, default_file: machine_file() })
}
