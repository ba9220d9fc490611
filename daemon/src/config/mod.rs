//! Where each option's value comes from: the command line, before the environment (`SKYLINEDB_` and the option's name), before
//! a file in TOML, before the default. Which options there are, and what they may be, is known to `args` alone.

mod file;
mod print;

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, anyhow};
use clap::{Arg, ArgAction, Command, CommandFactory as _, FromArgMatches as _, ValueHint};
use skylinedb::scope::Scope;

use crate::args::{Arguments, STANDARD_ERROR};
use file::{Entry, File};

/// Options that belong to one start, and to no file or environment.
const OF_ONE_START: [&str; 6] = ["config", "print_config", "generate_documents", "own_session", "help", "version"];

/// What the command line has asked for.
pub(crate) enum Asked {
    /// To run, with these options.
    Run(Box<Arguments>),
    /// Nothing that is not done already.
    Done(ExitCode),
}

/// Reads everything that says how the daemon is to run. Touches nothing.
pub(crate) fn read() -> anyhow::Result<Asked> {
    let plain = Arguments::command();
    check_environment(&plain)?;
    let command = plain.clone().mut_args(with_environment);
    // Once without the file, to know which file; --help and mistakes on the command line end it here.
    let matches = command.clone().try_get_matches()?;
    if let Some(folder) = matches.get_one::<PathBuf>("generate_documents") {
        skylinedb_documents::write(plain, folder).with_context(|| format!("cannot write into {}", folder.display()))?;
        return Ok(Asked::Done(ExitCode::SUCCESS));
    }
    let file = match matches.get_one::<PathBuf>("config") {
        Some(path) => Some(File::read(path, &plain)?),
        None => default_path().filter(|path| path.exists()).map(|path| File::read(&path, &plain)).transpose()?,
    };
    let command = command.mut_args(|arg| match file.as_ref().and_then(|file| file.entry(arg.get_id().as_str())) {
        Some(entry) => arg.default_values(entry.values.clone()),
        None => arg,
    });
    let matches = command.clone().try_get_matches()?;
    if matches.get_flag("print_config") {
        print::print(&command, &matches, file.as_ref())?;
        return Ok(Asked::Done(ExitCode::SUCCESS));
    }
    let arguments = Arguments::from_arg_matches(&matches).map_err(|error| anyhow!("{error}"))?;
    Ok(Asked::Run(Box::new(arguments)))
}

/// The log's file as far as it can be told when `read` has failed.
pub(crate) fn log_file() -> Option<PathBuf> {
    let command = Arguments::command().mut_args(with_environment).ignore_errors(true);
    let path = command.try_get_matches().ok()?.get_one::<PathBuf>("log_file")?.clone();
    Some(path).filter(|path| path.as_path() != STANDARD_ERROR)
}

/// Where the file is if nobody says so.
fn default_path() -> Option<PathBuf> {
    if Scope::of_this_user() == Scope::Machine {
        return Some(PathBuf::from("/etc/skylinedb/skylinedb.toml"));
    }
    let folder = |variable| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")));
    folder.map(|folder| folder.join("skylinedb/skylinedb.toml"))
}

/// The option may also come from the environment. An empty variable is none.
fn with_environment(arg: Arg) -> Arg {
    match variable(&arg) {
        Some((name, _)) => arg.env(name).hide_env(true),
        None => arg,
    }
}

/// The option's environment variable, if it is set.
fn variable(arg: &Arg) -> Option<(String, OsString)> {
    let id = arg.get_id().as_str();
    if id != "config" && OF_ONE_START.contains(&id) {
        return None;
    }
    let name = format!("SKYLINEDB_{}", id.to_uppercase());
    env::var_os(&name).filter(|value| !value.is_empty()).map(|value| (name, value))
}

/// clap does not say that a value comes from the environment, so each is tried here before.
fn check_environment(command: &Command) -> anyhow::Result<()> {
    for arg in command.get_arguments() {
        if let Some((name, value)) = variable(arg) {
            check(command, arg, value).with_context(|| format!("the environment variable {name} is wrong"))?;
        }
    }
    Ok(())
}

/// Whether an option may have this value.
fn check(command: &Command, arg: &Arg, value: OsString) -> anyhow::Result<()> {
    let Some(long) = arg.get_long() else { return Ok(()) };
    let mut option = OsString::from(format!("--{long}="));
    option.push(value);
    let outcome = command.clone().try_get_matches_from([OsString::from(command.get_name()), option]);
    outcome.map(drop).map_err(|error| {
        let text = error.to_string();
        let reason = text.strip_prefix("error: ").unwrap_or(&text);
        anyhow!("{}", reason.split("\n\nFor more information").next().unwrap_or(reason).trim())
    })
}

/// Options that may be in a file, and their keys there.
fn keys(command: &Command) -> impl Iterator<Item = (String, &Arg)> {
    let options = command.get_arguments().filter(|arg| !OF_ONE_START.contains(&arg.get_id().as_str()));
    options.map(|arg| (arg.get_id().as_str().replace('_', "-"), arg))
}

fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

fn is_path(arg: &Arg) -> bool {
    arg.get_value_hint() == ValueHint::AnyPath
}

/// Whether the file has said it: then its value has become the default.
fn entry_of<'f>(file: Option<&'f File>, arg: &Arg) -> Option<(&'f Path, &'f Entry)> {
    let file = file?;
    Some((file.path.as_path(), file.entry(arg.get_id().as_str())?))
}
