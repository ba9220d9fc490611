//! What is of Windows alone: the pipe's name, who may open it, and whose it is.
#![cfg(windows)]

mod support;

use std::{
    fs::{self, OpenOptions},
    io,
    os::windows::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    thread,
};

use interprocess::os::windows::{
    named_pipe::{PipeListener, PipeListenerOptions, pipe_mode::Bytes},
    security_descriptor::SecurityDescriptor,
};
use skylinedb::Client;
use skylinedb_local::windows::{
    pipe::{CLIENT_ACCESS, Connection, is_busy},
    user,
};
use support::{Daemon, Folder, command, program, run};
use widestring::U16CString;
use windows_permissions::{
    constants::{AceType, SeObjectType, SecurityInformation},
    wrappers::{ConvertSidToStringSid, GetSecurityInfo},
};

const SYSTEM: &str = "S-1-5-18";
const ADMINISTRATORS: &str = "S-1-5-32-544";
const USERS: &str = "S-1-5-32-545";
const EVERYONE: &str = "S-1-1-0";
const STRANGER: &str = "S-1-5-21-1-2-3-4000";

/// Some other program's pipe.
type Foreign = PipeListener<Bytes, Bytes>;

#[test]
fn the_system_tells_whose_the_pipe_is_and_who_may_open_it() {
    let own = user::own_sid().expect("this user");
    let (owner, list) = security(&Daemon::start().folder().endpoint());
    assert_eq!(owner, own);
    assert_eq!(users(&list), [own.as_str(), SYSTEM, ADMINISTRATORS]);
}

#[test]
fn whoever_is_allowed_gets_what_a_client_needs_and_no_more() {
    let own = user::own_sid().expect("this user");
    let daemon = Daemon::builder().arg("--allow-user").arg(USERS).arg("--allow-user").arg("everyone").start();
    let (_, list) = security(&daemon.folder().endpoint());
    assert_eq!(users(&list), [own.as_str(), SYSTEM, ADMINISTRATORS, USERS, EVERYONE]);
    for (sid, access) in &list[3..] {
        assert_eq!(*access, CLIENT_ACCESS, "{sid}");
    }
    daemon.wait_for_log("every user of this machine may read and write the database");
    daemon.cli(["ping"]).success();
}

#[test]
fn a_user_who_is_not_there_is_a_clear_error() {
    let folder = Folder::new();
    let refused = run(&mut folder.daemon_command(["--allow-user", "no-such-user"]), b"").failure(1);
    assert!(refused.stderr.contains("there is no user and no group \"no-such-user\" (--allow-user)"), "{refused:#?}");
}

#[test]
fn a_pipe_of_another_program_is_not_joined() {
    let folder = Folder::new();
    let _foreign = foreign(&folder.endpoint(), "").expect("a pipe");
    let refused = run(&mut folder.daemon_command([""; 0]), b"").failure(1);
    for text in [
        "Error: Failed to acquire single-instance lock",
        "another program has a pipe of the name",
        &format!("(process {}", std::process::id()),
        "choose another --endpoint",
    ] {
        assert!(refused.stderr.contains(text), "{text}: {}", refused.stderr);
    }
    assert!(!folder.database().exists(), "it has not even made its database");
}

/// A mutex `Local\…` is a session's, and the pipe the machine's: here another name of the mutex stands for another session.
#[test]
fn a_daemon_in_another_session_of_the_user_is_running_already() {
    let mut first = Daemon::start();
    let folder = Folder::new();
    let mut second = command(program("skylinedb-daemon"));
    second.arg(folder.database()).arg("--endpoint").arg(first.folder().endpoint());
    let mutex = folder.lock().display().to_string().replace("Global", "Local");
    let refused = run(second.args(["--lock-file", &mutex]), b"").failure(1);
    for text in ["Another daemon instance is already running!", &format!("Held by PID: {}", first.pid())] {
        assert!(refused.stderr.contains(text), "{text}: {}", refused.stderr);
    }
    assert!(first.is_running());
    first.execute("CREATE TABLE still_served(x)");
}

