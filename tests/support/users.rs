//! Real users and groups of this machine, made for a test and removed after it. Only root can do that.

use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{
    daemon::Folder,
    process::{command, program, run},
    wait_for,
};

/// Whether this test can make users. If it cannot, says that the test is skipped.
pub(crate) fn can_make_users() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only root can make users; CI runs as root");
    }
    is_root
}

/// A user with a group of the same name.
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A group.
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) gid: u32,
}

impl User {
    /// A new user, in these groups beside their own.
    pub(crate) fn new(groups: &[&Group]) -> Self {
        let name = unique_name();
        let groups: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
        let mut arguments = vec!["--system", "--user-group", "--no-create-home"];
        let groups = groups.join(",");
        if !groups.is_empty() {
            arguments.extend(["--groups", &groups]);
        }
        change_users("useradd", &[&arguments[..], &[&name]].concat());
        let id = |option: &str| -> u32 {
            run(command("id").args([option, name.as_str()]), b"").success().stdout.trim().parse().expect("a number")
        };
        Self { uid: id("--user"), gid: id("--group"), name }
    }

    /// A program run as this user, whose process has only their own group.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut setpriv = self.setpriv();
        setpriv.arg("--clear-groups").arg(program);
        setpriv
    }

    /// A program run as this user, whose process has this group, too.
    pub(crate) fn command_in_group(&self, gid: u32, program: impl AsRef<OsStr>) -> Command {
        let mut setpriv = self.setpriv();
        setpriv.arg(format!("--groups={gid}")).arg(program);
        setpriv
    }

    /// A new folder of this user in a folder that they can reach.
    pub(crate) fn folder_in(&self, folder: &Folder) -> PathBuf {
        let own = folder.path().join(&self.name);
        fs::create_dir(&own).expect("make a folder");
        std::os::unix::fs::chown(&own, Some(self.uid), Some(self.gid)).expect("give it away");
        own
    }

    fn setpriv(&self) -> Command {
        let mut setpriv = command("setpriv");
        setpriv.arg(format!("--reuid={}", self.uid)).arg(format!("--regid={}", self.gid));
        setpriv.current_dir("/");
        setpriv
    }
}

impl Drop for User {
    fn drop(&mut self) {
        change_users("userdel", &[&self.name]);
    }
}

impl Group {
    pub(crate) fn new() -> Self {
        let name = unique_name();
        change_users("groupadd", &["--system", &name]);
        let entry = run(command("getent").args(["group", &name]), b"").success().stdout;
        let gid = entry.trim().split(':').nth(2).and_then(|gid| gid.parse().ok()).expect("a gid");
        Self { name, gid }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        change_users("groupdel", &[&self.name]);
    }
}

/// A folder that every user can enter, with this mode.
pub(crate) fn open_folder(mode: u32) -> Folder {
    let folder = Folder::new();
    fs::set_permissions(folder.path(), Permissions::from_mode(mode)).expect("the folder's mode");
    folder
}

/// A built program where every user can run it: where it is, or else a copy in a folder that they can reach.
pub(crate) fn program_for_all(name: &str, folder: &Folder) -> PathBuf {
    let built = program(name);
    let mode = |path: &Path| fs::metadata(path).expect("a folder of the program").mode();
    if built.ancestors().all(|path| mode(path) & 0o001 != 0) {
        return built;
    }
    let copy = folder.path().join(name);
    if !copy.exists() {
        fs::copy(&built, &copy).expect("copy a program");
    }
    copy
}

/// Unique on the machine while this process lives, and short enough for a user's name.
fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("skytest{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Only one program at a time may change the machine's users; others are told to try again.
fn change_users(program: &str, arguments: &[&str]) {
    wait_for("the machine's list of users", || {
        let output = run(command(program).args(arguments), b"");
        let is_busy = output.stderr.contains("try again") || output.stderr.contains("cannot lock");
        if !is_busy {
            assert_eq!(output.code, Some(0), "{program} {arguments:?}: {output:#?}");
        }
        (!is_busy).then_some(())
    });
}
