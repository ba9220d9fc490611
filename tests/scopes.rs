//! Who shares a daemon: the machine, a user, or the programs that use one database; and the list of those that run.

mod support;

use std::{fs, path::Path, process::Command};

#[cfg(unix)]
use serde_json::Value;
use serde_json::json;
use skylinedb_local::{canonical_database, database_hash};
use support::{Daemon, Folder, Output, StopOnDrop, command, program, run};

/// A user's folders, without a daemon.
struct User(Folder);

impl User {
    fn new() -> Self {
        Self(Folder::new())
    }

    /// A program of this user.
    fn command(&self, name: &str) -> Command {
        let mut command = command(program(name));
        command.current_dir(self.0.path());
        command.env("XDG_RUNTIME_DIR", self.0.path()).env("XDG_STATE_HOME", self.0.path().join("state"));
        command.env("LOCALAPPDATA", self.0.path());
        command
    }

    fn cli(&self, arguments: &[&str]) -> Output {
        run(self.command("skylinedb-cli").args(arguments), b"")
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }
}

/// Under the names that they have in the document on single-instance protection, where they still were to come.
mod future_enhancements {
    use super::*;

    #[test]
    fn per_database_locking() {
        let user = User::new();
        let (one, two) = (database_daemon(&user, "App1/data.db"), database_daemon(&user, "App2/data.db"));
        assert!(one.pid().is_some() && two.pid().is_some() && one.pid() != two.pid());
        let mut daemon = user.command("skylinedb-daemon");
        let again = run(daemon.args(["App1/../App1/data.db", "--scope", "database"]), b"").failure(1);
        let holder = format!("Held by PID: {}", one.pid().expect("it runs"));
        assert!(again.stderr.contains("already running") && again.stderr.contains(&holder), "{again:#?}");
    }

    #[test]
    #[cfg(unix)]
    fn per_user_daemons() {
        let (one, two) = (User::new(), User::new());
        let stops = [&one, &two].map(|user| {
            user.cli(&["start", "app.db", "--scope", "user"]).success();
            StopOnDrop(user.file("skylinedb-v1.sock"))
        });
        let [one, two] = stops.each_ref().map(StopOnDrop::pid);
        assert!(one.is_some() && two.is_some() && one != two);
    }
}

#[test]
#[cfg(unix)]
fn in_user_scope_it_is_in_the_users_runtime_folder_and_found_there_first() {
    let user = User::new();
    let _stop = StopOnDrop(user.file("skylinedb-v1.sock"));
    let started = user.cli(&["start", "app.db", "--scope", "user"]).success();
    assert!(started.stdout.contains(user.file("skylinedb-v1.sock").to_str().expect("a path")), "{started:#?}");
    // Without a word about the scope: the user's comes first.
    let pong = user.cli(&["ping", "--format", "json"]).success().json();
    assert_eq!(pong["endpoint"], json!(user.file("skylinedb-v1.sock")));
    assert!(user.file("state/skylinedb/daemon.log").is_file());
}

#[test]
#[cfg(unix)]
fn without_a_runtime_folder_it_is_hidden_in_the_users_home() {
    let user = User::new();
    let _stop = StopOnDrop(user.file(".skylinedb-v1.sock"));
    let mut cli = user.command("skylinedb-cli");
    cli.env_remove("XDG_RUNTIME_DIR").env("HOME", user.0.path());
    run(cli.args(["start", "app.db", "--scope", "user"]), b"").success();
    assert!(user.file(".skylinedb-v1.sock").exists());
}

#[test]
#[cfg(unix)]
fn without_any_folder_it_says_what_to_do() {
    let user = User::new();
    let mut daemon = user.command("skylinedb-daemon");
    let output = run(daemon.env_remove("XDG_RUNTIME_DIR").env_remove("HOME").args(["--scope", "user"]), b"").failure(1);
    assert!(output.stderr.contains("HOME") && output.stderr.contains("--endpoint"), "{output:#?}");
}

#[test]
fn an_endpoint_comes_before_a_scope() {
    let mut daemon = Daemon::builder().arg("--scope").arg("database").start();
    daemon.cli(["ping", "--scope", "machine"]).success();
    daemon.stop();
}

#[test]
fn databases_have_daemons_of_their_own_which_their_clients_find() {
    let user = User::new();
    let (one, two) = (database_daemon(&user, "one.db"), database_daemon(&user, "sub/two.db"));
    assert_ne!(one.pid(), two.pid());
    for name in ["one.db", "sub/../one.db"] {
        let pong = user.cli(&["ping", "--format", "json", "--scope", "database", "--database", name]).success().json();
        assert_eq!(pong["pid"], json!(one.pid()), "{name}");
    }
    let again = user.cli(&["start", "one.db", "--scope", "database"]).success();
    assert!(again.stdout.contains("it was running already"), "{again:#?}");
    let missing = user.cli(&["ping", "--scope", "database", "--database", "three.db"]).failure(3);
    let name = if cfg!(windows) { r"\\.\pipe\SkylineDBd-v1-" } else { "skylinedb-v1-" };
    assert!(missing.stderr.contains(name), "{missing:#?}");
    user.cli(&["ping", "--scope", "database"]).failure(2);
}

