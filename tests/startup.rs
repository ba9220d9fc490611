//! What a daemon makes when it starts, and what it says when it cannot.

mod support;

use std::fs;

use support::{Daemon, Folder, endpoint_exists, run, wait_until};

#[test]
fn the_default_database_is_data_db_in_the_working_directory() {
    let folder = Folder::new();
    let mut daemon = support::command(support::program("skylinedb-daemon"));
    daemon.current_dir(folder.path()).arg("--endpoint").arg(folder.endpoint()).arg("--lock-file").arg(folder.lock());
    let _running = support::start(&mut daemon);
    wait_until("the daemon to answer", || folder.cli(["ping"]).code == Some(0));
    assert!(folder.path().join("data.db").is_file());
}

#[test]
fn missing_folders_of_the_database_are_made() {
    let folder = Folder::new();
    let database = folder.path().join("deep/er/still/data.db");
    let mut daemon = support::command(support::program("skylinedb-daemon"));
    daemon.arg(&database).arg("--endpoint").arg(folder.endpoint()).arg("--lock-file").arg(folder.lock());
    let _running = support::start(&mut daemon);
    wait_until("the daemon to answer", || folder.cli(["ping"]).code == Some(0));
    assert!(database.is_file());
}

#[test]
fn the_endpoint_can_come_from_the_environment() {
    let folder = Folder::new();
    let mut daemon = support::command(support::program("skylinedb-daemon"));
    daemon
        .current_dir(folder.path())
        .env("SKYLINEDB_ENDPOINT", folder.endpoint())
        .arg("--lock-file")
        .arg(folder.lock());
    let _running = support::start(&mut daemon);
    wait_until("the daemon to answer", || folder.cli(["ping"]).code == Some(0));
}

#[test]
#[cfg(unix)]
fn the_socket_is_a_socket_for_its_owner_alone() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};

    let daemon = Daemon::start();
    let metadata = fs::symlink_metadata(daemon.folder().endpoint()).expect("the socket");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
}

#[test]
#[cfg(unix)]
fn a_new_database_and_what_lies_beside_it_are_for_the_owner_alone_unless_an_option_says_otherwise() {
    use std::os::unix::fs::PermissionsExt;

    for (arguments, expected) in [([].as_slice(), 0o600), (&["--database-mode", "0664"], 0o664)] {
        let mut daemon = arguments.iter().copied().fold(Daemon::builder(), support::Builder::arg).start();
        daemon.execute("CREATE TABLE t(x)");
        for file in ["data.db", "data.db-wal", "data.db-shm"] {
            let found = fs::metadata(daemon.folder().path().join(file)).expect("a file");
            assert_eq!(found.permissions().mode() & 0o777, expected, "{file}");
        }
        assert!(!daemon.log().contains("--database-mode"), "{}", daemon.log());
        daemon.stop();
        let database = daemon.folder().database();
        fs::set_permissions(&database, fs::Permissions::from_mode(0o646)).expect("a change");
        let daemon = Daemon::builder_in(daemon.folder()).start();
        assert!(daemon.log().contains("has mode 0646"), "{}", daemon.log());
        assert_eq!(fs::metadata(&database).expect("the database").permissions().mode() & 0o777, 0o646);
    }
}

#[test]
fn the_database_is_in_wal_mode() {
    let daemon = Daemon::start();
    daemon.execute("CREATE TABLE t(x)");
    let mode: String =
        daemon.folder().open_file().query_row("PRAGMA journal_mode", [], |row| row.get(0)).expect("mode");
    assert_eq!(mode, "wal");
}

#[test]
fn the_log_can_be_json() {
    let daemon = Daemon::builder().arg("--log-format").arg("json").start();
    for line in daemon.log().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        assert!(line.is_object(), "{line}");
    }
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    let text = "this is no database ".repeat(500);
    fs::write(folder.database(), &text).expect("write a file");

    let output = run(&mut folder.daemon_command::<&str>([]), b"").failure(1);

    assert!(output.stderr.contains("Error: "), "{output:#?}");
    assert!(output.stderr.contains("data.db"), "it names the file: {output:#?}");
    assert_eq!(fs::read_to_string(folder.database()).expect("read the file"), text);
    assert!(!endpoint_exists(&folder.endpoint()));
}

#[test]
fn an_unknown_flag_is_a_usage_error() {
    let folder = Folder::new();
    let output = run(&mut folder.daemon_command(["--no-such-flag"]), b"").failure(2);
    assert!(output.stderr.contains("--no-such-flag"), "{output:#?}");
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0, "and nothing was touched");
}
