//! The foreign clients: grpcurl and Python's grpcio, which `scripts/tools` installs.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use tempfile::TempDir;

use super::process::{command, run};

/// Where `scripts/tools` puts what it installs.
const INSTALLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin");

/// grpcurl, as installed or from the PATH.
pub(crate) fn grpcurl() -> Command {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut files =
        [PathBuf::from(INSTALLED)].into_iter().chain(env::split_paths(&path)).map(|folder| folder.join("grpcurl"));
    let found = files.find(|file| file.is_file());
    command(found.unwrap_or_else(|| panic!("there is no grpcurl: run ./scripts/test or ./scripts/tools")))
}

/// A tool of systemd's, or `None` where that is not and cannot be installed: then says that the test is skipped.
pub(crate) fn systemd(tool: &str) -> Option<Command> {
    if run(command("sh").args(["-c", "command -v \"$0\"", tool]), b"").code == Some(0) {
        return Some(command(tool));
    }
    assert!(!rustix::process::geteuid().is_root(), "there is no {tool}: run ./scripts/test or ./scripts/tools as root");
    eprintln!("skipped: there is no {tool} (Debian's package systemd); CI has it");
    None
}

/// A Python that has grpcio, with the stubs made of `proto/` and the tests of `tests/python/` on its path.
pub(crate) fn python() -> Command {
    static STUBS: OnceLock<TempDir> = OnceLock::new();
    let stubs = STUBS.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        make_stubs(folder.path());
        folder
    });
    let mut python = command(interpreter());
    python.arg("-B").env("PYTHONPATH", stubs.path()).env("PYTHONUNBUFFERED", "1");
    python
}

/// The installed Python, or the one that `SKYLINEDB_TEST_PYTHON` names.
fn interpreter() -> PathBuf {
    let named = env::var_os("SKYLINEDB_TEST_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| Path::new(INSTALLED).join("python"));
    assert!(python.is_file(), "there is no Python with grpcio: run ./scripts/test or ./scripts/tools");
    python
}

/// As a Python programmer does it: grpcio-tools over the .proto files.
fn make_stubs(folder: &Path) {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let files =
        proto.join("skylinedb/v1").read_dir().expect("proto/skylinedb/v1").map(|entry| entry.expect("a file").path());
    let mut protoc = command(interpreter());
    protoc.args(["-m", "grpc_tools.protoc"]).arg("--proto_path").arg(&proto);
    protoc.arg("--python_out").arg(folder).arg("--grpc_python_out").arg(folder).args(files);
    run(&mut protoc, b"").success();
}
