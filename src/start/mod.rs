//! Starts a daemon in the background, for programs that need one to be there.

mod program;
mod target;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::{
    hash::{BuildHasher as _, RandomState},
    path::PathBuf,
    time::{Duration, Instant},
};

use skylinedb_local::{Endpoint, Scope};

#[cfg(unix)]
use unix as imp;
#[cfg(windows)]
use windows as imp;

use crate::{client::Client, error::Error, reason};
pub use program::DAEMON_VARIABLE;
use program::Program;
use target::Target;

/// How long a daemon may take until it answers. It takes some milliseconds, more if it has to recover a large write-ahead
/// log, or if one that ends has to finish its work first.
const START_TIME: Duration = Duration::from_secs(30);

/// A daemon that was started here ends when it has not been used for this long, unless `--idle-timeout` is set on its command line, in the
/// environment or in its configuration file.
const IDLE_TIMEOUT: &str = "15m";

/// The first pause between two attempts to connect, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// How a daemon is to be started.
#[derive(Clone, Debug, Default)]
pub struct StartOptions {
    database: Option<PathBuf>,
    endpoint: Option<Endpoint>,
    scope: Option<Scope>,
    lock_file: Option<PathBuf>,
    log_file: Option<PathBuf>,
    program: Option<PathBuf>,
    arguments: Vec<String>,
}

/// A daemon that answers.
#[derive(Debug)]
pub struct Started {
    /// A client of it.
    pub client: Client,
    /// Where it writes its log; `None` if it was not started here.
    pub log_file: Option<PathBuf>,
    /// Whether it was there before.
    pub already_running: bool,
}

impl StartOptions {
    /// The daemon's own defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The database file; without it `data.db` in the working directory.
    #[must_use]
    pub fn database(mut self, path: impl Into<PathBuf>) -> Self {
        self.database = Some(path.into());
        self
    }

    /// Where it listens; without it at `SKYLINEDB_ENDPOINT` or, if that is not set, where its scope says.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<Endpoint>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Who shares the daemon; without it whoever fits the user. An endpoint that is given comes first.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// Its single-instance lock; without it beside the socket.
    #[must_use]
    pub fn lock_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.lock_file = Some(path.into());
        self
    }

    /// Where it writes its log; without it `skylinedb/daemon.log` in `$XDG_STATE_HOME` or `$HOME/.local/state`, or beside
    /// an endpoint that is given; on Windows in `%LOCALAPPDATA%\SkylineDB`, `daemon.log` or the pipe's name.
    #[must_use]
    pub fn log_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.log_file = Some(path.into());
        self
    }

    /// The daemon's program. Without it: `SKYLINEDB_DAEMON`, else `skylinedb-daemon` beside the running program, else
    /// `skylinedb-daemon` on the `PATH`.
    #[must_use]
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program = Some(path.into());
        self
    }

    /// A further argument of the daemon.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }
}

/// Starts the daemon in the background, unless one serves already, and returns when it serves. It lives on when this
/// program ends. When several programs do this at once, one daemon runs and all get it.
///
/// # Errors
/// [`Error::Start`] if the program cannot be run, if it ends (with the end of its log), if a daemon runs that has another
/// database, or if none serves within 30 s.
pub async fn start_daemon(options: StartOptions) -> Result<Started, Error> {
    let target = Target::of(&options)?;
    let begin = Instant::now();
    let mut program: Option<Program> = None;
    let mut pause = FIRST_PAUSE;
    loop {
        // Asked before the attempt: one that fails after the end of the program fails for good.
        let ended = program.as_mut().map(Program::ended).transpose()?.flatten();
        let reason = match target.attempt().await {
            Ok(client) => match target.check(&client).await {
                Ok(()) => {
                    let log_file = program.filter(|_| ended.is_none()).map(Program::leave);
                    return Ok(Started { client, already_running: log_file.is_none(), log_file });
                }
                // It has begun to end since it said that it serves.
                Err(Error::Database(error)) if error.reason == reason::SHUTTING_DOWN => error.message,
                Err(error) => return Err(error),
            },
            Err(reason) => reason,
        };
        match (&program, ended) {
            (None, _) => program = Some(Program::spawn(&options, &target)?),
            (Some(_), None) => {}
            // Another daemon has the lock: it is about to serve, or about to end. Or this one was idle before we came.
            (Some(ended), Some(status)) if status.success() || ended.has_lost_the_race() => program = None,
            (Some(ended), Some(status)) => {
                return Err(Error::Start(format!(
                    "the daemon ended at once ({status}). The end of its log:\n{}",
                    ended.log_end()
                )));
            }
        }
        if begin.elapsed() > START_TIME {
            let log = program.as_ref().map(|program| format!("\nThe end of its log:\n{}", program.log_end()));
            return Err(Error::Start(format!(
                "no daemon serves at {} within {START_TIME:?}: {reason}{}",
                target.endpoint(),
                log.unwrap_or_default()
            )));
        }
        tokio::time::sleep(pause.mul_f64(jitter())).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Between 0.5 and 1.5: those who wait for the same daemon should not all ask at the same instants.
fn jitter() -> f64 {
    let random = RandomState::new().hash_one(());
    0.5 + f64::from(u32::try_from(random >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}
