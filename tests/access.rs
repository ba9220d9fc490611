//! Who may come in, with real users of this machine: `docs/access.md`, tested.
#![cfg(unix)]

mod support;

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink},
        net::UnixListener,
    },
    process::Command,
    time::Instant,
};

use support::{
    Builder, Daemon, Folder, Group, Output, User, can_make_users, open_folder, program_for_all, run, wait_until,
};

#[test]
fn by_default_other_users_are_kept_out_by_the_sockets_mode() {
    if !can_make_users() {
        return;
    }
    let stranger = User::new(&[]);
    let daemon = daemon_with(&[]);
    let output = cli_as(&stranger, &daemon, &["ping"]).failure(3);
    assert!(output.stderr.contains("Permission denied"), "{output:#?}");
    daemon.cli(["ping"]).success();
}

#[test]
fn by_default_a_socket_that_somebody_has_opened_lets_no_other_user_in() {
    if !can_make_users() {
        return;
    }
    let stranger = User::new(&[]);
    let mut daemon = daemon_with(&[]);
    fs::set_permissions(daemon.folder().endpoint(), Permissions::from_mode(0o666)).expect("open the socket");

    assert_refused(&cli_as(&stranger, &daemon, &["ping"]), &stranger);
    assert_refused(&cli_as(&stranger, &daemon, &["execute", "CREATE TABLE theirs(x)"]), &stranger);
    assert_refused(&cli_as(&stranger, &daemon, &["query", "SELECT 1"]), &stranger);
    assert_refused(&cli_as(&stranger, &daemon, &["shutdown"]), &stranger);

    assert!(daemon.is_running());
    assert_eq!(daemon.value("SELECT count(*) FROM sqlite_schema WHERE name = 'theirs'"), 0, "nothing of it was run");
    let refused = "refused a connection: its user may not come in";
    daemon.wait_for_log(refused);
    let log = daemon.log();
    let line = log.lines().find(|line| line.contains(refused)).expect("the line");
    for fact in
        ["WARN skylinedb_daemon::transport", &format!("uid={}", stranger.uid), &format!("gid={}", stranger.gid), "pid="]
    {
        assert!(line.contains(fact), "no {fact:?} in {line}");
    }
}

#[test]
fn refusals_are_logged_at_most_once_a_second() {
    const ATTEMPTS: usize = 40;
    if !can_make_users() {
        return;
    }
    let stranger = User::new(&[]);
    let daemon = daemon_with(&["--socket-mode", "0666", "--allow-uid", "0"]);
    let begin = Instant::now();
    for _ in 0..ATTEMPTS {
        assert_refused(&cli_as(&stranger, &daemon, &["ping"]), &stranger);
    }
    let most = usize::try_from(begin.elapsed().as_secs()).expect("some seconds") + 1;
    let lines = daemon.log().lines().filter(|line| line.contains("refused a connection")).count();
    assert!((1..=most).contains(&lines), "{lines} lines, and at most {most} were due:\n{}", daemon.log());
}

#[test]
fn a_socket_for_all_lets_every_user_in_and_the_log_warns_of_it() {
    if !can_make_users() {
        return;
    }
    let stranger = User::new(&[]);
    let daemon = daemon_with(&["--socket-mode", "0666"]);
    cli_as(&stranger, &daemon, &["execute", "CREATE TABLE theirs(x)"]).success();
    assert!(daemon.log().contains("every user of this machine"), "{}", daemon.log());
}

#[test]
fn a_socket_for_a_group_lets_its_members_in_and_nobody_else() {
    if !can_make_users() {
        return;
    }
    let (group, user) = (Group::new(), User::new(&[]));
    let daemon = daemon_with(&["--socket-mode", "0660", "--socket-group", &group.name]);
    let socket = fs::symlink_metadata(daemon.folder().endpoint()).expect("the socket");
    assert_eq!((socket.mode() & 0o7777, socket.gid(), socket.uid()), (0o660, group.gid, 0));

    let mut as_member = user.command_in_group(group.gid, program_for_all("skylinedb-cli", daemon.folder()));
    run(to(&daemon, &mut as_member).arg("ping"), b"").success();
    let output = cli_as(&user, &daemon, &["ping"]).failure(3);
    assert!(output.stderr.contains("Permission denied"), "{output:#?}");
}

