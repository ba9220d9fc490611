//! `service install`.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Write as _},
    path::{self, Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::{Arg, ArgMatches, Command, builder::NonEmptyStringValueParser, parser::ValueSource};
use windows_service::{
    service::{
        Service, ServiceAccess, ServiceAction, ServiceActionType, ServiceErrorControl, ServiceFailureActions,
        ServiceFailureResetPeriod, ServiceInfo, ServiceStartType, ServiceType,
    },
    service_manager::{ServiceManager, ServiceManagerAccess},
};

use super::{
    DEFAULT_NAME, access, check_name, command_line, control, default_log,
    explain::{already_installed, explain, reason},
    name_option, own_folder,
};
use crate::{
    args::Arguments,
    config::{self, CommandLine, SERVICE_ACCOUNT, SERVICE_NAME},
};

/// How long after a failure the service is started again; after the third and all further ones as after the third.
const RESTARTS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(10), Duration::from_mins(1)];

/// After how long without a failure they are counted anew.
const FAILURES_COUNT_FOR: Duration = Duration::from_hours(24);

/// The account that needs no right, as it has all.
const LOCAL_SYSTEM: &str = "LocalSystem";

const AFTER_HELP: &str = r"The options are the daemon's own. They are checked now and count from the next
start of the service; the environment of this console does not. The service starts
with Windows, is started again when it fails, and finishes the work in hand when it
is stopped. Its account may then write in the database's folder.

Only administrators may use the daemon then: let others in with --allow-user.

Examples, in a console of an administrator:
  skylinedb-daemon service install C:\data\app.db --allow-user BUILTIN\Users
  skylinedb-daemon service install --name Orders D:\orders.db --scope database";

/// Installs the service, which is not started.
pub(super) fn install(arguments: Vec<OsString>) -> anyhow::Result<()> {
    let name = name(&arguments);
    let command_line = command_line(&name, arguments)?;
    let command_line = CommandLine { command: with_own_options(command_line.command, &name), ..command_line };
    let Some(matches) = command_line.matches()? else { return Ok(()) };
    let options = config::arguments(&matches)?;
    check_name(&name)?;
    let account = matches.get_one::<String>(SERVICE_ACCOUNT).map_or(LOCAL_SYSTEM, String::as_str);

    let rights = ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE;
    let manager =
        ServiceManager::local_computer(None::<&str>, rights).map_err(|error| explain(error, "install", &name))?;
    if manager.open_service(&name, ServiceAccess::QUERY_STATUS).is_ok() {
        return Err(anyhow::anyhow!(already_installed(&name)).context(format!("cannot install the service {name}")));
    }
    let files = Files::make(&name, &options)?;
    let needs_permission = !account.eq_ignore_ascii_case(LOCAL_SYSTEM);
    if needs_permission {
        files.check_place(account)?;
    }
    let mut daemon = recorded(&command_line.command, &matches)?;
    daemon.push(files.database.clone().into());
    if files.log == default_log(&name)? || is_given(&matches, "log_file") {
        // Said, as PROGRAMDATA may be another one for a service.
        daemon.extend(["--log-file".into(), files.log.clone().into()]);
    }
    let info = info(&name, account, daemon, &files.program);
    let rights = ServiceAccess::CHANGE_CONFIG | ServiceAccess::START | ServiceAccess::DELETE;
    let service = manager.create_service(&info, rights).map_err(|error| explain(error, "install", &name))?;
    if needs_permission && let Err(error) = files.allow(account) {
        let _ = service.delete(); // the first error counts
        return Err(error);
    }
    describe(&service, &files.database, options.drain_timeout);
    writeln!(
        io::stdout(),
        "✓ The service {name} is installed\n  Database:   {}\n  Log:        {}\n  Account:    {account}\nIt starts with \
         Windows. To start it now: net start \"{name}\"",
        files.database.display(),
        files.log.display(),
    )
    .context("cannot say so")
}

/// What it is to be called: its files have the name, and they are defaults of other options.
fn name(arguments: &[OsString]) -> String {
    let mut arguments = arguments.iter();
    let given = arguments.by_ref().find_map(|argument| match argument.to_str()? {
        "--name" => Some(None),
        argument => argument.strip_prefix("--name=").map(|name| Some(name.to_owned())),
    });
    match given {
        Some(Some(name)) => name,
        Some(None) => arguments.next().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        None => DEFAULT_NAME.to_owned(),
    }
}

