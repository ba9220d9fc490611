//! `single-instance-protection.md` on Windows under the names that it gives there: one test a heading. What does not depend on
//! the names is in `single_instance.rs`, and what was still to come, daemons of a database, in `scopes.rs`.
//!
//! These daemons have the names of the machine's real one. So the machine has to be one of the test's own, as Wine's is.
#![cfg(windows)]

mod support;

use std::{
    os::windows::process::CommandExt as _,
    path::Path,
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

use support::{
    Folder, Output, Running, StopOnDrop, command, endpoint_exists, is_free, program, refusal, run, wait_until,
};

const MUTEX: &str = r"Global\SkylineDBd-v1-SingleInstance";
const PIPE: &str = r"\\.\pipe\SkylineDBd-v1";
const CREATE_NO_WINDOW: u32 = 0x0800_0000;

/// A machine without a daemon, for one test at a time.
struct Machine {
    folder: Folder,
    stop: StopOnDrop,
    _turn: MutexGuard<'static, ()>,
}

impl Machine {
    fn new() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        assert!(std::env::var_os("WINELOADER").is_some(), "this would use the names of the machine's own daemon");
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Self { folder: Folder::new(), stop: StopOnDrop(PIPE.into()), _turn: turn }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = command(program(name));
        command.current_dir(self.folder.path());
        command
    }

    fn cli(&self, arguments: &[&str]) -> Output {
        run(self.command("skylinedb-cli").args(arguments), b"")
    }

    /// As an application starts it: `Popen(['skylinedb-daemon.exe', ...], creationflags=CREATE_NO_WINDOW)`.
    fn popen(&self) -> Running {
        support::start(self.command("skylinedb-daemon").arg("data.db").creation_flags(CREATE_NO_WINDOW))
    }

    fn is_daemon_running(&self) -> bool {
        self.cli(&["ping"]).code == Some(0)
    }

    /// Starts a daemon and waits until it answers.
    fn start(&self) -> Running {
        let daemon = self.popen();
        wait_until("the daemon to answer", || self.is_daemon_running());
        assert_eq!(self.stop.pid(), Some(daemon.pid()));
        daemon
    }
}

#[test]
fn windows_implementation() {
    let machine = Machine::new();
    assert!(is_free(Path::new(MUTEX)));
    let mut daemon = machine.start();
    assert!(!is_free(Path::new(MUTEX)), "the daemon holds it");
    daemon.kill();
    assert!(is_free(Path::new(MUTEX)), "the system has released it");
    assert!(!endpoint_exists(Path::new(PIPE)), "and removed the pipe");
}

#[test]
fn trying_to_start_second_instance() {
    let machine = Machine::new();
    let first = machine.start();
    let second = run(machine.command("skylinedb-daemon").arg("other.db"), b"").failure(1);
    let (log, error) = second.stderr.split_once('\n').expect("a log line and an error");
    assert!(log.ends_with("  INFO skylinedb_daemon: Starting SQLite daemon"), "{second:#?}");
    let expected = refusal(Path::new(MUTEX), first.pid());
    assert_eq!(error, expected);
    assert!(!machine.folder.path().join("other.db").exists(), "the second touches nothing");
    assert_eq!(machine.stop.pid(), Some(first.pid()), "the first is not ended");
    machine.cli(&["execute", "CREATE TABLE still_served(x)"]).success();
}

#[test]
fn after_first_instance_exits() {
    let machine = Machine::new();
    let mut first = machine.start();
    assert_eq!(machine.cli(&["shutdown"]).success().stdout, "✓ Daemon shutdown requested\n");
    assert!(first.wait().success());
    let _next = machine.start();
}

#[test]
fn pattern_1_check_before_starting() {
    let machine = Machine::new();
    assert!(!machine.is_daemon_running());
    let first = machine.start();
    assert!(machine.is_daemon_running());
    assert_eq!(machine.stop.pid(), Some(first.pid()));
}

#[test]
fn pattern_2_try_start_with_error_handling() {
    let machine = Machine::new();
    let first = machine.start();
    let result = run(machine.command("skylinedb-daemon").arg("data.db").creation_flags(CREATE_NO_WINDOW), b"");
    assert!(result.code == Some(1) && result.stderr.contains("already running"), "{result:#?}");
    assert_eq!(machine.stop.pid(), Some(first.pid()), "it uses the existing instance");
}

#[test]
fn pattern_3_simple_startup_let_it_fail() {
    let machine = Machine::new();
    let first = machine.start();
    let mut again = machine.popen();
    assert_eq!(again.wait().code(), Some(1));
    assert_eq!(machine.stop.pid(), Some(first.pid()));
}

#[test]
fn case_2_force_kill() {
    let machine = Machine::new();
    let mut first = machine.start();
    machine.cli(&["execute", "CREATE TABLE kept(x)"]).success();
    first.kill();
    let _next = machine.start();
    machine.cli(&["execute", "INSERT INTO kept VALUES (1)"]).success();
}

#[test]
fn per_user_daemons() {
    let machine = Machine::new();
    let daemon = machine.start();
    machine.cli(&["execute", "CREATE TABLE of_the_machine(x)"]).success();
    let started = machine.cli(&["start", "users.db", "--scope", "user"]).success();
    let pipe = started.stdout.lines().find_map(|line| line.trim().strip_prefix("Endpoint:")).expect("a pipe").trim();
    let users = StopOnDrop(pipe.into());
    assert!(pipe.starts_with(r"\\.\pipe\SkylineDBd-v1-user-"), "{pipe}");
    assert!(users.pid().is_some() && users.pid() != Some(daemon.pid()), "beside the machine's");
    assert!(!is_free(Path::new(r"Local\SkylineDBd-v1-SingleInstance")));

    let again = run(machine.command("skylinedb-daemon").args(["users.db", "--scope", "user"]), b"").failure(1);
    assert!(again.stderr.contains(r"Mutex: Local\SkylineDBd-v1-SingleInstance"), "{again:#?}");
    // What the user has comes before what the machine has.
    machine.cli(&["query", "SELECT * FROM of_the_machine"]).failure(1);
    machine.cli(&["--scope", "machine", "query", "SELECT * FROM of_the_machine"]).success();
}
