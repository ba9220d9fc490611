//! The lock's file, when it is not as a daemon leaves it: each is a clear error, or a clean start.
#![cfg(unix)]

mod support;

use std::{
    fs::{self, Permissions},
    io::{BufRead, BufReader},
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use support::{Daemon, Folder, Output, User, can_make_users, open_folder, program_for_all, run, wait_until};

/// What every such error must have: the file, and what to do.
const WHAT_TO_DO: &str = "--lock-file";

#[test]
fn a_file_of_another_user_is_refused_whoever_starts_the_daemon() {
    if !can_make_users() {
        return;
    }
    let (owner, user) = (User::new(&[]), User::new(&[]));
    let folder = open_folder(0o1777);
    fs::write(folder.lock(), "12345\n").expect("a lock file");
    fs::set_permissions(folder.lock(), Permissions::from_mode(0o600)).expect("its mode");
    chown(folder.lock(), Some(owner.uid), Some(owner.gid)).expect("give it away");
    let belongs = format!("belongs to {} (uid {})", owner.name, owner.uid);

    for output in [start_as(&user, &folder), start_in(&folder)] {
        assert_says(&output, &folder.lock(), &[&belongs, WHAT_TO_DO]);
    }
    assert_eq!(fs::read_to_string(folder.lock()).expect("the file"), "12345\n", "it is left as it is");
}

#[test]
fn a_file_of_root_is_refused_to_other_users() {
    if !can_make_users() {
        return;
    }
    let user = User::new(&[]);
    let folder = open_folder(0o755);
    Daemon::builder_in(&folder).start().stop();
    let output = start_as(&user, &folder);
    assert_says(&output, &folder.lock(), &["belongs to root (uid 0)", &user.name, WHAT_TO_DO]);
}

#[test]
fn a_lock_that_another_user_holds_is_said_to_be_theirs() {
    if !can_make_users() {
        return;
    }
    let squatter = User::new(&[]);
    let folder = open_folder(0o1777);
    let pid = std::process::id().to_string();
    let mut holder = squatter.command("sh");
    holder.args(["-c", "echo $1 > $0 && exec flock --no-fork $0 sh -c 'echo held; exec sleep infinity'"]);
    let mut holder = support::start(holder.arg(folder.lock()).arg(&pid));
    let mut held = String::new();
    BufReader::new(holder.stdout()).read_line(&mut held).expect("the holder speaks");
    assert_eq!(held, "held\n");

    let output = start_in(&folder);

    let owner = format!("The lock file belongs to {} (uid {})", squatter.name, squatter.uid);
    let held_by = format!("Held by PID: {pid}");
    let texts = ["Another daemon instance is already running!", &held_by, &owner, WHAT_TO_DO];
    assert_says(&output, &folder.lock(), &texts);
}

#[test]
fn other_users_cannot_hold_the_lock_of_a_daemon() {
    if !can_make_users() {
        return;
    }
    let user = User::new(&[]);
    let folder = open_folder(0o755);
    fs::write(folder.lock(), "").expect("a lock file as older daemons made it");
    fs::set_permissions(folder.lock(), Permissions::from_mode(0o644)).expect("its mode");
    Daemon::builder_in(&folder).start().stop();

    assert_eq!(fs::metadata(folder.lock()).expect("the file").mode() & 0o7777, 0o600);
    let output = run(user.command("flock").arg("--nonblock").arg(folder.lock()).arg("true"), b"");
    assert!(output.code != Some(0) && output.stderr.contains("Permission denied"), "{output:#?}");
}

#[test]
fn a_link_is_refused_and_nothing_is_made_or_changed_through_it() {
    for content in [Some("12345"), None] {
        let folder = Folder::new();
        let target = folder.path().join("target");
        if let Some(content) = content {
            fs::write(&target, content).expect("a file");
        }
        symlink(&target, folder.lock()).expect("a link");
        let link = format!("a symbolic link to {}", target.display());
        assert_says(&start_in(&folder), &folder.lock(), &[&link, WHAT_TO_DO]);
        assert_eq!(fs::read_to_string(&target).ok().as_deref(), content);
    }
}

#[test]
fn a_folder_is_refused() {
    let folder = Folder::new();
    fs::create_dir(folder.lock()).expect("a folder");
    assert_says(&start_in(&folder), &folder.lock(), &["is a folder", WHAT_TO_DO]);
    assert!(folder.lock().is_dir());
}

#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let folder = Folder::new();
    run(support::command("mkfifo").arg(folder.lock()), b"").success();
    assert_says(&start_in(&folder), &folder.lock(), &["a device or a pipe", WHAT_TO_DO]);
}

#[test]
fn a_file_that_holds_more_than_a_pid_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    fs::write(folder.lock(), "precious 12345").expect("a file");
    fs::set_permissions(folder.lock(), Permissions::from_mode(0o644)).expect("its mode");
    assert_says(&start_in(&folder), &folder.lock(), &["is not a lock file", WHAT_TO_DO]);
    assert_eq!(fs::read_to_string(folder.lock()).expect("the file"), "precious 12345");
    assert_eq!(fs::metadata(folder.lock()).expect("the file").mode() & 0o7777, 0o644);
}

