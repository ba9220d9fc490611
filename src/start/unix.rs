//! A program in the background, on Unix.

use std::{
    ffi::OsString,
    fs::File,
    io,
    path::{self, Path, PathBuf},
    process::{self, Command, ExitStatus, Stdio},
};

use skylinedb_local::{ENDPOINT_VARIABLE, state_folder};

/// What is to be set when neither the scope's place nor the log's is known.
pub(super) const HOME_VARIABLES: &str = "neither XDG_STATE_HOME nor HOME is set";

/// How a service manager and the program that it has started speak with each other. That is this program's affair: its manager is
/// not the daemon's.
const OF_SERVICE_MANAGER: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

/// A daemon that was started here.
#[derive(Debug)]
pub(super) struct Child {
    /// `None` once it has been left to itself.
    process: Option<process::Child>,
}

impl Child {
    /// Starts it. Its standard error is its log, too, so that the log also has what is said before the daemon itself can say
    /// anything, by the dynamic linker for example.
    pub(super) fn spawn(program: &Path, arguments: Vec<OsString>, log: File, log_file: &Path) -> io::Result<Self> {
        let mut command = Command::new(program);
        for variable in OF_SERVICE_MANAGER.into_iter().chain([ENDPOINT_VARIABLE]) {
            command.env_remove(variable);
        }
        // It leaves this program's session, terminal and files itself: std cannot do that between fork and exec without
        // `unsafe`.
        command.args(["--own-session", "--log-file"]).arg(path::absolute(log_file)?).args(arguments);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        Ok(Self { process: Some(process) })
    }

    /// How it has ended, if it has.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.as_mut().map_or(Ok(None), process::Child::try_wait)
    }
}

impl Drop for Child {
    /// Waits for the daemon's end in the background, however long this program lives, so that it does not stay as a zombie.
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            std::thread::spawn(move || process.wait());
        }
    }
}

/// Where the log is: beside a socket that was given, else in the user's folder.
pub(super) fn log_file(endpoint: Option<&Path>) -> Option<PathBuf> {
    match endpoint {
        Some(endpoint) => Some(endpoint.with_extension("log")),
        None => state_folder().map(|folder| folder.join("daemon.log")),
    }
}
