//! What `--help` prints is a document: it is read before it is changed. `SKYLINEDB_UPDATE_HELP=1 cargo test` writes it anew.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

/// Where the documents are.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/help");
/// An endpoint where nobody listens.
const MISSING: &str = if cfg!(windows) { r"\\.\pipe\skylinedb-not-there" } else { "/not/there/skylinedb.sock" };

#[test]
fn help_is_as_written() {
    let folder = Path::new(FOLDER).join(if cfg!(windows) { "windows" } else { "" });
    for command in ["", "ping", "execute", "query", "import", "start", "daemons", "shutdown", "proxy", "bench"] {
        let file = if command.is_empty() { "help.txt".to_owned() } else { format!("{command}.txt") };
        let path = folder.join(file);
        let printed = run(command.split_whitespace().chain(["--help"]), 0);
        if env::var_os("SKYLINEDB_UPDATE_HELP").is_some() {
            fs::write(&path, &printed).expect("write the help");
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(printed, written, "{} has another help", path.display());
    }
}

#[test]
fn a_mistake_on_the_command_line_is_exit_code_2() {
    for arguments in [
        vec![],
        vec!["no-such-command"],
        vec!["execute", "--no-such-option"],
        vec!["execute", "SELECT 1", "--file", "a.sql"],
        vec!["execute", "SELECT 1; SELECT 2", "-p", "1"],
        vec!["execute", "SELECT ?, :a", "-p", "1", "-p", "a=1"],
        vec!["execute", "SELECT 'a"],
        vec!["execute", "--file", "/not/there.sql"],
        vec!["execute", "--each", "--request-id", "a", "SELECT 1; SELECT 2"],
        vec!["query", "SELECT 1; SELECT 2"],
        vec!["query", "-- nothing"],
        vec!["query", "SELECT ?", "-p", "int:x"],
        vec!["ping", "--timeout", "soon"],
    ] {
        run(arguments.into_iter(), 2);
    }
}

#[test]
fn without_a_daemon_it_is_exit_code_3_and_says_where_it_looked() {
    for command in [&["ping"][..], &["execute", "SELECT 1"], &["query", "SELECT 1"], &["shutdown"]] {
        let message = run(command.iter().copied().chain(["--endpoint", MISSING]), 3);
        assert!(message.starts_with("Error: ") && message.contains(MISSING), "{message}");
        assert!(message.contains("skylinedb-cli start"), "{message}");
    }
}

/// What it printed, to standard output or else to standard error.
fn run<'a>(arguments: impl Iterator<Item = &'a str>, code: i32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skylinedb-cli"));
    command.args(arguments).stdin(Stdio::null()).env_remove("COLUMNS").env_remove("SKYLINEDB_ENDPOINT");
    let output = command.output().expect("run the CLI");
    assert_eq!(output.status.code(), Some(code), "{command:?}: {output:?}");
    let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8(said).expect("UTF-8")
}
