//! Options from the command line, the environment, a file and the defaults: which one counts, and what is said of mistakes.

mod support;

#[cfg(unix)]
use std::path::Path;
use std::{collections::BTreeMap, fs, process::Command};

use support::{Daemon, Folder, Output, command, program, run};

/// The daemon, which prints its configuration.
fn printing(folder: &Folder, file: &str) -> Command {
    let path = folder.path().join("skylinedb.toml");
    fs::write(&path, file).expect("write the file");
    let mut daemon = command(program("skylinedb-daemon"));
    daemon.current_dir(folder.path()).arg("--config").arg(path).arg("--print-config");
    daemon
}

fn print(file: &str, arguments: &[&str]) -> Output {
    run(printing(&Folder::new(), file).args(arguments), b"")
}

/// Each option's line.
fn options(output: &Output) -> BTreeMap<&str, &str> {
    let line = |line| -> Option<(&str, &str)> {
        let (key, rest) = str::split_once(line, " =")?;
        Some((key.trim_start_matches("# "), rest.trim()))
    };
    output.stdout.lines().filter_map(line).collect()
}

#[test]
fn the_command_line_comes_before_the_environment_before_the_file_before_the_default() {
    let folder = Folder::new();
    let mut daemon = printing(&folder, "\nreaders = 2\nqueue-jobs = 2\nmax-sessions = 2\n");
    daemon.env("SKYLINEDB_READERS", "3").env("SKYLINEDB_QUEUE_JOBS", "3").env("SKYLINEDB_LOG_FORMAT", "");
    let output = run(daemon.args(["--readers", "4"]), b"").success();
    let options = options(&output);
    let is = |key: &str, value: &str, source: &str| {
        let (found, comment) = options[key].split_once('#').expect("a comment");
        assert_eq!((found.trim(), comment.trim()), (value, source), "{key}");
    };
    is("readers", "4", "command line");
    is("queue-jobs", "3", "environment SKYLINEDB_QUEUE_JOBS");
    is("max-sessions", "2", &format!("{}:4", folder.path().join("skylinedb.toml").display()));
    is("max-sql-bytes", "16777216", "default");
    is("log-format", "\"text\"", "default");
    assert!(options["endpoint"].ends_with("# default: not set"), "{options:?}");
}

#[test]
fn a_truth_value_of_the_file_can_be_taken_back() {
    let file = "foreign-keys = true";
    let value = |arguments: &[&str]| options(&print(file, arguments).success())["foreign-keys"].starts_with("true");
    assert!(value(&[]) && value(&["--foreign-keys"]));
    assert!(!value(&["--foreign-keys=false"]));
    let folder = Folder::new();
    let mut daemon = printing(&folder, file);
    let output = run(daemon.env("SKYLINEDB_FOREIGN_KEYS", "false"), b"").success();
    assert!(options(&output)["foreign-keys"].starts_with("false"), "{output:#?}");
}

#[test]
fn what_is_printed_is_a_file_with_the_same_meaning() {
    let mut file = "database = \"a \\\"b\\\".db\"\nallow-attach = [\"x\", \"/y\"]\n".to_owned();
    if cfg!(unix) {
        file.push_str("socket-mode = \"0660\"\nsocket-group = 7\n");
    }
    let first = print(&file, &["--scope", "user", "--foreign-keys"]).success();
    let second = print(&first.stdout, &[]).success();
    let values = |output: &Output| -> Vec<String> {
        output.stdout.lines().map(|line| line.split(" # ").next().unwrap_or(line).trim().to_owned()).collect()
    };
    assert_eq!(values(&first), values(&second));
    let beside_the_file = if cfg!(windows) { r"\x', " } else { "/x\", \"/y\"]" };
    assert!(first.stdout.contains(beside_the_file), "relative to the file's folder: {first:#?}");
}

#[test]
fn a_mistake_in_the_file_is_named_with_its_line_and_a_way_out() {
    for (file, place, hint) in [
        ("\nidle-timeot = \"1h\"", "line 2", "did you mean \"idle-timeout\"?"),
        ("idle_timeout = \"1h\"", "line 1", "did you mean \"idle-timeout\"?"),
        ("planet = 1", "line 1", "--print-config"),
        ("[daemon]\nreaders = 1", "line 1", "there is no option \"daemon\""),
        ("readers = \"many\"", "line 1: readers", "invalid digit"),
        ("readers = 1.5", "line 1: readers", "not a float"),
        ("readers = [1]", "line 1: readers", "not a list"),
        ("allow-attach = \"/x\"", "line 1: allow-attach", "write [\"/x\"]"),
        ("idle-timeout = \"soon\"", "line 1: idle-timeout", "500ms"),
        ("max-sql-bytes = 10", "line 1: max-sql-bytes", "must be 1000 or more"),
        ("synchronous = \"ful\"", "line 1: synchronous", "'full'"),
        ("scope = \"planet\"", "line 1: scope", "database"),
        ("own-session = true", "line 1", "there is no option"),
        ("readers = ", "line 1", "TOML"),
        ("readers = 1\nreaders = 2", "line 2", "duplicate"),
    ] {
        let output = print(file, &[]).failure(1);
        assert!(output.stderr.contains("skylinedb.toml is wrong"), "{file}: {output:#?}");
        assert!(output.stderr.contains(place) && output.stderr.contains(hint), "{file}: {output:#?}");
        assert_eq!(output.stdout, "");
    }
}

