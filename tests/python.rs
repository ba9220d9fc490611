//! The daemon from Python: grpcio, with stubs that grpcio-tools makes of `proto/` here and now. The tests themselves are
//! Python's, in `tests/python/`; each file gets a daemon of its own.
#![cfg(unix)]

mod support;

use std::process::Command;

use support::{Daemon, Proxy, python, run};

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

#[test]
fn all_through_a_proxy_over_tcp_with_the_token() {
    let daemon = Daemon::start();
    let proxy = Proxy::tcp(daemon.folder());
    for file in ["test_calls.py", "test_sessions.py", "test_errors.py", "test_proxy.py"] {
        run_through(&daemon, &proxy, file);
    }
}

#[test]
fn all_through_a_proxy_over_a_unix_socket() {
    let daemon = Daemon::start();
    let proxy = Proxy::unix(daemon.folder());
    for file in ["test_calls.py", "test_sessions.py", "test_errors.py"] {
        run_through(&daemon, &proxy, file);
    }
}

fn run_through(daemon: &Daemon, proxy: &Proxy, file: &str) {
    let mut python = script(daemon, file);
    python.env("SKYLINEDB_TEST_PROXY", proxy.listen());
    if !proxy.listen().starts_with("unix:") {
        python.env("SKYLINEDB_TEST_TOKEN_FILE", proxy.token_file());
    }
    succeed(&mut python);
}

fn run_python(file: &str) {
    let daemon = Daemon::start();
    succeed(&mut script(&daemon, file));
}

fn script(daemon: &Daemon, file: &str) -> Command {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(file);
    let mut python = python();
    python.arg(path).env("SKYLINEDB_ENDPOINT", daemon.folder().endpoint());
    python
}

fn succeed(python: &mut Command) {
    let output = run(python, b"");
    assert_eq!(output.code, Some(0), "\n{}{}", output.stdout, output.stderr);
}
