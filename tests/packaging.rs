//! The Debian package: made of the built programs, installed on this machine, tried, removed and purged.
#![cfg(unix)]

mod support;

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use support::{Folder, Output, can_make_users, command, run, systemd};

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");
const CONFIGURATION: &str = "/etc/skylinedb/skylinedb.toml";
/// Made when the package is installed, and not removed with it: it may be in use.
const LOCK: &str = "/run/skylinedb-v1.lock";

/// Takes off the machine what a test has put there, if the test does not come to do so.
struct Cleanup {
    had_lock: bool,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        dpkg(["--purge", "skylinedb"]);
        run(command("userdel").arg("skylinedb"), b"");
        if !self.had_lock {
            fs::remove_file(LOCK).ok();
        }
    }
}

fn dpkg<const N: usize>(arguments: [&str; N]) -> Output {
    run(command("dpkg").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"), b"")
}

fn sh(script: &str) -> Output {
    run(command("bash").args(["-c", script]), b"")
}

/// The package of the programs as they were built for the tests.
fn make(folder: &Path) -> PathBuf {
    let mut package = Command::new(format!("{REPOSITORY}/scripts/package"));
    let printed = run(package.arg("--no-build").arg(folder), b"").success().stdout;
    PathBuf::from(printed.trim())
}

#[test]
fn the_package_is_installed_and_used_and_removed_without_a_trace_but_the_data() {
    if !can_make_users() || sh("command -v dpkg").code != Some(0) {
        eprintln!("skipped: a package is installed by root, on Debian");
        return;
    }
    // One at a time on this machine: another checkout's tests may do the same.
    let turn = fs::File::create(std::env::temp_dir().join("skylinedb-packaging-test.lock")).expect("a lock");
    turn.lock().expect("our turn");
    let found = dpkg(["--status", "skylinedb"]).stdout;
    assert!(!found.contains("ok installed"), "skylinedb is installed here already, and is left alone");
    let folder = Folder::new();
    let package = make(folder.path());
    let _cleanup = Cleanup { had_lock: Path::new(LOCK).exists() };
    dpkg(["--install", package.to_str().expect("UTF-8")]).success();

    // The programs, and what belongs to them.
    for program in ["skylinedb-daemon", "skylinedb-cli"] {
        let version = run(Command::new(format!("/usr/bin/{program}")).arg("--version"), b"").success().stdout;
        assert_eq!(version, format!("{program} {}\n", env!("CARGO_PKG_VERSION")));
        let page = sh(&format!("zcat -f /usr/share/man/man1/{program}.1*")).success().stdout;
        assert!(page.contains(".TH") && page.contains(program), "{page}");
        sh(&format!(". /usr/share/bash-completion/completions/{program} && complete -p {program}")).success();
        assert!(Path::new(&format!("/usr/share/zsh/vendor-completions/_{program}")).is_file());
        assert!(Path::new(&format!("/usr/share/fish/vendor_completions.d/{program}.fish")).is_file());
    }
    for page in ["ping", "execute", "query", "import", "start", "daemons", "shutdown", "bench"] {
        sh(&format!("zcat -f /usr/share/man/man1/skylinedb-cli-{page}.1* | grep -q '^.SH EXTRA'")).success();
    }
    assert!(Path::new("/usr/share/skylinedb/proto/skylinedb/v1/skylinedb.proto").is_file());
    let configured =
        Command::new("/usr/bin/skylinedb-daemon").args(["--config", CONFIGURATION, "--print-config"]).output();
    assert!(configured.expect("run").status.success());

    // The user, and the lock that only they can hold.
    let uid: u32 = sh("id --user skylinedb").success().stdout.trim().parse().expect("a uid");
    if systemd("systemd-tmpfiles").is_some() {
        let lock = fs::metadata(LOCK).expect("the lock");
        assert_eq!((lock.uid(), lock.mode() & 0o777), (uid, 0o600));
    }

    // The units, as they lie there now.
    if let Some(mut analyze) = systemd("systemd-analyze") {
        analyze.args(["verify", "--man=no"]).args(units("system"));
        let verified = run(&mut analyze, b"").success();
        assert!(!verified.stderr.contains("skylinedb"), "{verified:#?}");
    }
    if let Some(mut analyze) = systemd("systemd-analyze") {
        analyze.args(["--user", "verify", "--man=no"]).args(units("user")).env("XDG_RUNTIME_DIR", folder.path());
        let verified = run(&mut analyze, b"").success();
        assert!(!verified.stderr.contains("skylinedb"), "{verified:#?}");
    }
    if let Some(mut analyze) = systemd("systemd-analyze") {
        // In tenths; 100 is a service that is not kept from anything.
        analyze.args(["security", "--offline=true", "--threshold=10"]).arg(&units("system")[0]);
        run(&mut analyze, b"").success();
    }

    dpkg(["--remove", "skylinedb"]).success();
    for gone in ["/usr/bin/skylinedb-daemon", "/usr/bin/skylinedb-cli", &units("system")[0], &units("user")[1]] {
        assert!(!Path::new(gone).exists(), "{gone} is still there");
    }
    assert!(Path::new(CONFIGURATION).exists(), "what the administrator has written is theirs");
    dpkg(["--purge", "skylinedb"]).success();
    assert!(!Path::new(CONFIGURATION).exists());
}

/// Where the package has put its service and its socket.
fn units(of: &str) -> [String; 2] {
    ["service", "socket"].map(|kind| {
        let places = ["/lib", "/usr/lib"].map(|lib| format!("{lib}/systemd/{of}/skylinedb.{kind}"));
        let found = places.iter().find(|path| Path::new(path).exists());
        found.unwrap_or(&places[1]).clone()
    })
}
