//! A daemon that is there when somebody needs it: started by whoever comes first, found by all others.

mod support;

use std::{fs, process::Stdio};

use skylinedb::{Client, Error, params, start::StartOptions};
use support::{Daemon, Folder, StopOnDrop, program};

/// How a daemon in this folder is started.
fn options(folder: &Folder) -> StartOptions {
    StartOptions::new().program(program("skylinedb-daemon")).database(folder.database()).endpoint(folder.endpoint())
}

/// The message of the error that starting must end with.
async fn refused(options: StartOptions) -> String {
    match Client::connect_or_start(options).await {
        Err(Error::Start(message)) => message,
        outcome => panic!("{outcome:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_clients_that_start_it_at_once_all_get_the_same_one() {
    let folder = Folder::new();
    let _stop = StopOnDrop(folder.endpoint());
    let clients: Vec<_> = (0..32).map(|_| tokio::spawn(Client::connect_or_start(options(&folder)))).collect();
    let mut pids = Vec::new();
    for (client, number) in clients.into_iter().zip(0_i64..) {
        let client = client.await.expect("the task").expect("a client");
        client.execute("CREATE TABLE IF NOT EXISTS t(x)", params![]).await.expect("a table");
        client.execute("INSERT INTO t VALUES (?)", params![number]).await.expect("a row");
        pids.push(client.ping().await.expect("a pong").pid);
    }
    pids.dedup();
    assert_eq!(pids.len(), 1, "{pids:?}");
}

#[test]
fn every_command_starts_it_if_it_is_told_to() {
    for command in [&["ping"][..], &["execute", "CREATE TABLE t(x)"], &["query", "SELECT 1"]] {
        let folder = Folder::new();
        let _stop = StopOnDrop(folder.endpoint());
        folder.cli(command).failure(3);
        folder.cli([&["--start"], command].concat()).success();
        folder.cli([&["--start"], command].concat());
        folder.cli(["ping"]).success();
    }
}

#[test]
fn whoever_reads_what_the_starter_says_gets_its_end_while_the_daemon_runs() {
    let folder = Folder::new();
    let stop = StopOnDrop(folder.endpoint());
    let output = folder.cli(["start", "data.db"]).success(); // both of its outputs are pipes, which are read to their ends
    assert!(output.stdout.contains("Daemon is running"), "{output:#?}");
    folder.cli(["ping"]).success();
    assert!(stop.pid().is_some());
}

#[tokio::test]
async fn paths_may_have_blanks_quotes_and_letters_of_any_language() {
    let folder = Folder::new();
    let quote = if cfg!(windows) { "'" } else { "\"" }; // on Windows no file's name has the other
    let odd = folder.path().join(format!("a b {quote}c{quote} %PATH% é日本"));
    fs::create_dir(&odd).expect("a folder");
    let stop = StopOnDrop(folder.endpoint());
    let (database, log) = (odd.join("my data.db"), odd.join("my log.txt"));
    let client = Client::connect_or_start(options(&folder).database(&database).log_file(&log)).await.expect("a client");
    assert_eq!(client.ping().await.expect("a pong").pid, stop.pid().expect("a daemon"));
    assert!(database.is_file());
    assert!(fs::read_to_string(&log).expect("a log").contains("IPC server listening"));
    // What goes on after a backslash or a quote must not become another argument.
    let message =
        refused(options(&folder).endpoint(Folder::new().endpoint()).argument(r#"--config=a\" --nonsense"#)).await;
    assert!(message.contains(r#"a\" --nonsense"#) && message.contains("configuration file"), "{message}");
}

#[test]
#[cfg(unix)]
fn it_is_in_a_session_of_its_own_and_inherits_nothing() {
    use std::os::fd::AsFd as _;

    let folder = Folder::new();
    let stop = StopOnDrop(folder.endpoint());
    let secret = fs::File::create(folder.path().join("secret")).expect("a file");
    // A descriptor that a program in another language may have left open to its children.
    rustix::io::fcntl_setfd(secret.as_fd(), rustix::io::FdFlags::empty()).expect("a file that is inherited");
    folder.cli(["--start", "ping"]).success();
    drop(secret);
    let pid = stop.pid().expect("a daemon");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let fields: Vec<_> = stat.rsplit_once(')').expect("a name").1.split_ascii_whitespace().collect();
    assert_eq!(fields[3], pid.to_string(), "it leads its session");
    let open: Vec<_> = fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("its files")
        .filter_map(|file| fs::read_link(file.expect("a file").path()).ok())
        .collect();
    assert!(!open.iter().any(|file| file.ends_with("secret")), "{open:?}");
    assert!(open.iter().any(|file| file.ends_with("daemon.log")), "{open:?}");
}

#[test]
#[cfg(unix)]
fn its_log_can_be_moved_away() {
    use support::{Signal, wait_until};

    let folder = Folder::new();
    let stop = StopOnDrop(folder.endpoint());
    let mut start = folder.cli_command();
    support::run(start.args(["start", "data.db", "--log-file", "log"]), b"").success();
    let log = folder.path().join("log");
    fs::rename(&log, folder.path().join("log.1")).expect("move the log away");
    let pid = rustix::process::Pid::from_raw(stop.pid().expect("a daemon").cast_signed()).expect("a process id");
    rustix::process::kill_process(pid, Signal::HUP).expect("a signal");
    wait_until("a new log", || fs::read_to_string(&log).is_ok_and(|log| log.contains("opened the log anew")));
}

#[test]
#[cfg(unix)]
fn it_ends_when_it_is_idle_unless_the_user_has_set_how_long_it_waits() {
    let folder = Folder::new();
    let stop = StopOnDrop(folder.endpoint());
    folder.cli(["start", "data.db"]).success();
    let pid = stop.pid().expect("a daemon");
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("its command line");
    assert!(line.contains("--default-idle-timeout\x0015m\x00"), "{line:?}");
    drop(stop);

    // A file comes before the starter's default.
    let stop = StopOnDrop(folder.endpoint());
    let config = folder.path().join("skylinedb.toml");
    fs::write(&config, "idle-timeout = \"500ms\"").expect("a file");
    let mut start = folder.cli_command();
    support::run(start.args(["start", "data.db"]).env("SKYLINEDB_CONFIG", config), b"").success();
    support::wait_until("the daemon's end", || stop.pid().is_none());
}

#[tokio::test]
async fn one_that_cannot_start_gives_the_end_of_its_log() {
    let folder = Folder::new();
    fs::write(folder.database(), "this is no database, however long one looks at it").expect("a file");
    let message = refused(options(&folder)).await;
    assert!(message.contains("file is not a database") && message.contains("ended at once"), "{message}");
    assert_eq!(message.matches("file is not a database").count(), 1, "{message}");
    let message = refused(options(&folder).argument("--nonsense")).await;
    assert!(message.contains("--nonsense"), "{message}");
    let message = refused(options(&folder).program("/not/there/skylinedb-daemon")).await;
    assert!(message.contains("/not/there") && message.contains("SKYLINEDB_DAEMON"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_drains_the_next_one_is_waited_for_and_started() {
    let mut daemon = Daemon::builder().arg("--drain-timeout").arg("1h").start();
    let folder = daemon.folder().clone();
    let client = daemon.client().await;
    client.execute("CREATE TABLE t(x)", params![]).await.expect("a table");
    let mut session = client.session().await.expect("a session");
    let mut transaction = session.transaction(skylinedb::TransactionKind::Write).await.expect("a transaction");
    daemon.terminate();
    daemon.wait_for_log("shutting down");

    let stop = StopOnDrop(folder.endpoint());
    let started = tokio::spawn(Client::connect_or_start(options(&folder)));
    transaction.execute("INSERT INTO t VALUES (1)", params![]).await.expect("work in hand");
    transaction.commit().await.expect("the end of the work");
    let next = started.await.expect("the task").expect("a client");
    assert!(daemon.wait().success());
    assert_eq!(next.ping().await.expect("a pong").pid, stop.pid().expect("a daemon"));
    let count = next.execute("SELECT count(*) FROM t", params![]).await.expect("a count");
    assert_eq!(count.rows[0].get::<i64>(0).expect("a number"), 1);
}

#[test]
fn it_outlives_the_program_that_started_it() {
    let folder = Folder::new();
    let stop = StopOnDrop(folder.endpoint());
    let mut cli = folder.cli_command();
    cli.args(["--start", "ping"]).stdout(Stdio::null());
    let starter = cli.spawn().expect("the CLI").wait_with_output().expect("its end");
    assert!(starter.status.success());
    folder.cli(["ping"]).success();
    assert!(stop.pid().is_some());
}

#[test]
#[cfg(unix)]
fn shutdown_and_start_again_work_in_one_line() {
    use std::process::Command;

    use support::{run, wait_for};

    let folder = Folder::new();
    let _stop = StopOnDrop(folder.endpoint());
    let (cli, daemon) = (program("skylinedb-cli"), program("skylinedb-daemon"));
    let line = format!(
        "set -e; cd {folder}; {cli} --start --endpoint daemon.sock ping >/dev/null
         for i in 1 2 3 4 5; do
             {cli} --endpoint daemon.sock shutdown && {{ {daemon} data.db --endpoint daemon.sock >log 2>&1 & }}
             until {cli} --endpoint daemon.sock ping >/dev/null 2>&1; do :; done
         done",
        folder = folder.path().display(),
        cli = cli.display(),
        daemon = daemon.display()
    );
    let output = run(Command::new("bash").arg("-c").arg(line), b"").success();
    assert_eq!(output.stdout, "✓ Daemon shutdown requested\n".repeat(5));
    let said = output.stderr.lines().filter(|line| line.starts_with("PID ") && line.contains(" has ended, after "));
    assert_eq!(said.count(), 5, "{output:#?}");
    let log = wait_for("the last daemon's log", || fs::read_to_string(folder.path().join("log")).ok());
    assert!(!log.contains("already running"), "{log}");
}
