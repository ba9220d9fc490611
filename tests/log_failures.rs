//! A log that cannot be written holds nothing up and ends nothing.
#![cfg(unix)]

mod support;

use std::{
    fs::{self, File},
    io::{PipeReader, Write as _, pipe},
    process::Stdio,
    thread,
};

use support::{Daemon, Folder, Running, Signal, command, start, wait_until};

/// A daemon that logs every connection to this standard error.
fn daemon(folder: &Folder, stderr: impl Into<Stdio>) -> Running {
    let daemon = start(folder.daemon_command(["--readers", "2"]).env("RUST_LOG", "debug").stderr(stderr));
    wait_until("the daemon", || folder.cli(["ping"]).code == Some(0));
    daemon
}

/// A pipe that is full as long as nothing reads it.
fn full_pipe() -> (PipeReader, Stdio) {
    let (reader, mut writer) = pipe().expect("a pipe");
    let stdio = Stdio::from(writer.try_clone().expect("its end"));
    thread::spawn(move || while writer.write_all(&[b'.'; 4096]).is_ok() {});
    (reader, stdio)
}

/// Uses the daemon, and ends it.
#[track_caller]
fn assert_serves_and_ends(folder: &Folder, mut daemon: Running) {
    folder.cli(["execute", "CREATE TABLE t(x)"]).success();
    for number in 0..20 {
        folder.cli(["execute", &format!("INSERT INTO t VALUES ({number})")]).success();
        folder.cli(["ping"]).success();
    }
    assert_eq!(count(folder), "20");
    folder.cli(["shutdown"]).success();
    assert_eq!(daemon.wait().code(), Some(0));
}

#[track_caller]
fn count(folder: &Folder) -> String {
    let output = folder.cli(["query", "--format", "csv", "SELECT count(*) FROM t"]).success();
    output.stdout.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn a_pipe_without_a_reader() {
    let folder = Folder::new();
    let (reader, writer) = pipe().expect("a pipe");
    let daemon = daemon(&folder, writer);
    drop(reader);
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("its status");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("ignored signals");
    let ignored = u64::from_str_radix(ignored.trim(), 16).expect("a number");
    assert_ne!(ignored & (1 << (Signal::PIPE.as_raw() - 1)), 0, "SIGPIPE is ignored");
    assert_serves_and_ends(&folder, daemon);
}

#[test]
fn a_full_pipe() {
    let folder = Folder::new();
    let (_reader, stderr) = full_pipe();
    let daemon = daemon(&folder, stderr);
    assert_serves_and_ends(&folder, daemon);
}

#[test]
fn a_daemon_that_cannot_start_ends_even_if_standard_error_is_a_full_pipe() {
    let first = Daemon::start();
    let (_reader, stderr) = full_pipe();
    let mut second = start(first.folder().daemon_command(["--readers", "2"]).stderr(stderr));
    assert_eq!(second.wait().code(), Some(1));
}

#[test]
fn a_full_disk() {
    let folder = Folder::new();
    let mut command = folder.daemon_command(["--log-file", "/dev/full"]);
    let stderr = File::options().write(true).open("/dev/full").expect("a full device");
    let daemon = start(command.env("RUST_LOG", "debug").stderr(stderr));
    wait_until("the daemon", || folder.cli(["ping"]).code == Some(0));
    assert_serves_and_ends(&folder, daemon);
}

#[test]
fn a_file_that_may_not_grow_is_an_error_and_not_the_end() {
    // In units of 512 or 1024 bytes, as the shell has it.
    const LIMIT: &str = "512";
    const MOST_BYTES: u64 = 512 << 10;
    let folder = Folder::new();
    let daemon = folder.daemon_command(["--log-file", "log"]);
    let mut shell = command("sh");
    shell.current_dir(folder.path()).args(["-c", &format!("ulimit -f {LIMIT} && exec \"$0\" \"$@\"")]);
    shell.arg(daemon.get_program()).args(daemon.get_args());
    let mut daemon = start(shell.env("RUST_LOG", "trace").stderr(Stdio::null()));
    wait_until("the daemon", || folder.cli(["ping"]).code == Some(0));
    folder.cli(["execute", "CREATE TABLE t(x)"]).success();

    let output = folder.cli(["execute", "INSERT INTO t VALUES (zeroblob(1000000))"]).failure(1);
    assert!(output.stderr.contains("SQLITE_IOERR_WRITE"), "{output:#?}");
    assert_eq!(count(&folder), "0");
    folder.cli(["execute", "INSERT INTO t VALUES (1)"]).success();
    // The log reaches the limit, too.
    let log = || fs::metadata(folder.path().join("log")).expect("the log").len();
    wait_until("a log that cannot grow", || {
        let before = log();
        folder.cli(["ping"]).success();
        before > 0 && log() == before
    });
    assert!(log() <= MOST_BYTES);
    folder.cli(["execute", "INSERT INTO t VALUES (2)"]).success();
    assert_eq!(count(&folder), "2");
    folder.cli(["shutdown"]).success();
    assert_eq!(daemon.wait().code(), Some(0));
}