/// Wine lets anybody make a pipe that belongs to somebody else, which Windows does not.
#[test]
fn a_client_does_not_talk_to_a_stranger_whom_nobody_has_named() {
    const INVALID_OWNER: Option<i32> = Some(1307);
    let folder = Folder::new();
    let user = folder.path().file_name().expect("a name").to_string_lossy().to_lowercase();
    let pipe = PathBuf::from(format!(r"\\.\pipe\SkylineDBd-v1-user-{user}"));
    let _foreign = match foreign(&pipe, &format!("O:{STRANGER}D:(A;;GA;;;WD)")) {
        Ok(foreign) => foreign,
        Err(error) => return assert_eq!(error.raw_os_error(), INVALID_OWNER, "{error}"),
    };
    let ping = |arguments: &[&str]| {
        let mut cli = command(program("skylinedb-cli"));
        run(cli.env("USERNAME", &user).args(["ping", "--timeout", "1s"]).args(arguments), b"")
    };
    let refused = ping(&["--scope", "user"]).failure(3);
    for text in [STRANGER, "nothing was sent"] {
        assert!(refused.stderr.contains(text), "{text}: {}", refused.stderr);
    }
    let named = ping(&["--endpoint", &pipe.to_string_lossy()]).failure(1);
    assert!(named.stderr.contains("no answer within 1s"), "it was talked to: {}", named.stderr);
}

#[test]
fn an_endpoint_is_written_in_two_ways_everywhere() {
    let folder = Folder::new();
    let name = format!("skylinedb-test-{}", folder.path().file_name().expect("a name").to_string_lossy());
    let short = format!("pipe:{name}");
    let file = folder.path().join("skylinedb.toml");
    fs::write(&file, format!("endpoint = \"{short}\"")).expect("write");
    let from_file = Daemon::builder_in(&folder).env("SKYLINEDB_CONFIG", &file);
    drop(from_file.start()); // the command line names the same pipe

    let mut print = command(program("skylinedb-daemon"));
    let printed = run(print.env("SKYLINEDB_CONFIG", &file).arg("--print-config"), b"").success().stdout;
    assert!(printed.contains(&short), "and not as a path beside the file: {printed}");

    let mut daemon = command(program("skylinedb-daemon"));
    daemon.arg(folder.database()).env("SKYLINEDB_ENDPOINT", &short);
    let _daemon = support::start(&mut daemon);
    support::wait_until("the daemon", || folder.cli(["ping"]).code == Some(0));
    for endpoint in [short.clone(), format!(r"\\.\pipe\{name}"), format!("PIPE:{}", name.to_uppercase())] {
        let mut by_option = command(program("skylinedb-cli"));
        run(by_option.args(["--endpoint", &endpoint, "ping"]), b"").success();
        let mut by_variable = command(program("skylinedb-cli"));
        run(by_variable.env("SKYLINEDB_ENDPOINT", &endpoint).arg("ping"), b"").success();
    }
    folder.cli(["shutdown"]).success();
}

#[test]
fn what_is_no_pipe_of_this_machine_is_a_clear_mistake() {
    for endpoint in [r"C:\data\app.sock", "unix:/run/app.sock", r"\\localhost\pipe\app", r"\\server\pipe\app", "pipe:"]
    {
        for name in ["skylinedb-daemon", "skylinedb-cli"] {
            let mut one = command(program(name));
            one.args(["--endpoint", endpoint]).args((name == "skylinedb-cli").then_some("ping"));
            let refused = run(&mut one, b"").failure(2);
            assert!(refused.stderr.contains("an endpoint is written pipe:NAME"), "{endpoint}: {}", refused.stderr);
        }
        let mut cli = command(program("skylinedb-cli"));
        let refused = run(cli.env("SKYLINEDB_ENDPOINT", endpoint).arg("ping"), b"").failure(3);
        assert!(refused.stderr.contains("an endpoint is written pipe:NAME"), "{endpoint}: {}", refused.stderr);
    }
}

