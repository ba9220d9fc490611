//! Where each option's value comes from: the command line, before the environment (`SKYLINEDB_` and the option's name), before
//! a file in TOML, before the default. Which options there are, and what they may be, is known to `args` alone.

mod file;
mod print;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, anyhow};
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory as _, FromArgMatches as _, ValueHint};

use crate::args::{Arguments, STANDARD_ERROR};
use file::{Entry, File};
#[cfg(unix)]
use unix as imp;
#[cfg(windows)]
use windows as imp;

#[cfg(windows)]
pub(crate) use imp::{check_machine_folder, machine_file, machine_folder};

/// Options that belong to one start, and to no file or environment.
const OF_ONE_START: [&str; 9] = [
    "config",
    "print_config",
    "generate_documents",
    "own_session",
    DEFAULT_IDLE_TIMEOUT,
    "help",
    "version",
    SERVICE_NAME,
    SERVICE_ACCOUNT,
];

/// What the program that starts the daemon makes `idle_timeout`, if it is set nowhere.
const DEFAULT_IDLE_TIMEOUT: &str = "default_idle_timeout";

/// What a Windows service is called, and as whom it runs: options of its installation.
pub(crate) const SERVICE_NAME: &str = "service_name";
pub(crate) const SERVICE_ACCOUNT: &str = "service_account";

/// A command line, and where options come from that it does not have.
pub(crate) struct CommandLine {
    /// What may be written.
    pub(crate) command: Command,
    /// What is written, with the program's name.
    pub(crate) arguments: Vec<OsString>,
    /// Whether the environment of this process counts.
    pub(crate) with_environment: bool,
    /// The configuration file, if the command line names none.
    pub(crate) default_file: Option<PathBuf>,
}

/// What the command line has asked for.
pub(crate) enum Asked {
    /// To run, with these options.
    Run(Box<Arguments>),
    /// Nothing that is not done already.
    Done(ExitCode),
}

impl CommandLine {
    /// That of this process.
    pub(crate) fn of_this_process() -> Self {
        Self {
            command: Arguments::command(),
            arguments: env::args_os().collect(),
            with_environment: true,
            default_file: imp::default_file(),
        }
    }

    /// Reads everything that says how the daemon is to run. Touches nothing.
    pub(crate) fn read(&self) -> anyhow::Result<Asked> {
        Ok(match self.matches()? {
            Some(matches) => Asked::Run(Box::new(arguments(&matches)?)),
            None => Asked::Done(ExitCode::SUCCESS),
        })
    }

    /// The same, before it is made into `Arguments`. `None` if what was asked for is done already.
    pub(crate) fn matches(&self) -> anyhow::Result<Option<ArgMatches>> {
        let plain = &self.command;
        if self.with_environment {
            check_environment(plain)?;
        }
        let command = self.command();
        // Once without the file, to know which file; --help and mistakes on the command line end it here.
        let matches = command.clone().try_get_matches_from(&self.arguments)?;
        if let Some(folder) = matches.get_one::<PathBuf>("generate_documents") {
            skylinedb_documents::write(plain.clone(), folder)
                .with_context(|| format!("cannot write into {}", folder.display()))?;
            return Ok(None);
        }
        let file = match matches.get_one::<PathBuf>("config") {
            Some(path) => Some(File::read(path, plain)?),
            None => match self.default_file.as_deref().filter(|path| path.exists()) {
                Some(path) => {
                    imp::check_default_file(path)?;
                    Some(File::read(path, plain)?)
                }
                None => None,
            },
        };
        let command = match matches.get_one::<String>(DEFAULT_IDLE_TIMEOUT) {
            Some(limit) => command.mut_arg("idle_timeout", |arg| arg.default_value(limit.clone())),
            None => command,
        };
        let command = command.mut_args(|arg| match file.as_ref().and_then(|file| file.entry(arg.get_id().as_str())) {
            Some(entry) => arg.default_values(entry.values.clone()),
            None => arg,
        });
        let matches = command.clone().try_get_matches_from(&self.arguments)?;
        if matches.get_flag("print_config") {
            print::print(&command, &matches, file.as_ref())?;
            return Ok(None);
        }
        Ok(Some(matches))
    }

    /// The log's file as far as it can be told when reading has failed.
    pub(crate) fn log_file(&self) -> Option<PathBuf> {
        let matches = self.command().ignore_errors(true).try_get_matches_from(&self.arguments).ok()?;
        let path = matches.get_one::<PathBuf>("log_file")?.clone();
        Some(path).filter(|path| path.as_path() != STANDARD_ERROR)
    }

    fn command(&self) -> Command {
        let command = self.command.clone();
        if self.with_environment { command.mut_args(with_environment) } else { command }
    }
}

/// The options that these are.
pub(crate) fn arguments(matches: &ArgMatches) -> anyhow::Result<Arguments> {
    Arguments::from_arg_matches(matches).map_err(|error| anyhow!("{error}"))
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

/// Whether its values are paths of files or folders.
pub(crate) fn is_path(arg: &Arg) -> bool {
    arg.get_value_hint() == ValueHint::AnyPath
}

/// Whether the file has said it: then its value has become the default.
fn entry_of<'f>(file: Option<&'f File>, arg: &Arg) -> Option<(&'f Path, &'f Entry)> {
    let file = file?;
    Some((file.path.as_path(), file.entry(arg.get_id().as_str())?))
}
