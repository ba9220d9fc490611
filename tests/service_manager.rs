//! What the daemon says to a service manager, and what it takes from one: with a socket for notifications of the test's own, with
//! systemd's `systemd-socket-activate`, and with a service manager in Python that starts the daemon again and again.
#![cfg(unix)]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            fs::PermissionsExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use rustix::process::Signal;
use support::{
    Builder, Daemon, Folder, PATIENCE, StopOnDrop, command, program, python, run, start, systemd, wait_until,
};

/// Never ends by itself.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";

/// Where a daemon sends its notifications.
struct Notifications(UnixDatagram);

impl Notifications {
    fn of(folder: &Folder) -> Self {
        let socket = UnixDatagram::bind(Self::path(folder)).expect("a socket for notifications");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self(socket)
    }

    fn path(folder: &Folder) -> std::path::PathBuf {
        folder.path().join("notify")
    }

    /// A daemon that sends them here, with a watchdog of this limit.
    fn daemon(folder: &Folder, watchdog: Duration) -> Builder {
        let builder = Daemon::builder_in(folder).env("NOTIFY_SOCKET", Self::path(folder));
        builder.env("WATCHDOG_USEC", watchdog.as_micros().to_string())
    }

    fn next(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.0.recv(&mut bytes).expect("a notification in time");
        String::from_utf8(bytes[..length].to_vec()).expect("UTF-8")
    }

    /// The next one that is no heartbeat.
    fn next_event(&self) -> String {
        loop {
            let text = self.next();
            if text.trim_end() != "WATCHDOG=1" {
                return text;
            }
        }
    }

    /// Looks that there is none so far.
    fn assert_none(&self) {
        self.0.set_nonblocking(true).expect("no wait");
        let nothing = self.0.recv(&mut [0; 64]).expect_err("it said something");
        assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    }

    /// Waits for so many heartbeats, and for nothing else.
    #[track_caller]
    fn beats(&self, number: usize) {
        for _ in 0..number {
            assert_eq!(self.next().trim_end(), "WATCHDOG=1");
        }
    }
}

#[test]
fn it_says_when_it_serves_and_that_it_lives_and_when_it_ends() {
    let folder = Folder::new();
    let notifications = Notifications::of(&folder);
    let mut daemon = Notifications::daemon(&folder, Duration::from_millis(50)).spawn();
    let ready = notifications.next();
    let status = format!("STATUS=Serving {} on {}", folder.database().display(), folder.endpoint().display());
    assert!(ready.starts_with("READY=1\n") && ready.contains(&status), "{ready}");
    daemon.cli(["ping"]).success(); // at once

    notifications.beats(3);
    // A statement that takes long is no daemon that hangs; nor is a drain that waits for it.
    let mut endless = start(folder.cli_command().args(["query", ENDLESS]));
    daemon.cli(["execute", "CREATE TABLE t(x)"]).success();
    notifications.beats(3);
    daemon.terminate();
    assert!(notifications.next_event().starts_with("STOPPING=1\n"));
    notifications.beats(3);
    daemon.terminate(); // cut short
    assert!(daemon.wait().success());
    endless.wait();
}

#[test]
fn one_that_cannot_start_does_not_say_that_it_serves() {
    let folder = Folder::new();
    let _first = Daemon::builder_in(&folder).start();
    let notifications = Notifications::of(&folder);
    let mut second = Notifications::daemon(&folder, Duration::from_secs(1)).spawn();
    assert_eq!(second.wait().code(), Some(1));
    notifications.assert_none();
}

#[test]
fn the_service_manager_of_whoever_starts_it_in_the_background_is_not_its_own() {
    let folder = Folder::new();
    let _stop = StopOnDrop(folder.endpoint());
    let notifications = Notifications::of(&folder);
    let mut starter = folder.cli_command();
    starter.arg("start").arg(folder.database()).env("NOTIFY_SOCKET", Notifications::path(&folder));
    run(&mut starter, b"").success();
    folder.cli(["ping"]).success();
    notifications.assert_none();
}

#[test]
fn a_service_manager_that_does_not_listen_is_no_reason_not_to_serve() {
    let folder = Folder::new();
    let mut daemon = Notifications::daemon(&folder, Duration::from_mins(1)).start();
    daemon.cli(["ping"]).success();
    daemon.wait_for_log("cannot tell the service manager");
    daemon.stop();
}

#[test]
fn a_service_manager_that_never_reads_holds_nothing_up() {
    let folder = Folder::new();
    let _unread = Notifications::of(&folder); // its queue is full after some heartbeats
    let mut daemon = Notifications::daemon(&folder, Duration::from_millis(2)).start();
    for number in 0..50 {
        daemon.cli(["query", &format!("SELECT {number}")]).success();
    }
    daemon.stop();
}