#[test]
fn an_allowed_user_comes_in_by_name_or_uid_and_another_does_not() {
    if !can_make_users() {
        return;
    }
    let (alice, bob, carol) = (User::new(&[]), User::new(&[]), User::new(&[]));
    let uid = bob.uid.to_string();
    let daemon = daemon_with(&["--socket-mode", "0666", "--allow-uid", &alice.name, "--allow-uid", &uid]);
    cli_as(&alice, &daemon, &["execute", "CREATE TABLE hers(x)"]).success();
    cli_as(&bob, &daemon, &["ping"]).success();
    assert_refused(&cli_as(&carol, &daemon, &["ping"]), &carol);
    daemon.cli(["ping"]).success();
    assert!(!daemon.log().contains("every user of this machine"), "{}", daemon.log());
}

#[test]
fn an_allowed_group_lets_in_whose_own_it_is_and_whose_further_one_it_is() {
    if !can_make_users() {
        return;
    }
    let group = Group::new();
    let (member, owner, stranger) = (User::new(&[&group]), User::new(&[]), User::new(&[]));
    let gid = owner.gid.to_string();
    let daemon = daemon_with(&["--socket-mode", "0666", "--allow-gid", &group.name, "--allow-gid", &gid]);
    cli_as(&member, &daemon, &["ping"]).success();
    cli_as(&owner, &daemon, &["ping"]).success();
    assert_refused(&cli_as(&stranger, &daemon, &["ping"]), &stranger);
}

#[test]
fn a_daemon_of_an_ordinary_user_serves_them_and_root() {
    if !can_make_users() {
        return;
    }
    let (alice, bob) = (User::new(&[]), User::new(&[]));
    let folder = open_folder(0o755);
    let home = alice.folder_in(&folder);
    fs::set_permissions(&home, Permissions::from_mode(0o755)).expect("bob may enter it");
    let socket = home.join("daemon.sock");
    let mut daemon = alice.command(program_for_all("skylinedb-daemon", &folder));
    daemon.arg(home.join("data.db")).arg("--endpoint").arg(&socket).args(["--socket-mode", "0666", "--allow-uid", "0"]);
    let _daemon = support::start(&mut daemon);
    let cli = program_for_all("skylinedb-cli", &folder);
    let ping = |mut cli: Command| run(cli.arg("--endpoint").arg(&socket).arg("ping"), b"");
    wait_until("the daemon to answer", || ping(alice.command(&cli)).code == Some(0));
    ping(support::command(&cli)).success();
    assert_refused(&ping(bob.command(&cli)), &bob);
}

#[test]
fn the_mode_does_not_depend_on_the_umask() {
    for umask in ["0000", "0777"] {
        let folder = Folder::new();
        let daemon = folder.daemon_command(["--socket-mode", "0640"]);
        let mut shell = support::command("sh");
        shell.args(["-c", "umask $0; exec \"$@\"", umask]).arg(daemon.get_program()).args(daemon.get_args());
        let _running = support::start(shell.current_dir(folder.path()));
        wait_until("the daemon to answer", || folder.cli(["ping"]).code == Some(0));
        let mode = fs::symlink_metadata(folder.endpoint()).expect("the socket").mode();
        assert_eq!(mode & 0o7777, 0o640, "umask {umask}");
    }
}