#[test]
fn a_file_that_is_named_must_be_there_and_readable() {
    for path in ["not/there.toml", "/"] {
        let mut daemon = command(program("skylinedb-daemon"));
        let output = run(daemon.args(["--config", path, "--print-config"]), b"").failure(1);
        assert!(output.stderr.contains(&format!("cannot read the configuration file {path}")), "{output:#?}");
    }
    let mut daemon = command(program("skylinedb-daemon"));
    let output = run(daemon.arg("--print-config").env("SKYLINEDB_CONFIG", "not/there.toml"), b"").failure(1);
    assert!(output.stderr.contains("not/there.toml"), "{output:#?}");
}

#[test]
fn a_mistake_in_the_environment_is_named() {
    let mut daemon = command(program("skylinedb-daemon"));
    let output = run(daemon.env("SKYLINEDB_READERS", "many"), b"").failure(1);
    assert!(output.stderr.contains("environment variable SKYLINEDB_READERS is wrong"), "{output:#?}");
}

#[test]
fn a_mistake_on_the_command_line_is_a_usage_error_and_help_needs_no_file() {
    let output = print("", &["--max-value-bytes", "10"]).failure(2);
    assert!(output.stderr.contains("--max-value-bytes") && output.stderr.contains("65536 or more"), "{output:#?}");
    let folder = Folder::new();
    let mut daemon = printing(&folder, "this is wrong");
    run(daemon.arg("--help"), b"").success();
}

#[test]
fn the_starters_default_comes_last() {
    let starter = ["--default-idle-timeout", "15m"];
    let idle_timeout = |file: &str, arguments: &[&str]| {
        let output = print(file, &[&starter, arguments].concat()).success();
        options(&output)["idle-timeout"].split('#').next().unwrap_or_default().trim().to_owned()
    };
    assert_eq!(idle_timeout("", &[]), "\"15m\"");
    assert_eq!(idle_timeout("idle-timeout = \"1h\"", &[]), "\"1h\"");
    assert_eq!(idle_timeout("idle-timeout = \"1h\"", &["--idle-timeout", "2h"]), "\"2h\"");
    assert_eq!(
        options(&print("", &[]).success())["idle-timeout"].split('#').next().unwrap_or_default().trim(),
        "\"0s\""
    );
}

#[test]
fn the_daemon_runs_as_the_file_says() {
    let folder = Folder::new();
    let file = folder.path().join("skylinedb.toml");
    fs::write(&file, "max-sql-bytes = 1000\nfull = 1\n").expect("write the file");
    let broken = run(folder.daemon_command(["--config"]).arg(&file), b"").failure(1);
    assert!(broken.stderr.contains("line 2") && !folder.database().exists(), "{broken:#?}");
    fs::write(&file, "max-sql-bytes = 1000\n").expect("write the file");
    let daemon = Daemon::builder_in(&folder).arg("--config").arg(file).start();
    let long = format!("SELECT '{}'", "x".repeat(2000));
    let output = daemon.cli(["query", &long]).failure(1);
    assert!(output.stderr.contains("--max-sql-bytes"), "{output:#?}");
}

/// The example of `docs/configuration.md` has every option, with its default.
#[test]
#[cfg(unix)] // the example has the options of a socket
fn the_documented_file_is_complete() {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md")).expect("the page");
    let example = text.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the example");
    let (documented, plain) = (print(example, &[]).success(), print("", &[]).success());
    let (documented, plain) = (options(&documented), options(&plain));
    for (key, plain) in plain {
        let value = |text: &str| text.split('#').next().unwrap_or_default().trim().replace('/', "");
        let documented = documented[key];
        // A relative path is meant from the file's folder.
        assert!(value(documented).ends_with(value(plain).trim_start_matches('"')), "{key}: {documented} and {plain}");
        let line = |line: &&str| line.trim_start_matches("# ").starts_with(&format!("{key} = "));
        assert!(example.lines().any(|one| line(&one)), "{key} is not in the example");
    }
}
