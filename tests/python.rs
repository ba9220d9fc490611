//! The daemon from Python: grpcio, with stubs that grpcio-tools makes of `proto/` here and now. The tests themselves are
//! Python's, in `tests/python/`; each file gets a daemon of its own.

mod support;

use support::{Daemon, python, run};

#[test]
fn calls() {
    run_python("test_calls.py");
}

#[test]
fn sessions() {
    run_python("test_sessions.py");
}

#[test]
fn errors() {
    run_python("test_errors.py");
}

fn run_python(file: &str) {
    let daemon = Daemon::start();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(file);
    let output = run(python().arg(path).env("SKYLINEDB_ENDPOINT", daemon.folder().socket()), b"");
    assert_eq!(output.code, Some(0), "\n{}{}", output.stdout, output.stderr);
}
