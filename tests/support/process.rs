//! Programs: where they are, running them, and what they said.

use std::{
    env,
    ffi::OsStr,
    io::Write,
    path::PathBuf,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use super::platform::{self, EMPTY_FILE};

/// How long a program may run before it is killed and the test fails.
const PROGRAM_PATIENCE: Duration = Duration::from_mins(5);

/// Where a built program of this workspace is: beside the test program, or in `SKYLINEDB_TEST_BIN_DIR`.
pub(crate) fn program(name: &str) -> PathBuf {
    let folder = env::var_os("SKYLINEDB_TEST_BIN_DIR").map_or_else(
        || {
            let test = env::current_exe().expect("the test program's path");
            test.ancestors().nth(2).expect("target/<profile>/deps/<test>").to_owned()
        },
        PathBuf::from,
    );
    let path = folder.join(name).with_extension(env::consts::EXE_EXTENSION);
    assert!(
        path.is_file(),
        "{} is not there: build it with `cargo build --workspace`, or run everything with `./scripts/test`",
        path.display()
    );
    path
}

/// A command without this shell's own settings of SkylineDB.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (variable, _) in env::vars_os() {
        if variable.to_string_lossy().starts_with("SKYLINEDB_") || variable == "RUST_LOG" {
            command.env_remove(variable);
        }
    }
    command.env("SKYLINEDB_CONFIG", EMPTY_FILE); // not the machine's own
    command
}

/// What a program that has ended said.
#[derive(Debug)]
pub(crate) struct Output {
    /// The exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// The same output, after a look that the program succeeded.
    #[track_caller]
    pub(crate) fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// The same output, after a look that the program failed with this exit code.
    #[track_caller]
    pub(crate) fn failure(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self:#?}"))
    }
}

/// A program that runs, killed when it is dropped.
pub(crate) struct Running {
    child: Child,
}

/// Starts a program whose standard output is read by the test, and whose standard error is the test's own.
pub(crate) fn start(command: &mut Command) -> Running {
    let child = platform::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()));
    Running { child: child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}")) }
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it prints.
    pub(crate) fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("standard output is taken once")
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("kill a child");
        self.wait();
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("wait for a child")
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: platform::Signal) {
        platform::send_signal(self.pid(), std::path::Path::new(""), signal);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Runs a program to its end, with this on its standard input.
#[track_caller]
pub(crate) fn run(command: &mut Command, stdin: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = platform::spawn(command).unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let pid = child.id();
    let mut pipe = child.stdin.take().expect("standard input is a pipe");
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        // A program need not read its input: then writing fails, and that is its own affair.
        scope.spawn(move || pipe.write_all(stdin).ok());
        scope.spawn(move || sender.send(child.wait_with_output()));
        let Ok(output) = receiver.recv_timeout(PROGRAM_PATIENCE) else {
            platform::kill(pid);
            panic!("{command:?} did not end within {PROGRAM_PATIENCE:?}");
        };
        let output = output.expect("wait for a child");
        Output {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
        }
    })
}
