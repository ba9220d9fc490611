//! What `--help` prints is a document: it is read before it is changed. `SKYLINEDB_UPDATE_HELP=1 cargo test` writes it anew.

use std::{env, fs, path::Path, process::Command};

#[test]
fn help_is_as_written() {
    let file = if cfg!(windows) { "help_windows.txt" } else { "help.txt" };
    let path = &Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).join(file);
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_skylinedb-daemon"));
    daemon.arg("--help").env_remove("COLUMNS").env_remove("SKYLINEDB_ENDPOINT").env_remove("SKYLINEDB_LOCK_FILE");
    let output = daemon.output().expect("run the daemon");
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    if env::var_os("SKYLINEDB_UPDATE_HELP").is_some() {
        fs::write(path, &printed).expect("write the help");
    }
    assert_eq!(printed, fs::read_to_string(path).unwrap_or_default(), "{} has another help", path.display());
}
