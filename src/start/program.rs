//! The daemon's program in the background, and what it has to say before it serves.

use std::{
    env,
    ffi::OsString,
    fs,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::ExitStatus,
};

use skylinedb_local::Endpoint;

use super::{
    IDLE_TIMEOUT, StartOptions, Target,
    imp::{self, Child},
};
use crate::error::Error;

/// The environment variable that names the daemon's program.
pub const DAEMON_VARIABLE: &str = "SKYLINEDB_DAEMON";

/// How much of a failed daemon's log goes into the error.
const LOG_END_BYTES: u64 = 4 << 10;

/// A daemon that was started here.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    log_file: PathBuf,
    /// Where in the log its part begins.
    log_start: u64,
}

impl Program {
    /// Starts it, with nothing of this program but its log.
    pub(super) fn spawn(options: &StartOptions, target: &Target) -> Result<Self, Error> {
        let log_file = options.log_file.clone().map_or_else(|| default_log_file(options), Ok)?;
        if let Some(folder) = log_file.parent() {
            fs::create_dir_all(folder)
                .map_err(|error| Error::Start(format!("cannot make the log's folder {}: {error}", folder.display())))?;
        }
        let log = File::options().append(true).create(true).open(&log_file);
        let log = log.map_err(|error| Error::Start(format!("cannot open the log {}: {error}", log_file.display())))?;
        let log_start = log.metadata().map_or(0, |log| log.len());

        let program = options.program.clone().unwrap_or_else(find);
        let mut arguments: Vec<OsString> = vec!["--default-idle-timeout".into(), IDLE_TIMEOUT.into()];
        arguments.extend_from_slice(target.arguments());
        if let Some(lock_file) = &options.lock_file {
            arguments.extend(["--lock-file".into(), lock_file.into()]);
        }
        arguments.extend(options.arguments.iter().map(Into::into));
        // A database may be called --x.
        arguments.extend(options.database.iter().flat_map(|database| ["--".into(), database.into()]));
        let child = Child::spawn(&program, arguments, log, &log_file).map_err(|error| {
            Error::Start(format!(
                "cannot run {}: {error}. Install skylinedb-daemon beside this program or on the PATH, or name it in \
                 {DAEMON_VARIABLE}",
                program.display()
            ))
        })?;
        Ok(Self { child, log_file, log_start })
    }

    /// How it has ended, if it has.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.child.ended().map_err(|error| Error::Start(format!("cannot watch the daemon: {error}")))
    }

    /// Whether it has ended because another daemon has the lock.
    pub(super) fn has_lost_the_race(&self) -> bool {
        self.log_end().contains("already running")
    }

    /// Leaves it to itself. Returns where its log is.
    pub(super) fn leave(self) -> PathBuf {
        self.log_file
    }

    /// What it has written to its log, or the end of that.
    pub(super) fn log_end(&self) -> String {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut log = File::open(&self.log_file)?;
            let length = log.metadata()?.len();
            log.seek(SeekFrom::Start(self.log_start.max(length.saturating_sub(LOG_END_BYTES))))?;
            let mut end = Vec::new();
            log.read_to_end(&mut end)?;
            Ok(end)
        };
        read().map_or_else(
            |error| format!("({} cannot be read: {error})", self.log_file.display()),
            |end| String::from_utf8_lossy(&end).into_owned(),
        )
    }
}

fn default_log_file(options: &StartOptions) -> Result<PathBuf, Error> {
    let log = imp::log_file(options.endpoint.as_ref().map(Endpoint::path));
    log.ok_or_else(|| Error::Start(format!("{}: say where the daemon is to write its log", imp::HOME_VARIABLES)))
}

fn find() -> PathBuf {
    let name = format!("skylinedb-daemon{}", env::consts::EXE_SUFFIX);
    if let Some(program) = env::var_os(DAEMON_VARIABLE).filter(|program| !program.is_empty()) {
        return program.into();
    }
    let beside = env::current_exe().ok().map(|own| own.with_file_name(&name));
    beside.filter(|program: &PathBuf| Path::is_file(program)).unwrap_or_else(|| name.into())
}
