//! Endpoints, locks and processes of Windows, as Wine has them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command},
};

use winsafe::{HPROCESS, co};

use crate::support::process::{command, program, run};

/// A file that is always there and empty.
pub(crate) const EMPTY_FILE: &str = "NUL";

/// What a console sends to its programs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    /// Ctrl-C.
    Interrupt,
}

impl Signal {
    /// What ends a daemon, under Unix' name.
    pub(crate) const TERM: Self = Self::Interrupt;
    /// Ctrl-C, under Unix' name.
    pub(crate) const INT: Self = Self::Interrupt;
}

/// What ends a daemon cleanly, by name.
pub(crate) const SIGNALS: [(&str, Signal); 1] = [("Ctrl-C", Signal::Interrupt)];

/// Where the daemon of a folder listens. Pipes lie in no folder; a temporary folder's name is unique.
pub(crate) fn endpoint_in(folder: &Path) -> PathBuf {
    let name = folder.file_name().expect("a folder's name").to_string_lossy();
    format!(r"\\.\pipe\skylinedb-test-{name}").into()
}

/// The single-instance lock that belongs to an endpoint.
pub(crate) fn lock_of(endpoint: &Path) -> PathBuf {
    skylinedb_local::Places::at(endpoint).lock_file
}

/// Whether a daemon has left something of its endpoint.
pub(crate) fn endpoint_exists(endpoint: &Path) -> bool {
    const NOT_FOUND: Option<i32> = Some(2);
    let opened = fs::OpenOptions::new().read(true).write(true).open(endpoint);
    !opened.is_err_and(|error| error.raw_os_error() == NOT_FOUND)
}

/// Whether nobody has the lock.
pub(crate) fn is_free(lock: &Path) -> bool {
    single_instance::SingleInstance::new(lock.to_str().expect("UTF-8")).expect("a mutex").is_single()
}

/// The process that listens at an endpoint.
pub(crate) fn holder(endpoint: &Path) -> Option<u32> {
    let mut cli = command(program("skylinedb-cli"));
    let output = run(cli.arg("--endpoint").arg(endpoint).args(["ping", "--format", "json"]), b"");
    (output.code == Some(0)).then(|| output.json()["pid"].as_u64()?.try_into().ok()).flatten()
}

/// Starts a program. On a busy machine Wine now and then cannot begin one (`ERROR_INTERNAL_ERROR`); nothing of it has run then.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    const INTERNAL_ERROR: Option<i32> = Some(1359);
    const TRIES: usize = 10;
    let mut outcome = command.spawn();
    for _ in 1..TRIES {
        match outcome {
            Err(error) if error.raw_os_error() == INTERNAL_ERROR => outcome = command.spawn(),
            outcome => return outcome,
        }
    }
    outcome
}

/// Whether a process runs.
pub(crate) fn is_running(pid: u32) -> bool {
    let process = HPROCESS::OpenProcess(co::PROCESS::SYNCHRONIZE, false, pid);
    process.is_ok_and(|process| process.WaitForSingleObject(Some(0)) == Ok(co::WAIT::TIMEOUT))
}

/// Ends a process at once, as the Task Manager does.
pub(crate) fn kill(pid: u32) {
    let process = HPROCESS::OpenProcess(co::PROCESS::TERMINATE, false, pid).expect("a process");
    process.TerminateProcess(1).expect("its end");
}

/// Asks the daemon at an endpoint to end. It may have no console.
pub(crate) fn end(_pid: u32, endpoint: &Path) {
    let mut cli = command(program("skylinedb-cli"));
    run(cli.arg("--endpoint").arg(endpoint).args(["shutdown", "--no-wait"]), b"");
}

/// Presses Ctrl-C for the daemon at an endpoint. Wine makes that of SIGINT, which only a program of the system below can
/// send: Wine's own `GenerateConsoleCtrlEvent` fails. That system has other process ids, so the daemon is found by its
/// arguments.
pub(crate) fn send_signal(_pid: u32, endpoint: &Path, signal: Signal) {
    let Signal::Interrupt = signal;
    let name = endpoint.file_name().expect("a pipe's name").to_string_lossy();
    // In brackets, so that this command's own arguments are no match.
    let script = format!("pkill -INT -f '[s]kylinedb-daemon.*{name}'");
    let status = Command::new("start.exe").args(["/unix", "/bin/sh", "-c", &script]).status();
    assert!(status.expect("Wine's start.exe").success());
}

/// The most memory that a process has had in RAM so far.
pub(crate) fn peak_rss_bytes(pid: u32) -> usize {
    let access = co::PROCESS::QUERY_INFORMATION | co::PROCESS::VM_READ;
    let process = HPROCESS::OpenProcess(access, false, pid).expect("the process is there");
    process.GetProcessMemoryInfo().expect("what it has").PeakWorkingSetSize
}
