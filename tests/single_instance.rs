//! `single-instance-protection.md`, its sections Behavior, Edge Cases Handled, Testing and Implementation Details: one test a
//! heading, under the heading's name, word for word where the page prints something. After them, what the page implies. Client
//! App Usage is in `client_patterns.rs`, Future Enhancements in `scopes.rs`.

mod support;

use std::fs;

use support::{Daemon, Folder, Output, command, endpoint_exists, is_free, program, refusal, run, wait_until};
#[cfg(unix)]
use support::{Signal, User, can_make_users, open_folder, program_for_all};

const STARTING: &str = "INFO skylinedb_daemon: Starting SQLite daemon";
const ACQUIRED: &str = "INFO skylinedb_daemon::single_instance: Acquired single-instance lock";
const LISTENING: &str = "INFO skylinedb_daemon::server: IPC server listening";

mod behavior {
    use super::*;

    #[test]
    fn starting_first_instance() {
        let daemon = Daemon::start();
        assert_eq!(untimed(&daemon.log()), [STARTING, ACQUIRED, LISTENING]);
        daemon.cli(["ping"]).success();
    }

    #[test]
    fn trying_to_start_second_instance() {
        let mut first = Daemon::start();
        let log_before = first.log();

        let second = start_another(first.folder());

        assert_refused(&second, &first);
        assert!(first.is_running(), "the second must not end the first");
        assert_eq!(first.log(), log_before, "the first does not notice");
        first.execute("CREATE TABLE still_served(x)");
    }

    #[test]
    fn after_first_instance_exits() {
        let mut first = Daemon::start();
        assert_eq!(first.cli(["shutdown"]).success().stdout, "✓ Daemon shutdown requested\n");
        assert!(first.wait().success());

        let second = Daemon::builder_in(first.folder()).start();

        assert_eq!(untimed(&second.log())[..2], [STARTING, ACQUIRED]);
        second.cli(["ping"]).success();
    }
}

mod edge_cases_handled {
    use super::*;

    #[test]
    fn case_1_daemon_crashes() {
        let mut first = Daemon::start();
        #[cfg(unix)]
        first.signal(Signal::ABORT);
        #[cfg(windows)] // Windows ends one that has crashed by the same call.
        first.kill9();
        assert!(!first.wait().success());
        assert!(Daemon::builder_in(first.folder()).start().cli(["ping"]).code == Some(0));
    }

    #[test]
    fn case_2_force_kill() {
        let mut first = Daemon::start();
        first.execute("CREATE TABLE kept(x)");
        first.kill9();
        let folder = first.folder();
        #[cfg(unix)]
        {
            assert!(folder.endpoint().exists(), "a kill leaves the socket's file behind");
            assert_eq!(held_by(folder), first.pid().to_string(), "and its PID");
        }

        let second = Daemon::builder_in(folder).start();

        assert_eq!(held_by(folder), second.pid().to_string());
        second.execute("INSERT INTO kept VALUES (1)");
    }

    #[test]
    #[cfg(unix)]
    fn case_3_system_reboot_empties_the_runtime_folder() {
        let mut first = Daemon::start();
        first.execute("CREATE TABLE kept(x)");
        first.kill9();
        fs::remove_file(first.folder().endpoint()).expect("remove the socket");
        fs::remove_file(first.folder().lock()).expect("remove the lock");

        Daemon::builder_in(first.folder()).start().execute("INSERT INTO kept VALUES (1)");
    }

    #[test]
    #[cfg(unix)]
    fn case_3_system_reboot_gives_the_old_pid_to_another_process() {
        let folder = Folder::new();
        fs::write(folder.lock(), std::process::id().to_string()).expect("write a lock file");
        let daemon = Daemon::builder_in(&folder).start();
        assert_eq!(held_by(&folder), daemon.pid().to_string());
    }

    /// On Windows one daemon a machine, whoever starts it. Here the lock's file belongs to whoever was first, and nobody else
    /// can take it.
    #[test]
    #[cfg(unix)]
    fn case_4_multiple_users() {
        if !can_make_users() {
            return;
        }
        let folder = open_folder(0o755);
        let mut first = Daemon::builder_in(&folder).start();
        let other = User::new(&[]);
        let mut daemon = other.command(program_for_all("skylinedb-daemon", &folder));
        daemon.arg(folder.path().join("theirs.db")).arg("--endpoint").arg(folder.endpoint());
        let second = run(daemon.arg("--lock-file").arg(folder.lock()), b"").failure(1);
        assert!(second.stderr.contains(STARTING), "{second:#?}");
        assert!(second.stderr.contains("Error: Failed to acquire single-instance lock"), "{second:#?}");
        assert!(first.is_running());
        first.execute("CREATE TABLE still_served(x)");
    }
}