#[test]
fn whoever_connects_is_in_the_debug_log_with_process_and_user() {
    let daemon = Daemon::builder().env("RUST_LOG", "skylinedb_daemon=debug").start();
    daemon.cli(["ping"]).success();
    let own = user::own_sid().expect("this user");
    daemon.wait_for_log(&format!("sid=\"{own}\""));
    let log = daemon.log();
    let connected = log.lines().find(|line| line.contains("connected pid=")).unwrap_or_else(|| panic!("{log}"));
    assert!(connected.contains(&own), "{connected}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_clients_at_once_all_get_in() {
    const CLIENTS: usize = 64;
    let daemon = Daemon::start();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let endpoint = daemon.folder().endpoint();
            tokio::spawn(async move { Client::connect(endpoint).await?.ping().await })
        })
        .collect();
    for client in clients {
        client.await.expect("a task").expect("an answer");
    }
}

#[test]
fn no_client_ever_meets_no_pipe() {
    const CLIENTS: usize = 8;
    const TIMES: usize = 100;
    let daemon = Daemon::start();
    let pipe = daemon.folder().endpoint();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                let _inside = runtime.enter();
                let mut connected = 0;
                while connected < TIMES {
                    match Connection::open(&pipe) {
                        Ok(_) => connected += 1,
                        Err(error) => assert!(is_busy(&error), "after {connected} connections: {error}"),
                    }
                }
            });
        }
    });
    daemon.cli(["ping"]).success();
}

#[test]
fn daemons_lists_the_one_of_this_user() {
    let folder = Folder::new();
    let user = folder.path().file_name().expect("a name").to_string_lossy().to_lowercase();
    let pipe = format!(r"\\.\pipe\SkylineDBd-v1-user-{user}");
    let mut daemon = command(program("skylinedb-daemon"));
    daemon.arg(folder.database()).args(["--endpoint", &pipe]);
    let daemon = support::start(&mut daemon);
    let list = || {
        let mut cli = command(program("skylinedb-cli"));
        run(cli.env("USERNAME", &user).args(["daemons", "--format", "json"]), b"").success().json()
    };
    let found = support::wait_for("the daemon", || {
        list().as_array().expect("a list").iter().find(|one| one["endpoint"] == pipe && one["pid"].is_u64()).cloned()
    });
    assert_eq!((found["scope"].as_str(), found["pid"].as_u64()), (Some("user"), Some(daemon.pid().into())));
    drop(daemon);
    assert!(list().as_array().expect("a list").iter().all(|one| one["endpoint"] != pipe), "it runs no more");
}

/// Makes a pipe, with a security descriptor if there is one.
fn foreign(path: &Path, sddl: &str) -> io::Result<Foreign> {
    let mut options = PipeListenerOptions::new().path(path);
    if !sddl.is_empty() {
        let sddl = U16CString::from_str(sddl).expect("no NUL");
        options.security_descriptor = Some(SecurityDescriptor::deserialize(&sddl)?);
    }
    options.create_duplex()
}

/// Whose a pipe is, and who has which access to it, as the system reports it.
fn security(pipe: &Path) -> (String, Vec<(String, u32)>) {
    let pipe = OpenOptions::new().access_mode(CLIENT_ACCESS).open(pipe).expect("the daemon's pipe");
    let what = SecurityInformation::Owner | SecurityInformation::Dacl;
    let descriptor = GetSecurityInfo(&pipe, SeObjectType::SE_KERNEL_OBJECT, what).expect("a descriptor");
    let text = |sid| ConvertSidToStringSid(sid).expect("a SID").to_string_lossy().into_owned();
    let list = descriptor.dacl().expect("an access list");
    let entries = (0..list.len()).map(|index| {
        let entry = list.get_ace(index).expect("an entry");
        assert_eq!(entry.ace_type(), AceType::ACCESS_ALLOWED_ACE_TYPE);
        (text(entry.sid().expect("whom it is about")), entry.mask().bits())
    });
    (text(descriptor.owner().expect("an owner")), entries.collect())
}

fn users(list: &[(String, u32)]) -> Vec<&str> {
    list.iter().map(|(sid, _)| sid.as_str()).collect()
}
