//! Starts a daemon in the background, for programs that need one to be there.

use std::{
    env, fs,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    client::Client,
    endpoint::{Endpoint, Scope},
    error::Error,
};

/// The environment variable that names the daemon's program.
pub const DAEMON_VARIABLE: &str = "SKYLINEDB_DAEMON";

/// How long a daemon may take until it answers. It takes some milliseconds, more if it has to recover a large write-ahead
/// log.
const START_TIME: Duration = Duration::from_secs(30);

/// The first pause between two attempts to connect, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How long one attempt may take. Whoever listens there and does not answer is asked again.
const ATTEMPT_TIME: Duration = Duration::from_secs(2);

/// How much of a failed daemon's log goes into the error.
const LOG_END_BYTES: u64 = 4 << 10;

/// How a daemon is to be started.
#[derive(Clone, Debug, Default)]
pub struct StartOptions {
    database: Option<PathBuf>,
    endpoint: Option<Endpoint>,
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

    /// Where it listens; without it in the scope that fits the user.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<Endpoint>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Its single-instance lock; without it beside the socket.
    #[must_use]
    pub fn lock_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.lock_file = Some(path.into());
        self
    }

    /// Where it writes its log; without it `skylinedb/daemon.log` in `$XDG_STATE_HOME` or `$HOME/.local/state`, or beside
    /// an endpoint that is given.
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

/// Starts the daemon in the background, unless one answers already, and returns when it answers. It lives on when this
/// program ends. When several programs do this at once, one daemon runs and all get it.
///
/// # Errors
/// [`Error::Start`] if the program cannot be run, if it ends (with the end of its log), or does not answer within 30 s.
pub async fn start_daemon(options: StartOptions) -> Result<Started, Error> {
    let endpoint = match &options.endpoint {
        Some(endpoint) => endpoint.clone(),
        None => default_endpoint()?,
    };
    if let Ok(client) = Client::connect(endpoint.clone()).await {
        return Ok(Started { client, log_file: None, already_running: true });
    }
    let log_file = match &options.log_file {
        Some(path) => path.clone(),
        None => default_log_file(&options)?,
    };
    let (mut child, log_start) = spawn(&options, &endpoint, &log_file)?;
    let begin = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        // Asked before the attempt: one that fails after the end of the child fails for good.
        let ended = child.try_wait().map_err(|error| Error::Start(format!("cannot watch the daemon: {error}")))?;
        if let Ok(client) = Client::connect(endpoint.clone()).await
            && client.clone().with_timeout(ATTEMPT_TIME).ping().await.is_ok()
        {
            reap(child);
            let log_file = ended.is_none().then_some(log_file);
            return Ok(Started { client, already_running: log_file.is_none(), log_file });
        }
        // Another program's daemon may have won the lock; then that one is about to answer.
        let log = log_end(&log_file, log_start);
        if let Some(status) = ended
            && !log.contains("already running")
        {
            return Err(Error::Start(format!("the daemon ended at once ({status}). The end of its log:\n{log}")));
        }
        if begin.elapsed() > START_TIME {
            let pid = child.id();
            reap(child);
            return Err(Error::Start(format!(
                "the daemon (PID {pid}) does not answer at {endpoint} within {START_TIME:?}. The end of its log, {}:\n{log}",
                log_file.display()
            )));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn spawn(options: &StartOptions, endpoint: &Endpoint, log_file: &Path) -> Result<(Child, u64), Error> {
    if let Some(folder) = log_file.parent() {
        fs::create_dir_all(folder)
            .map_err(|error| Error::Start(format!("cannot make the log's folder {}: {error}", folder.display())))?;
    }
    let log = File::options().append(true).create(true).open(log_file);
    let log = log.map_err(|error| Error::Start(format!("cannot open the log {}: {error}", log_file.display())))?;
    let log_start = log.metadata().map_or(0, |log| log.len());

    let program = options.program.clone().unwrap_or_else(find_program);
    let mut command = Command::new(&program);
    // The lock lies beside the socket, for the daemon as for everybody.
    command.args(&options.database).arg("--endpoint").arg(endpoint.path());
    if let Some(lock_file) = &options.lock_file {
        command.arg("--lock-file").arg(lock_file);
    }
    // It leaves this program's session and terminal itself: std cannot do that between fork and exec without `unsafe`.
    command.arg("--own-session").args(&options.arguments);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().map_err(|error| {
        Error::Start(format!(
            "cannot run {}: {error}. Install skylinedb-daemon beside this program or on the PATH, or name it in \
             {DAEMON_VARIABLE}",
            program.display()
        ))
    })?;
    Ok((child, log_start))
}

/// Waits for the daemon's end in the background, however long this program lives, so that it does not stay as a zombie.
fn reap(mut child: Child) {
    std::thread::spawn(move || child.wait());
}

fn default_endpoint() -> Result<Endpoint, Error> {
    if let Some(path) = env::var_os(crate::endpoint::ENDPOINT_VARIABLE).filter(|path| !path.is_empty()) {
        return Ok(Endpoint::new(path));
    }
    Scope::of_this_user().file("sock").map(Endpoint::new).ok_or_else(|| {
        Error::Start("neither XDG_RUNTIME_DIR nor HOME is set: say where the daemon is to listen".to_owned())
    })
}

fn default_log_file(options: &StartOptions) -> Result<PathBuf, Error> {
    if let Some(endpoint) = &options.endpoint {
        return Ok(endpoint.path().with_extension("log"));
    }
    let folder = |variable| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("skylinedb/daemon.log")).ok_or_else(|| {
        Error::Start("neither XDG_STATE_HOME nor HOME is set: say where the daemon is to write its log".to_owned())
    })
}

fn find_program() -> PathBuf {
    const NAME: &str = "skylinedb-daemon";
    if let Some(program) = env::var_os(DAEMON_VARIABLE).filter(|program| !program.is_empty()) {
        return program.into();
    }
    let beside = env::current_exe().ok().map(|own| own.with_file_name(NAME)).filter(|program| program.is_file());
    beside.unwrap_or_else(|| NAME.into())
}

/// What has been written to the log since it was opened here, or the end of that.
fn log_end(log_file: &Path, start: u64) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut log = File::open(log_file)?;
        let length = log.metadata()?.len();
        log.seek(SeekFrom::Start(start.max(length.saturating_sub(LOG_END_BYTES))))?;
        let mut end = Vec::new();
        log.read_to_end(&mut end)?;
        Ok(end)
    };
    read().map_or_else(|error| format!("(cannot be read: {error})"), |end| String::from_utf8_lossy(&end).into_owned())
}