#[test]
fn a_client_that_wants_another_database_than_the_daemon_has_is_told_so() {
    let daemon = Daemon::start();
    daemon.execute("CREATE TABLE t(x)");
    let output = daemon.cli(["execute", "INSERT INTO t VALUES (1)", "--database", "other.db"]).failure(1);
    assert!(output.stderr.contains("has another database"), "{output:#?}");
    let output = daemon.cli(["start", "other.db"]).failure(1);
    assert!(output.stderr.contains("--scope database"), "{output:#?}");
    assert_eq!(daemon.value("SELECT count(*) FROM t"), json!(0));
    daemon.cli(["ping", "--database", "data.db"]).success();
}

#[test]
fn no_second_daemon_opens_a_database_from_another_place() {
    let first = Daemon::start();
    let database = first.folder().database();
    let mut daemon = command(program("skylinedb-daemon"));
    daemon.arg(&database).arg("--endpoint").arg(Folder::new().endpoint());
    let second = run(&mut daemon, b"").failure(1);
    assert!(second.stderr.contains("another daemon has the database"), "{second:#?}");

    let link = first.folder().path().join("link.db");
    fs::hard_link(&database, &link).expect("a link");
    let mut daemon = command(program("skylinedb-daemon"));
    daemon.arg(&link).arg("--endpoint").arg(Folder::new().endpoint());
    let third = run(&mut daemon, b"").failure(1);
    assert!(third.stderr.contains("another daemon has the database"), "{third:#?}");
    first.execute("CREATE TABLE t(x)");
    // Whoever only reads may open the file.
    let count: i64 =
        first.folder().open_file().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).expect("a count");
    assert_eq!(count, 0);
}

#[test]
fn an_unknown_scope_is_a_usage_error() {
    let output = User::new().cli(&["ping", "--scope", "planet"]).failure(2);
    assert!(output.stderr.contains("machine") && output.stderr.contains("database"), "{output:#?}");
}

#[test]
#[cfg(unix)]
fn daemons_lists_those_that_run_and_starts_none() {
    let user = User::new();
    // Sockets and locks that nobody holds: of a daemon that was killed, or of a service manager that would start one.
    let listener = std::os::unix::net::UnixListener::bind(user.file("skylinedb-v1.sock")).expect("a socket");
    listener.set_nonblocking(true).expect("a socket that does not wait");
    fs::write(user.file("skylinedb-v1.lock"), "1\n").expect("a lock that nobody holds");
    assert_eq!(listed(&user, None), Vec::<Value>::new());
    assert!(listener.accept().is_err(), "nobody has knocked there");
    drop(listener);

    let stop = StopOnDrop(user.file("skylinedb-v1.sock"));
    user.cli(&["start", "app.db", "--scope", "user"]).success();
    let other = Daemon::start();
    let one = &listed(&user, None)[0];
    assert_eq!((&one["scope"], &one["pid"]), (&json!("user"), &json!(stop.pid())));
    assert_eq!(one["database"], json!(user.file("app.db").canonicalize().expect("a path")));
    assert!(one["version"].is_string() && one["start_time"].is_string(), "{one}");

    let both = listed(&user, Some(&other.folder().endpoint()));
    assert_eq!(both.len(), 2, "{both:?}");
    assert_eq!(both[1]["pid"], json!(other.pid()));
    let table = user.cli(&["daemons"]).success().stdout;
    assert!(table.starts_with("SCOPE") && table.contains("app.db") && table.contains("user"), "{table}");
}

#[cfg(unix)]
/// The daemons that are listed, but those of this machine, which are not this test's.
fn listed(user: &User, endpoint: Option<&Path>) -> Vec<Value> {
    let mut cli = user.command("skylinedb-cli");
    cli.args(["daemons", "--format", "json"]);
    if let Some(endpoint) = endpoint {
        cli.arg("--endpoint").arg(endpoint);
    }
    let listed = run(&mut cli, b"").success().json();
    let listed = listed.as_array().expect("an array").iter();
    listed.filter(|one| !one["endpoint"].as_str().is_some_and(|path| path.starts_with("/var/run"))).cloned().collect()
}

/// Starts the daemon of a database. Its lock may lie in the machine's folder, but has a name of its own.
fn database_daemon(user: &User, name: &str) -> StopOnDrop {
    let started = user.cli(&["start", name, "--scope", "database"]).success();
    let line = started.stdout.lines().find_map(|line| line.trim().strip_prefix("Endpoint:")).expect("an endpoint");
    let endpoint = Path::new(line.trim());
    let hash = database_hash(&canonical_database(&user.file(name)).expect("the database"));
    let expected = if cfg!(windows) { format!("SkylineDBd-v1-{hash}") } else { format!("skylinedb-v1-{hash}.sock") };
    assert_eq!(endpoint.file_name(), Some(expected.as_ref()));
    StopOnDrop(endpoint.to_owned())
}