#[test]
fn a_watchdog_of_no_time_is_none() {
    let folder = Folder::new();
    let _notifications = Notifications::of(&folder);
    let mut daemon = Notifications::daemon(&folder, Duration::ZERO).start();
    daemon.cli(["ping"]).success();
    daemon.stop(); // which also looks whether it has panicked
}

/// Waits until somebody listens on a socket, without connecting to it: that would wake the daemon. The file is there a moment
/// earlier.
fn wait_for_listener(socket: &Path) {
    // Num RefCount Protocol Flags Type St Inode Path; the flag is __SO_ACCEPTCON.
    let path = socket.to_str().expect("UTF-8");
    wait_until("a listener", || {
        let sockets = fs::read_to_string("/proc/net/unix").expect("the list of sockets");
        sockets.lines().any(|line| line.ends_with(path) && line.split_ascii_whitespace().nth(3) == Some("00010000"))
    });
}

/// `systemd-socket-activate` with these arguments, and a daemon that it starts in the folder.
fn activated(folder: &Folder, arguments: &[&str]) -> Option<Command> {
    let mut activate = systemd("systemd-socket-activate")?;
    activate.args(arguments).args(["--setenv", "SKYLINEDB_CONFIG=/dev/null"]).current_dir(folder.path());
    activate.arg(program("skylinedb-daemon")).arg(folder.database());
    // Not where the socket is: the one that it gets counts.
    activate.arg("--endpoint").arg(folder.path().join("unused.sock")).arg("--lock-file").arg(folder.lock());
    Some(activate)
}

#[test]
fn the_first_client_wakes_it_by_a_socket_that_outlives_it() {
    let folder = Folder::new();
    let socket = folder.endpoint();
    let Some(mut command) = activated(&folder, &["--listen", &socket.display().to_string()]) else { return };
    let mut daemon = start(&mut command);
    wait_for_listener(&socket);
    assert!(!folder.database().exists(), "it runs before anybody has come");

    let pong = folder.cli(["ping", "--format", "json"]).success().json();
    assert_eq!(pong["pid"], daemon.pid(), "{pong}");
    folder.cli(["execute", "CREATE TABLE t(x); INSERT INTO t VALUES (1)"]).success();
    assert!(!folder.path().join("unused.sock").exists());
    folder.cli(["shutdown"]).success();
    assert!(daemon.wait().success());
    assert!(socket.exists(), "the socket is the service manager's to remove");
    let count: i64 = folder.open_file().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).expect("a count");
    assert_eq!(count, 1);
}

#[test]
fn whatever_is_no_unix_socket_of_its_own_is_refused_with_the_reason() {
    for (listen, why) in [
        (&["--listen", "ONE", "--listen", "TWO"][..], "has passed 2 sockets"),
        (&["--listen", "ABSTRACT"], "a socket without a path"),
        (&["--listen", "ONE", "--datagram"], "something else than a Unix stream socket"),
        (&["--listen", "ONE", "--accept"], "set Accept=no in the .socket unit"),
    ] {
        let folder = Folder::new();
        let abstract_name = folder.path().display().to_string();
        let path = |name: &str| match name {
            "ABSTRACT" => format!("@{abstract_name}"),
            name => folder.path().join(name).display().to_string(),
        };
        let listen: Vec<String> =
            listen.iter().map(|word| if word.starts_with("--") { (*word).to_owned() } else { path(word) }).collect();
        let listen: Vec<&str> = listen.iter().map(String::as_str).collect();
        let Some(mut activate) = activated(&folder, &listen) else { return };
        let log = folder.path().join("log");
        activate.stderr(fs::File::create(&log).expect("a log"));
        let mut activate = start(&mut activate);
        // Whoever comes wakes it.
        let said = || fs::read_to_string(&log).expect("the log");
        wait_until("the daemon's answer", || {
            let _ = std::os::unix::net::UnixStream::connect(folder.path().join("ONE"));
            let datagram = UnixDatagram::unbound().expect("a socket");
            let _ = datagram.send_to(b"wake up", folder.path().join("ONE"));
            let without_path = SocketAddr::from_abstract_name(&abstract_name).expect("a name");
            let _ = std::os::unix::net::UnixStream::connect_addr(&without_path);
            said().contains(why)
        });
        activate.signal(Signal::KILL);
        activate.wait();
        assert!(said().contains("Error: ") && said().contains("the .socket unit"), "{}", said());
    }
}