#[test]
fn a_file_full_of_old_digits_is_a_clean_start() {
    for digits in ["7".repeat(100_000), "99999999999999999999\n".repeat(1_000), "1".repeat(33), "\n\n".to_owned()] {
        let folder = Folder::new();
        fs::write(folder.lock(), &digits).expect("a lock file");
        let daemon = Daemon::builder_in(&folder).start();
        assert_eq!(fs::read_to_string(folder.lock()).expect("the file"), format!("{}\n", daemon.pid()));
        daemon.cli(["ping"]).success();
    }
}

#[test]
fn a_read_only_file_system_is_refused_with_the_reason() {
    if !can_make_users() {
        return;
    }
    // In a mount namespace of its own, so that nobody else sees the file system and it goes with the daemon.
    let unshare = |script: &str, folder: &Folder| {
        let daemon = folder.daemon_command::<&str>([]);
        let mut shell = support::command("unshare");
        shell
            .args(["--mount", "sh", "-c", script])
            .arg(folder.path())
            .arg(daemon.get_program())
            .args(daemon.get_args());
        run(shell.current_dir("/"), b"")
    };
    if unshare("mount -t tmpfs tmpfs $0", &Folder::new()).code != Some(0) {
        eprintln!("skipped: this machine does not allow mounting");
        return;
    }
    for prepare in ["true", "echo 1 > $0/daemon.lock"] {
        let folder = Folder::new();
        let script = format!("mount -t tmpfs tmpfs $0 && {prepare} && mount -o remount,ro $0 && exec \"$@\"");
        assert_says(&unshare(&script, &folder), &folder.lock(), &["its file system is read-only", WHAT_TO_DO]);
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = Folder::new();
    fs::write(folder.path().join("file"), "").expect("a file");
    let lock = folder.path().join("file/x.lock");
    let mut daemon = support::command(support::program("skylinedb-daemon"));
    daemon.arg(folder.database()).arg("--endpoint").arg(folder.endpoint()).arg("--lock-file").arg(&lock);
    assert_says(&run(&mut daemon, b""), &folder.path().join("file"), &["cannot make", WHAT_TO_DO]);
}

#[test]
fn no_child_would_inherit_the_lock_the_socket_a_connection_or_the_database() {
    const O_CLOEXEC: u32 = 0o2_000_000;
    let daemon = Daemon::start();
    daemon.execute("CREATE TABLE t(x)");
    let _connected = std::os::unix::net::UnixStream::connect(daemon.folder().endpoint()).expect("connect");
    let process = PathBuf::from(format!("/proc/{}", daemon.pid()));
    // What the daemon has from whoever runs this test is not its own.
    let inherited: Vec<PathBuf> = open_files(Path::new("/proc/self")).into_iter().map(|(_, file)| file).collect();
    let open = || open_files(&process).into_iter().filter(|(_, file)| !inherited.contains(file)).collect::<Vec<_>>();
    let is_socket = |file: &Path| file.to_string_lossy().starts_with("socket:");
    wait_until("the connection to be accepted", || open().iter().filter(|(_, file)| is_socket(file)).count() >= 2);

    let mut seen = Vec::new();
    for (number, file) in open() {
        // A descriptor may have been closed since: a connection of the CLI's, say.
        let Ok(info) = fs::read_to_string(process.join("fdinfo").join(&number)) else { continue };
        if ["0", "1", "2"].contains(&number.as_str()) {
            continue; // a child may have those
        }
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("flags in fdinfo").trim();
        let flags = u32::from_str_radix(flags, 8).expect("octal flags");
        assert_ne!(flags & O_CLOEXEC, 0, "{} is not close-on-exec", file.display());
        seen.push(file);
    }
    let folder = daemon.folder();
    for file in [folder.lock(), folder.database(), folder.wal()] {
        assert!(seen.contains(&file), "{} is not open: {seen:?}", file.display());
    }
    assert!(seen.iter().filter(|file| is_socket(file)).count() >= 2, "{seen:?}");
}

/// A process's descriptors, and what they are of.
fn open_files(process: &Path) -> Vec<(String, PathBuf)> {
    let descriptors = fs::read_dir(process.join("fd")).expect("the process's descriptors");
    let number = |path: &Path| path.file_name().expect("a number").to_string_lossy().into_owned();
    let paths = descriptors.map(|entry| entry.expect("a descriptor").path());
    paths.filter_map(|path| Some((number(&path), fs::read_link(&path).ok()?))).collect()
}

/// Runs a daemon that ends by itself.
fn start_in(folder: &Folder) -> Output {
    run(&mut folder.daemon_command::<&str>([]), b"")
}

/// The same as another user, whose process has only their own group.
fn start_as(user: &User, folder: &Folder) -> Output {
    let daemon = folder.daemon_command::<&str>([]);
    run(user.command(program_for_all("skylinedb-daemon", folder)).args(daemon.get_args()), b"")
}

#[track_caller]
fn assert_says(output: &Output, file: &Path, texts: &[&str]) {
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.stderr.contains("Error: Failed to acquire single-instance lock\n\nCaused by:\n"), "{output:#?}");
    assert!(output.stderr.contains(&file.display().to_string()), "it names the file: {output:#?}");
    for text in texts {
        assert!(output.stderr.contains(text), "no {text:?} in {output:#?}");
    }
}