#[test]
fn options_that_name_nobody_or_can_have_no_effect_are_refused() {
    for (arguments, code, why) in [
        (["--socket-mode", "1666"].as_slice(), 2, "0777"),
        (&["--socket-mode", "0060"], 2, "owner"),
        (&["--socket-mode", "rw"], 2, "octal"),
        (&["--socket-group", "root"], 1, "--socket-mode 0660"),
        (&["--socket-mode", "0660", "--socket-group", "no-such-group"], 1, "no group \"no-such-group\""),
        (&["--allow-uid", "no-such-user"], 1, "no user \"no-such-user\""),
        (&["--allow-gid", "no-such-group"], 1, "no group \"no-such-group\""),
    ] {
        let folder = Folder::new();
        let output = run(&mut folder.daemon_command(arguments), b"").failure(code);
        assert!(output.stderr.contains(why), "no {why:?} in {output:#?}");
        assert!(!folder.endpoint().exists() && !folder.database().exists(), "{arguments:?}");
    }
}

#[test]
fn allowing_users_whom_the_mode_keeps_out_is_said_in_the_log() {
    let daemon = Daemon::builder().arg("--allow-uid").arg("12345").start();
    assert!(daemon.log().contains("let nobody else in while the socket's mode is 0600"), "{}", daemon.log());
}

#[test]
fn a_group_that_the_daemons_user_is_not_in_is_refused_and_no_socket_stays() {
    if !can_make_users() {
        return;
    }
    let (group, user) = (Group::new(), User::new(&[]));
    let folder = open_folder(0o755);
    let home = user.folder_in(&folder);
    let mut daemon = user.command(program_for_all("skylinedb-daemon", &folder));
    daemon.arg(home.join("data.db")).arg("--endpoint").arg(home.join("daemon.sock"));
    let output = run(daemon.args(["--socket-mode", "0660", "--socket-group", &group.name]), b"").failure(1);
    for text in [&group.name, &user.name, "a member of that group", "daemon.sock"] {
        assert!(output.stderr.contains(text), "no {text:?} in {output:#?}");
    }
    assert!(!home.join("daemon.sock").exists());
}

#[test]
fn a_folder_that_others_can_write_is_refused_with_the_reason() {
    for (mode, who) in [(0o777, "every user"), (0o775, "the group")] {
        let output = start_in(&open_folder(mode)).failure(1);
        for text in [who, "can replace what lies in it", "--endpoint", "chmod go-w"] {
            assert!(output.stderr.contains(text), "no {text:?} in {output:#?}");
        }
    }
}

#[test]
fn a_folder_of_another_user_is_refused_with_the_reason() {
    if !can_make_users() {
        return;
    }
    let user = User::new(&[]);
    let folder = open_folder(0o755);
    chown(folder.path(), Some(user.uid), None).expect("give the folder away");
    let output = start_in(&folder).failure(1);
    assert!(output.stderr.contains(&format!("belongs to {} (uid {})", user.name, user.uid)), "{output:#?}");
}

#[test]
fn a_sticky_folder_for_all_will_do_and_a_stale_socket_in_it_is_replaced() {
    let folder = open_folder(0o1777);
    let mut first = Daemon::builder_in(&folder).start();
    first.kill9();
    assert!(folder.endpoint().exists(), "a kill leaves the socket's file behind");
    let log = Daemon::builder_in(&folder).start().log();
    assert_eq!(log.lines().count(), 3, "it is replaced without a word: {log}");
}

#[test]
fn a_path_where_another_user_listens_is_refused_and_left_to_them() {
    if !can_make_users() {
        return;
    }
    let squatter = User::new(&[]);
    let folder = open_folder(0o1777);
    let home = squatter.folder_in(&folder);
    let mut theirs = squatter.command(program_for_all("skylinedb-daemon", &folder));
    theirs.arg(home.join("data.db")).arg("--endpoint").arg(folder.endpoint()).arg("--lock-file").arg(home.join("lock"));
    let _theirs = support::start(&mut theirs);
    wait_until("the other daemon to answer", || folder.cli(["ping"]).code == Some(0));

    let output = start_in(&folder).failure(1);

    let owner = format!("a socket of another user, {} (uid {})", squatter.name, squatter.uid);
    for text in [&owner, "--endpoint", "daemon.sock"] {
        assert!(output.stderr.contains(text), "no {text:?} in {output:#?}");
    }
    folder.cli(["ping"]).success();
}