fn with_own_options(command: Command, name: &str) -> Command {
    let account = Arg::new(SERVICE_ACCOUNT)
        .long("account")
        .value_name("ACCOUNT")
        .value_parser(NonEmptyStringValueParser::new())
        .default_value(format!(r"NT SERVICE\{name}"))
        .help(
            "As whom the service runs, such as 'NT AUTHORITY\\LocalService' or LocalSystem. The default is an account of its \
             own without a password, which may do nothing but use the service's files",
        );
    command
        .name("install")
        .bin_name("skylinedb-daemon service install")
        .about("Installs a Windows service that serves an SQLite database to every program of this machine")
        .after_help(AFTER_HELP)
        .next_help_heading("Service")
        .arg(name_option(SERVICE_NAME))
        .arg(account)
}

/// What the service uses.
struct Files {
    program: PathBuf,
    /// Absolute, in a folder that is there.
    database: PathBuf,
    log: PathBuf,
}

impl Files {
    /// Checks the options that need more than a look at their text, and makes the folders.
    fn make(name: &str, options: &Arguments) -> anyhow::Result<Self> {
        let Some(log) = options.log_file() else {
            bail!("a service has no standard error: --log-file must be a file's path");
        };
        options.access.socket_file()?;
        if let Some(folder) = own_folder(name)?.parent() {
            access::make_machine_folder(folder)?;
        }
        let database = options.engine()?.path;
        options.places()?;
        let log = path::absolute(log).with_context(|| format!("there is no file {}", log.display()))?;
        let made = crate::logging::open(&log).map(drop::<File>);
        made.with_context(|| format!("cannot open the log {} (--log-file)", log.display()))?;
        Ok(Self { program: env::current_exe().context("cannot tell where this program is")?, database, log })
    }

    /// Looks whether an account can be let write where the database is.
    fn check_place(&self, account: &str) -> anyhow::Result<()> {
        if self.folder().parent().is_none() {
            bail!(
                "{} lies in no folder, and {account} must not write everywhere on that disk; put the database into a folder",
                self.database.display()
            );
        }
        Ok(())
    }

    /// Lets the account use them.
    fn allow(&self, account: &str) -> anyhow::Result<()> {
        access::let_run(&self.program, account)?;
        access::let_write(&self.log, account)?;
        access::let_write_in(self.folder(), account)
    }

    fn folder(&self) -> &Path {
        self.database.parent().unwrap_or(&self.database)
    }
}

/// Whether the command line has it.
fn is_given(matches: &ArgMatches, id: &str) -> bool {
    matches.value_source(id) == Some(ValueSource::CommandLine)
}

/// The options as the command line has them, without the database and the log, with absolute paths: the service starts in another folder.
fn recorded(command: &Command, matches: &ArgMatches) -> anyhow::Result<Vec<OsString>> {
    let own = [SERVICE_NAME, SERVICE_ACCOUNT, "database", "log_file"];
    let given = command.get_arguments().filter(|arg| {
        let id = arg.get_id().as_str();
        !own.contains(&id) && is_given(matches, id)
    });
    let mut recorded = Vec::new();
    for arg in given {
        let Some(long) = arg.get_long() else { continue };
        for value in matches.get_raw(arg.get_id().as_str()).into_iter().flatten() {
            let mut option = OsString::from(format!("--{long}="));
            option.push(if config::is_path(arg) { absolute(value)? } else { value.to_owned() });
            recorded.push(option);
        }
    }
    Ok(recorded)
}

fn absolute(path: &OsStr) -> anyhow::Result<OsString> {
    path::absolute(path).map(PathBuf::into_os_string).with_context(|| format!("there is no {}", path.display()))
}

fn info(name: &str, account: &str, daemon: Vec<OsString>, program: &Path) -> ServiceInfo {
    let display = if name == DEFAULT_NAME { name.to_owned() } else { format!("SkylineDB ({name})") };
    ServiceInfo {
        name: name.into(),
        display_name: display.into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path: program.to_owned(),
        launch_arguments: ["service".into(), "run".into(), name.into()].into_iter().chain(daemon).collect(),
        dependencies: Vec::new(),
        account_name: Some(account.into()),
        account_password: None,
    }
}

/// Sets what the service can do without: one setting that this Windows does not know is said, and is no reason not to install.
fn describe(service: &Service, database: &Path, drain: Duration) {
    let description = format!("Owns the SQLite database {} and serves it to this machine.", database.display());
    let actions = ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(FAILURES_COUNT_FOR),
        reboot_msg: None,
        command: None,
        actions: Some(RESTARTS.map(|delay| ServiceAction { action_type: ServiceActionType::Restart, delay }).into()),
    };
    for (what, outcome) in [
        ("it has no description", service.set_description(description)),
        ("it is not started again when it fails", service.update_failure_actions(actions)),
        ("it is not started again when it ends with an error", service.set_failure_actions_on_non_crash_failures(true)),
        ("when Windows ends, it may not be waited for", service.set_preshutdown_timeout(control::stop_wait(drain))),
    ] {
        if let Err(error) = outcome {
            let _ = writeln!(io::stderr(), "Note: {what}: {}", reason(error));
        }
    }
}