mod testing {
    use super::*;

    #[test]
    fn test_single_instance_protection() {
        let first = Daemon::start();
        let second = start_another(first.folder()).failure(1);
        assert!(second.stderr.contains("Another daemon instance is already running!"), "{second:#?}");
    }

    #[test]
    fn test_lock_cleanup() {
        let mut first = Daemon::start();
        first.cli(["shutdown"]).success();
        first.wait();
        Daemon::builder_in(first.folder()).start();
    }

    #[test]
    fn test_crash_recovery() {
        let mut first = Daemon::start();
        first.kill9();
        Daemon::builder_in(first.folder()).start();
    }
}

mod implementation_details {
    use super::*;

    /// The lock comes after the log and before everything else: a second instance notices nothing of what is wrong with the
    /// rest, and touches none of it.
    #[test]
    fn lock_timing() {
        let first = Daemon::start();
        let folder = first.folder();
        let mut daemon = command(program("skylinedb-daemon"));
        daemon.arg(folder.path().join("deep/other.db")).arg("--lock-file").arg(folder.lock());
        #[cfg(unix)]
        daemon.arg("--endpoint").arg(folder.path().join("deep/other.sock"));
        #[cfg(windows)] // where its PID comes from
        daemon.arg("--endpoint").arg(folder.endpoint());
        assert_refused(&run(&mut daemon, b""), &first);
        assert!(!folder.path().join("deep").exists());
    }

    #[test]
    #[cfg(unix)]
    fn memory_overhead() {
        let daemon = Daemon::start();
        assert!(fs::metadata(daemon.folder().lock()).expect("the lock").len() < 100, "bytes on disk");
    }
}

#[test]
fn of_many_daemons_started_at_the_same_instant_exactly_one_serves() {
    // Wine's processes share one server, which cannot do with so many.
    const DAEMONS: usize = if cfg!(windows) { 32 } else { 200 };
    let folder = Folder::new();
    for _ in 0..3 {
        start_many_at_once(&folder, DAEMONS);
    }
}

/// Starts so many daemons at once. One serves, is then killed, and leaves its lock and its socket as they are.
fn start_many_at_once(folder: &Folder, daemons: usize) {
    let mut daemons: Vec<Daemon> = (0..daemons).map(|_| Daemon::builder_in(folder).spawn()).collect();

    let mut running = Vec::new();
    wait_until("all but one to give up", || {
        running = daemons.iter_mut().map(Daemon::is_running).collect();
        running.iter().filter(|runs| **runs).count() == 1
    });
    let mut winner = daemons.swap_remove(running.iter().position(|runs| *runs).expect("one runs"));

    winner.wait_for_log("IPC server listening");
    for daemon in &mut daemons {
        assert_eq!(daemon.wait().code(), Some(1), "{}", daemon.log());
        assert!(daemon.log().contains("Another daemon instance is already running!"), "{}", daemon.log());
        assert!(daemon.log().contains(&format!("Held by PID: {}\n", winner.pid())), "{}", daemon.log());
    }
    assert_eq!(held_by(folder), winner.pid().to_string());
    winner.execute("CREATE TABLE IF NOT EXISTS served(x); INSERT INTO served VALUES (1)");
    winner.kill9();
}

#[test]
fn a_daemon_that_dies_between_locking_and_listening_is_in_nobodys_way() {
    let folder = Folder::new();
    // Somebody writes for long: the daemon has its lock, and waits until it can open the database.
    let busy = rusqlite::Connection::open(folder.database()).expect("a database");
    busy.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t(x); BEGIN IMMEDIATE").expect("a transaction");
    let mut first = Daemon::builder_in(&folder).spawn();
    first.wait_for_log("Acquired single-instance lock");
    assert!(!endpoint_exists(&folder.endpoint()) && first.is_running());
    first.kill9();
    #[cfg(unix)]
    assert_eq!(held_by(&folder), first.pid().to_string(), "what it has left behind");

    busy.execute_batch("COMMIT").expect("the end of the transaction");
    let second = Daemon::builder_in(&folder).start();
    second.execute("INSERT INTO t VALUES (1)");
    assert_eq!(held_by(&folder), second.pid().to_string());
}