#[test]
fn a_socket_that_lets_in_more_than_the_options_say_is_refused() {
    let folder = Folder::new();
    let socket = folder.endpoint();
    let Some(mut activate) = activated(&folder, &["--listen", &socket.display().to_string()]) else { return };
    let log = folder.path().join("log");
    activate.args(["--socket-mode", "0660"]).stderr(fs::File::create(&log).expect("a log"));
    let mut activate = start(&mut activate);
    wait_for_listener(&socket);
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).expect("a wide mode");
    assert_ne!(folder.cli(["ping"]).code, Some(0));
    assert_eq!(activate.wait().code(), Some(1));
    let said = fs::read_to_string(&log).expect("the log");
    assert!(said.contains("has the mode 0666") && said.contains("SocketMode="), "{said}");
}

/// A service manager that keeps a socket and starts a daemon whenever somebody comes, which ends when nobody has come for an
/// instant: whoever comes between two daemons is served by the next, or told to come again.
#[test]
fn clients_that_come_between_two_daemons_are_served_by_the_next() {
    const WRITES: i64 = 60;
    // The pauses between clients grow beyond the daemon's patience, so some come before its end, some after it and some meanwhile.
    const PAUSE: Duration = Duration::from_millis(2);
    let folder = Folder::new();
    let _stop = StopOnDrop(folder.endpoint());
    let mut manager = python();
    manager.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/socket_activation.py")).arg(folder.endpoint());
    manager.arg(program("skylinedb-daemon")).arg(folder.database()).arg("--lock-file").arg(folder.lock());
    let manager = start(manager.args(["--idle-timeout", "50ms"]));
    wait_for_listener(&folder.endpoint());
    let inserts = (0..WRITES).map(|number| format!("INSERT INTO t VALUES ({number})"));
    let mut pids = BTreeSet::new();
    let mut pause = Duration::ZERO;
    for sql in std::iter::once("CREATE TABLE t(x INTEGER PRIMARY KEY)".to_owned()).chain(inserts) {
        wait_until("a write", || {
            let output = folder.cli(["execute", &sql]);
            let again = output.stderr.contains("shutting down") && output.code == Some(1);
            assert!(again || output.code == Some(0), "{output:#?}");
            !again
        });
        pids.insert(fs::read_to_string(folder.lock()).expect("a PID"));
        pause += PAUSE;
        thread::sleep(pause);
    }
    assert!(pids.len() > 1, "there was one daemon only");
    let count: i64 = folder.open_file().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).expect("a count");
    assert_eq!(count, WRITES);
    manager.signal(Signal::TERM);
}

#[test]
fn the_units_call_the_daemon_as_it_can_be_called() {
    for unit in ["skylinedb.service", "user/skylinedb.service"] {
        let unit = fs::read_to_string(format!("{}/packaging/systemd/{unit}", env!("CARGO_MANIFEST_DIR")));
        let unit = unit.expect("the unit");
        let line =
            unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/skylinedb-daemon ")).expect("a command");
        let folder = Folder::new();
        let config = folder.path().join("skylinedb.toml");
        fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/debian/skylinedb.toml"), &config).expect("a copy");
        let line = line.replace("/etc/skylinedb/skylinedb.toml", &config.display().to_string());
        let printed = run(command(program("skylinedb-daemon")).args(line.split(' ')).arg("--print-config"), b"");
        printed.success();
    }
}

#[test]
fn the_launchd_plist_is_one_and_restarts_a_daemon_that_has_failed() {
    let mut python = python();
    python.arg("-c").arg(
        "import plistlib, sys\n\
         job = plistlib.load(open(sys.argv[1], 'rb'))\n\
         assert job['Label'] + '.plist' == sys.argv[1].split('/')[-1], job\n\
         assert job['RunAtLoad'] is True and job['KeepAlive'] == {'SuccessfulExit': False}, job\n\
         print(job['ProgramArguments'][-1])",
    );
    python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/launchd/org.skylinedb.daemon.plist"));
    let script = run(&mut python, b"").success().stdout;
    // The command that launchd would run, but of the built daemon, with a home of the test's own.
    let folder = Folder::new();
    let built = program("skylinedb-daemon");
    let script = script.replace("/usr/local/bin/skylinedb-daemon", &built.display().to_string());
    fs::create_dir_all(folder.path().join("Library/Logs")).expect("a folder that macOS has");
    let mut shell = command("/bin/sh");
    shell
        .args(["-c", script.trim()])
        .env("HOME", folder.path())
        .env_remove("XDG_RUNTIME_DIR")
        .env_remove("XDG_STATE_HOME");
    let mut daemon = start(&mut shell);
    let log = folder.path().join("Library/Logs/skylinedb.log");
    wait_until("the daemon", || fs::read_to_string(&log).is_ok_and(|log| log.contains("IPC server listening")));
    assert!(folder.path().join("Library/Application Support/skylinedb/data.db").exists());
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success(), "the shell has not become the daemon");
}
