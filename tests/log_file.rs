//! `--log-file`: the log goes to a file, and so does why the daemon could not start.

mod support;

use std::{fs, path::PathBuf};

use support::{Daemon, Folder, run, wait_until};

/// The log's file, in a folder that is not there.
fn file(folder: &Folder) -> PathBuf {
    folder.path().join("logs/dämon 1.log")
}

fn log(folder: &Folder) -> String {
    fs::read_to_string(file(folder)).unwrap_or_default()
}

#[test]
fn the_log_is_written_at_the_end_of_the_file_and_not_on_standard_error() {
    let folder = Folder::new();
    for time in 1..=2 {
        let mut daemon = Daemon::builder_in(&folder).arg("--log-file").arg(file(&folder)).spawn();
        wait_until("the log", || log(&folder).matches("IPC server listening").count() == time);
        folder.cli(["shutdown"]).success();
        assert!(daemon.wait().success());
        assert_eq!(log(&folder).matches("Daemon stopped").count(), time);
        assert_eq!(daemon.log(), "");
    }
}

#[test]
fn why_the_daemon_cannot_start_is_in_the_file_and_on_standard_error() {
    let daemon = Daemon::start();
    let folder = daemon.folder();
    fs::write(folder.path().join("wrong.toml"), "idle-timeot = \"1h\"").expect("a file");
    let cases: [(&[&str], i32, &str); 4] = [
        (&[], 1, "Another daemon instance is already running!"),
        (&["--nonsense"], 2, "--nonsense"),
        (&["--readers", "many"], 2, "many"),
        (&["--config", "wrong.toml"], 1, "idle-timeot"),
    ];
    for (arguments, code, why) in cases {
        let before = log(folder);
        let mut command = folder.daemon_command(["--log-file"]);
        let output = run(command.arg(file(folder)).args(arguments), b"").failure(code);
        let after = log(folder);
        assert!(output.stderr.contains(why), "{arguments:?}: {output:#?}");
        let said = after.strip_prefix(&before).expect("more");
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
}

#[test]
fn the_file_of_the_environment_is_as_good_and_help_does_not_write_it() {
    let folder = Folder::new();
    for (arguments, code) in [(["--help"], 0), (["--nonsense"], 2)] {
        assert_eq!(log(&folder), "");
        let output = run(folder.daemon_command(arguments).env("SKYLINEDB_LOG_FILE", file(&folder)), b"");
        assert_eq!(output.code, Some(code), "{output:#?}");
    }
    assert!(log(&folder).contains("--nonsense"), "{}", log(&folder));
}

#[test]
#[cfg(unix)]
fn at_sighup_it_is_opened_anew_and_the_daemon_serves_on() {
    use support::Signal;

    let folder = Folder::new();
    let mut daemon = Daemon::builder_in(&folder).arg("--log-file").arg(file(&folder)).spawn();
    wait_until("the log", || log(&folder).contains("IPC server listening"));
    let moved = folder.path().join("daemon.log.1");
    fs::rename(file(&folder), &moved).expect("move the log away");
    daemon.signal(Signal::HUP);
    wait_until("the new log", || log(&folder).contains("opened the log anew"));
    // Without its folder it cannot be made: then the old one stays.
    fs::rename(folder.path().join("logs"), folder.path().join("old")).expect("move the folder away");
    fs::write(folder.path().join("logs"), "").expect("a file in its place");
    daemon.signal(Signal::HUP);
    let old = folder.path().join("old").join(file(&folder).file_name().expect("a name"));
    wait_until("why", || fs::read_to_string(&old).expect("the old log").contains("cannot open the log anew"));
    daemon.execute("CREATE TABLE t(x)");
    daemon.stop();
    assert!(fs::read_to_string(&old).expect("the old log").contains("Daemon stopped"));
}

#[test]
#[cfg(unix)]
fn sighup_does_not_end_a_daemon_that_logs_to_standard_error() {
    use support::Signal;

    let mut daemon = Daemon::start();
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("the log is standard error");
    daemon.execute("CREATE TABLE t(x)");
    daemon.stop();
}

#[test]
fn one_that_cannot_be_written_is_named() {
    let folder = Folder::new();
    let output = run(folder.daemon_command(["--log-file"]).arg(folder.path()), b"").failure(1);
    assert!(output.stderr.contains("cannot open the log") && output.stderr.contains("--log-file"), "{output:#?}");
    assert!(!folder.database().exists());
}