#[test]
#[cfg(unix)]
fn the_lock_file_is_never_unlinked_and_holds_only_the_pid() {
    let folder = Folder::new();
    fs::write(folder.lock(), "99999999999\n88888888888\n").expect("write a lock file");
    let inode = inode(&folder);

    let mut daemon = Daemon::builder_in(&folder).start();
    assert_eq!(fs::read_to_string(folder.lock()).expect("read the lock").trim_end(), daemon.pid().to_string());
    daemon.stop();

    assert_eq!(self::inode(&folder), inode, "the same file, before and after");
}

#[test]
#[cfg(unix)]
fn the_lock_is_not_inherited_by_programs_that_the_daemon_starts() {
    const O_CLOEXEC: u32 = 0o2_000_000;
    let daemon = Daemon::start();
    let process = format!("/proc/{}", daemon.pid());
    let descriptors = fs::read_dir(format!("{process}/fd")).expect("the daemon's descriptors");
    let lock = descriptors
        .map(|entry| entry.expect("a descriptor"))
        .find(|entry| fs::read_link(entry.path()).is_ok_and(|file| file == daemon.folder().lock()))
        .expect("the daemon has its lock open");

    let info = fs::read_to_string(format!("{process}/fdinfo/{}", lock.file_name().display())).expect("fdinfo");
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("flags in fdinfo").trim();
    assert_ne!(u32::from_str_radix(flags, 8).expect("octal flags") & O_CLOEXEC, 0, "close-on-exec");
}

#[test]
fn the_endpoint_goes_before_the_lock() {
    let mut daemon = Daemon::start();
    let lock = daemon.folder().lock();
    assert!(!is_free(&lock), "the daemon holds it");

    daemon.terminate();

    wait_until("the lock to be free", || is_free(&lock));
    assert!(!endpoint_exists(&daemon.folder().endpoint()), "whoever gets the lock finds nobody there");
    assert!(daemon.wait().success());
}

#[test]
fn help_and_version_work_while_a_daemon_runs_and_touch_nothing() {
    let daemon = Daemon::start();
    for flag in ["--help", "--version"] {
        let output = run(&mut daemon.folder().daemon_command([flag]), b"").success();
        assert!(output.stdout.contains("skylinedb-daemon"), "{output:#?}");
        assert_eq!(output.stderr, "");
    }
    assert_eq!(held_by(daemon.folder()), daemon.pid().to_string());

    let empty = Folder::new();
    run(&mut empty.daemon_command(["--help"]), b"").success();
    assert_eq!(fs::read_dir(empty.path()).expect("the folder").count(), 0);
}

#[test]
fn daemons_with_different_locks_and_sockets_live_side_by_side() {
    let daemons = [Daemon::start(), Daemon::start()];
    for daemon in &daemons {
        daemon.execute("CREATE TABLE mine(x)");
    }
}

/// Runs a second daemon with the same lock, which ends by itself.
fn start_another(folder: &Folder) -> Output {
    run(&mut folder.daemon_command::<&str>([]), b"")
}

/// The whole of what the second daemon prints, and its exit code.
#[track_caller]
fn assert_refused(second: &Output, first: &Daemon) {
    let (log, error) = second.stderr.split_once('\n').expect("a log line and an error");
    assert_eq!(untimed(log), [STARTING]);
    let expected = refusal(&first.folder().lock(), first.pid());
    assert_eq!(error, expected);
    assert_eq!(second.stdout, "");
    assert_eq!(second.code, Some(1));
}

/// The log's lines without their times, which must be RFC 3339 in UTC with milliseconds, and two spaces after.
#[track_caller]
fn untimed(log: &str) -> Vec<&str> {
    const TIME: &str = "dddd-dd-ddTdd:dd:dd.dddZ  ";
    let untimed = |line| {
        let (time, rest) = str::split_at_checked(line, TIME.len()).unwrap_or_else(|| panic!("no time in {line:?}"));
        let shape: String = time.chars().map(|char| if char.is_ascii_digit() { 'd' } else { char }).collect();
        assert_eq!(shape, TIME, "the time in {line:?}");
        rest
    };
    log.lines().map(untimed).collect()
}

/// What the lock's file says.
#[cfg(unix)]
fn held_by(folder: &Folder) -> String {
    fs::read_to_string(folder.lock()).expect("read the lock file").trim_end().to_owned()
}

/// Whose the pipe is: a mutex says nothing.
#[cfg(windows)]
fn held_by(folder: &Folder) -> String {
    support::holder(&folder.endpoint()).expect("a daemon").to_string()
}

#[cfg(unix)]
fn inode(folder: &Folder) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&fs::metadata(folder.lock()).expect("the lock file"))
}