#[test]
fn a_dead_socket_of_another_user_is_refused_and_left_as_it_is() {
    if !can_make_users() {
        return;
    }
    let squatter = User::new(&[]);
    let folder = open_folder(0o1777);
    drop(UnixListener::bind(folder.endpoint()).expect("a socket"));
    chown(folder.endpoint(), Some(squatter.uid), None).expect("give it away");
    let output = start_in(&folder).failure(1);
    assert!(output.stderr.contains("a socket of another user"), "{output:#?}");
    assert!(fs::symlink_metadata(folder.endpoint()).expect("it is still there").file_type().is_socket());
}

#[test]
fn a_link_a_file_or_a_folder_at_the_sockets_path_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    let elsewhere = folder.path().join("elsewhere");

    symlink(&elsewhere, folder.endpoint()).expect("a link");
    let output = start_in(&folder).failure(1);
    assert!(output.stderr.contains(&format!("a symbolic link to {}", elsewhere.display())), "{output:#?}");
    assert!(!elsewhere.exists(), "nothing was made through the link");
    fs::remove_file(folder.endpoint()).expect("remove the link");

    fs::write(folder.endpoint(), "precious").expect("a file");
    let output = start_in(&folder).failure(1);
    assert!(output.stderr.contains("a file that is not a socket"), "{output:#?}");
    assert_eq!(fs::read_to_string(folder.endpoint()).expect("the file"), "precious");
    fs::remove_file(folder.endpoint()).expect("remove the file");

    fs::create_dir(folder.endpoint()).expect("a folder");
    let output = start_in(&folder).failure(1);
    assert!(output.stderr.contains("there is a folder"), "{output:#?}");
}

#[test]
fn the_debug_log_says_whose_a_session_is() {
    let folder = Folder::new();
    let mut daemon = folder.daemon_command::<&str>([]);
    let log = folder.path().join("log");
    daemon.env("RUST_LOG", "skylinedb_daemon=debug").stderr(fs::File::create(&log).expect("a log"));
    let _daemon = support::start(&mut daemon);
    wait_until("the daemon to answer", || folder.cli(["ping"]).code == Some(0));
    folder.cli(["execute", "CREATE TABLE t(x)"]).success();
    let log = fs::read_to_string(log).expect("the log");
    let uid = format!("uid={} ", rustix::process::geteuid().as_raw());
    for text in ["connected", "a session begins"] {
        let line = log.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("no {text:?} in {log}"));
        assert!(line.contains(&uid) && line.contains("pid="), "{line}");
    }
}

/// A daemon of this user whose socket's folder every user can enter.
fn daemon_with(arguments: &[&str]) -> Daemon {
    let builder = Daemon::builder_in(&open_folder(0o755));
    arguments.iter().fold(builder, |builder, argument| Builder::arg(builder, *argument)).start()
}

/// Runs a daemon that ends by itself.
fn start_in(folder: &Folder) -> Output {
    run(&mut folder.daemon_command::<&str>([]), b"")
}

/// Runs the CLI as another user, whose process has only their own group.
fn cli_as(user: &User, daemon: &Daemon, arguments: &[&str]) -> Output {
    let mut cli = user.command(program_for_all("skylinedb-cli", daemon.folder()));
    run(to(daemon, &mut cli).args(arguments), b"")
}

fn to<'a>(daemon: &Daemon, cli: &'a mut Command) -> &'a mut Command {
    cli.arg("--endpoint").arg(daemon.folder().endpoint())
}

#[track_caller]
fn assert_refused(output: &Output, user: &User) {
    assert_eq!(output.code, Some(1), "{output:#?}");
    for text in ["PEER_NOT_ALLOWED", &format!("uid {}, gid {}, pid ", user.uid, user.gid), "--allow-uid"] {
        assert!(output.stderr.contains(text), "no {text:?} in {output:#?}");
    }
}
