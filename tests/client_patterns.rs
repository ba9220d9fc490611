//! How an application has the daemon be there: the three patterns of the document on single-instance protection, in Python as
//! they stand there (`tests/python/client_patterns.py`).
#![cfg(unix)]

mod support;

use support::{Daemon, Folder, StopOnDrop, program, python, run};

/// Runs the pattern. Returns the process id of the daemon that the application then talks to.
fn run_pattern(folder: &Folder, pattern: &str) -> (u32, String) {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/client_patterns.py");
    let mut python = python();
    python.arg(script).arg(pattern).env("DAEMON", program("skylinedb-daemon")).env("DATABASE", folder.database());
    python.env("SKYLINEDB_ENDPOINT", folder.endpoint()).env("SKYLINEDB_LOCK_FILE", folder.lock());
    // A daemon that stays must not keep the test's pipe open: it would be waited for.
    let output = folder.path().join("output");
    let file = std::fs::File::create(&output).expect("a file");
    let status = python.stdout(file).status().expect("run Python");
    let output = std::fs::read_to_string(output).expect("its output");
    assert!(status.success(), "{pattern}: {output}");
    let pid = output.lines().find_map(|line| line.strip_prefix("pid ")?.parse().ok());
    (pid.unwrap_or_else(|| panic!("no pid: {output}")), output)
}

#[test]
fn pattern_1_check_before_starting() {
    let folder = Folder::new();
    let stop = StopOnDrop(folder.endpoint());
    let (first, _) = run_pattern(&folder, "check_before_starting");
    assert_eq!(Some(first), stop.pid(), "it is started, and outlives the application");
    assert_eq!(run_pattern(&folder, "check_before_starting").0, first, "it is there already");
}

/// The daemon that this pattern starts is the application's child, which Python kills when the two seconds are over: so the
/// document has it. What it can do is find out that one runs.
#[test]
fn pattern_2_try_start_with_error_handling() {
    let daemon = Daemon::start();
    let (pid, output) = run_pattern(daemon.folder(), "try_start");
    assert_eq!(pid, daemon.pid());
    assert!(output.contains("Daemon already running (using existing instance)"), "{output}");
}

#[test]
fn pattern_3_simple_startup_let_it_fail() {
    let folder = Folder::new();
    let stop = StopOnDrop(folder.endpoint());
    let (first, _) = run_pattern(&folder, "let_it_fail");
    assert_eq!(Some(first), stop.pid());
    assert_eq!(run_pattern(&folder, "let_it_fail").0, first);
}

/// What the document leaves to each application, the CLI and the Rust client have built in.
#[test]
fn the_same_without_a_pattern() {
    let folder = Folder::new();
    let stop = StopOnDrop(folder.endpoint());
    run(folder.cli_command().args(["--start", "ping"]), b"").success();
    let first = stop.pid();
    run(folder.cli_command().args(["--start", "ping"]), b"").success();
    assert!(first.is_some() && stop.pid() == first);
}
