//! Where the configuration is on Windows if no option says so.
#![cfg(windows)]

mod support;

use std::{fs, process::Command};

use support::{Folder, command, program, run};

/// The daemon in a folder that has the machine's and the user's own.
fn daemon(folder: &Folder) -> Command {
    let mut daemon = command(program("skylinedb-daemon"));
    daemon.current_dir(folder.path()).env("SKYLINEDB_CONFIG", ""); // an empty variable is none
    daemon.env("PROGRAMDATA", folder.path().join("machine")).env("APPDATA", folder.path().join("user"));
    daemon
}

fn write(folder: &Folder, file: &str, text: &str) {
    let file = folder.path().join(file);
    fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    fs::write(file, text).expect("a file");
}

#[test]
fn the_users_file_comes_before_the_machines_and_a_service_has_only_the_latter() {
    let folder = Folder::new();
    let value = |arguments: &[&str]| {
        let printed = run(daemon(&folder).args(arguments).arg("--print-config"), b"").success().stdout;
        printed.lines().find(|line| line.starts_with("readers = ")).expect("a line").to_owned()
    };
    let service = ["service", "install"];
    assert!(value(&[]).contains("# default") && value(&service).contains("# default"));
    write(&folder, r"machine\SkylineDB\skylinedb.toml", "readers = 5");
    for arguments in [&[][..], &service] {
        let value = value(arguments);
        assert!(value.contains("= 5") && value.contains(r"machine\SkylineDB\skylinedb.toml:1"), "{value}");
    }
    write(&folder, r"user\SkylineDB\skylinedb.toml", "readers = 6");
    assert!(value(&[]).contains(r"user\SkylineDB\skylinedb.toml:1"), "{}", value(&[]));
    assert!(value(&service).contains("= 5"), "{}", value(&service));
    let help = run(daemon(&folder).arg("--help"), b"").success().stdout;
    assert!(help.contains(r"%PROGRAMDATA%\SkylineDB\skylinedb.toml"), "{help}");
}

#[test]
fn logs_are_in_the_users_local_folder() {
    let folder = Folder::new();
    let mut cli = folder.cli_command();
    let output = run(cli.args(["start", "data.db"]).env("LOCALAPPDATA", folder.path().join("local")), b"").success();
    folder.cli(["shutdown"]).success();
    let name = folder.endpoint().file_name().expect("a name").to_string_lossy().into_owned();
    let log = folder.path().join(format!(r"local\SkylineDB\{name}.log"));
    assert!(output.stdout.contains(&log.display().to_string()), "{output:#?}");
    assert!(fs::read_to_string(log).expect("a log").contains("Daemon stopped"));
}
