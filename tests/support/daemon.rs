//! A real daemon in a folder of its own.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
};

use skylinedb::Client;
use tempfile::TempDir;

use super::{
    PATIENCE,
    platform::{self, Signal},
    process::{Output, command, program, run},
    wait_for,
};

/// The line that says that a daemon can be talked to.
const READY: &str = "IPC server listening";

/// A folder with a daemon's files, and its endpoint; it outlives the daemon, so that another one can be started there. Removed with its
/// last clone.
#[derive(Clone)]
pub(crate) struct Folder(Arc<TempDir>);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(Arc::new(tempfile::tempdir().expect("a temporary folder")))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The daemon's socket, or its pipe.
    pub(crate) fn endpoint(&self) -> PathBuf {
        platform::endpoint_in(self.path())
    }

    /// The lock's file, or its mutex.
    pub(crate) fn lock(&self) -> PathBuf {
        platform::lock_of(&self.endpoint())
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path().join("data.db")
    }

    pub(crate) fn wal(&self) -> PathBuf {
        self.path().join("data.db-wal")
    }

    /// The command that starts a daemon here, with these further arguments.
    pub(crate) fn daemon_command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut daemon = command(program("skylinedb-daemon"));
        daemon.current_dir(self.path()).arg(self.database());
        daemon.arg("--endpoint").arg(self.endpoint()).arg("--lock-file").arg(self.lock());
        daemon.args(arguments);
        daemon
    }

    /// Runs the CLI against the daemon of this folder, should there be one.
    #[track_caller]
    pub(crate) fn cli<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        self.cli_with_input(arguments, b"")
    }

    /// Runs the CLI with this on its standard input.
    #[track_caller]
    pub(crate) fn cli_with_input<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        stdin: impl AsRef<[u8]>,
    ) -> Output {
        run(self.cli_command().args(arguments), stdin.as_ref())
    }

    /// The CLI, told where the daemon of this folder is.
    pub(crate) fn cli_command(&self) -> Command {
        let mut cli = command(program("skylinedb-cli"));
        cli.current_dir(self.path()).arg("--endpoint").arg(self.endpoint());
        cli
    }

    /// Opens the database file itself, as any program may that only reads.
    pub(crate) fn open_file(&self) -> rusqlite::Connection {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        rusqlite::Connection::open_with_flags(self.database(), flags).expect("open the database file")
    }
}

/// How a daemon is to be started.
pub(crate) struct Builder {
    folder: Folder,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
}

impl Builder {
    /// A further argument.
    pub(crate) fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// A further variable of its environment.
    pub(crate) fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Starts it and waits until it serves.
    #[track_caller]
    pub(crate) fn start(self) -> Daemon {
        let daemon = self.spawn();
        daemon.wait_for_log(READY);
        daemon
    }

    /// Starts it and waits for nothing.
    pub(crate) fn spawn(self) -> Daemon {
        let mut command = self.folder.daemon_command(self.arguments);
        command.envs(self.environment);
        Daemon::spawn(self.folder, command)
    }
}

/// A running daemon. Killed when it is dropped; a test whose daemon has panicked fails.
pub(crate) struct Daemon {
    folder: Folder,
    child: Child,
    log: Arc<Log>,
}

/// What a daemon has written to standard error.
#[derive(Default)]
struct Log {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Default)]
struct LogState {
    text: String,
    closed: bool,
}

impl Daemon {
    /// A daemon in a new folder.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// A daemon in a new folder, to be told more.
    pub(crate) fn builder() -> Builder {
        Self::builder_in(&Folder::new())
    }

    /// A daemon in the folder of another, which should have ended.
    pub(crate) fn builder_in(folder: &Folder) -> Builder {
        Builder { folder: folder.clone(), arguments: Vec::new(), environment: Vec::new() }
    }

    fn spawn(folder: Folder, mut command: Command) -> Self {
        let child = platform::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()));
        let mut child = child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let log = Arc::new(Log::default());
        let stderr = child.stderr.take().expect("standard error is a pipe");
        thread::spawn({
            let log = Arc::clone(&log);
            move || log.fill(BufReader::new(stderr))
        });
        Self { folder, child, log }
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A client of the library.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.folder.endpoint()).await.expect("connect to the daemon")
    }

    /// Runs the CLI against this daemon.
    #[track_caller]
    pub(crate) fn cli<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        self.folder.cli(arguments)
    }

    /// Runs the CLI with this on its standard input.
    #[track_caller]
    pub(crate) fn cli_with_input<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        stdin: impl AsRef<[u8]>,
    ) -> Output {
        self.folder.cli_with_input(arguments, stdin)
    }

    /// Runs SQL by the CLI, which must succeed.
    #[track_caller]
    pub(crate) fn execute(&self, sql: &str) {
        self.cli(["execute", sql]).success();
    }

    /// The only value of a query's only row, by the CLI's JSON.
    #[track_caller]
    pub(crate) fn value(&self, sql: &str) -> serde_json::Value {
        let rows = self.cli(["query", "--format", "json", sql]).success().json();
        let row = rows.as_array().and_then(|rows| rows.first()).and_then(serde_json::Value::as_object);
        row.and_then(|row| row.values().next()).unwrap_or_else(|| panic!("no value in {rows}")).clone()
    }

    /// What it has written to standard error so far; all of it once it has ended.
    pub(crate) fn log(&self) -> String {
        self.log.state.lock().expect("log").text.clone()
    }

    /// Waits until the log has this text.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) {
        let state = self.log.state.lock().expect("log");
        let (state, timeout) = self
            .log
            .changed
            .wait_timeout_while(state, PATIENCE, |state| !state.text.contains(text) && !state.closed)
            .expect("log");
        let found = state.text.contains(text);
        let log = state.text.clone();
        drop(state);
        let why = if timeout.timed_out() { "in time" } else { "before it ended" };
        assert!(found, "the daemon did not say {text:?} {why}. It said:\n{log}");
    }

    /// SIGKILL, or Windows' TerminateProcess, and waits for the end.
    pub(crate) fn kill9(&mut self) {
        self.child.kill().expect("kill a child");
        self.wait();
    }

    /// SIGTERM, or Ctrl-C.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        platform::send_signal(self.pid(), &self.folder.endpoint(), signal);
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("look at a child").is_none()
    }

    /// Waits for its end, and for the end of its log.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = wait_for("the daemon's end", || self.child.try_wait().expect("look at a child"));
        let state = self.log.state.lock().expect("log");
        drop(self.log.changed.wait_timeout_while(state, PATIENCE, |state| !state.closed).expect("log"));
        status
    }

    /// SIGTERM or Ctrl-C, and waits for a clean end.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        self.terminate();
        let status = self.wait();
        assert!(status.success(), "{status}, and it said:\n{}", self.log());
    }

    /// The most memory that it has had in RAM so far.
    pub(crate) fn peak_rss_bytes(&self) -> usize {
        platform::peak_rss_bytes(self.pid())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        let log = self.log();
        if thread::panicking() {
            eprintln!("--- the daemon's log:\n{log}---");
        } else {
            assert!(!log.contains("panicked at"), "the daemon panicked:\n{log}");
        }
    }
}

impl Log {
    fn fill(&self, mut reader: impl BufRead) {
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            self.state.lock().expect("log").text.push_str(&String::from_utf8_lossy(&line));
            self.changed.notify_all();
            line.clear();
        }
        self.state.lock().expect("log").closed = true;
        self.changed.notify_all();
    }
}
