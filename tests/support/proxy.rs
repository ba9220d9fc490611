//! A real `skylinedb-cli proxy` in front of a daemon.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{ChildStdout, Command, ExitStatus},
};

use rustix::process::Signal;
use skylinedb::Client;

use super::{
    daemon::Folder,
    platform::peak_rss_bytes,
    process::{Output, Running, run, start},
    tools::grpcurl,
};

/// A proxy that listens; killed when it is dropped.
pub(crate) struct Proxy {
    running: Running,
    /// Kept, so that it could print more.
    stdout: BufReader<ChildStdout>,
    listen: String,
    token_file: Option<PathBuf>,
}

impl Proxy {
    /// One on a Unix socket in this folder, for the daemon there.
    #[track_caller]
    pub(crate) fn unix(folder: &Folder) -> Self {
        let mut listen = OsString::from("unix:");
        listen.push(Self::socket_in(folder));
        Self::start(folder, [OsStr::new("--listen"), &listen])
    }

    /// One on a free port of the loopback interface.
    #[track_caller]
    pub(crate) fn tcp(folder: &Folder) -> Self {
        Self::start(folder, [""; 0])
    }

    /// Starts one with these arguments and waits until it says where it listens.
    #[track_caller]
    pub(crate) fn start<S: AsRef<OsStr>>(folder: &Folder, arguments: impl IntoIterator<Item = S>) -> Self {
        Self::start_command(Self::command(folder).args(arguments))
    }

    #[track_caller]
    pub(crate) fn start_command(command: &mut Command) -> Self {
        let mut running = start(command);
        let mut stdout = BufReader::new(running.stdout());
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        let facts: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in the line {line:?} of {command:?}"));
        let fact = |name: &str| facts.get(name).map(|fact| fact.as_str().expect("a text").to_owned());
        let listen = fact("listen").expect("where it listens");
        Self { running, stdout, listen, token_file: fact("token_file").map(PathBuf::from) }
    }

    /// The command that starts one; the user's state folder is in this folder, too.
    pub(crate) fn command(folder: &Folder) -> Command {
        let mut command = folder.cli_command();
        command.env("XDG_STATE_HOME", folder.path().join("state")).arg("proxy");
        command
    }

    /// Where `unix` listens.
    pub(crate) fn socket_in(folder: &Folder) -> PathBuf {
        folder.path().join("proxy.sock")
    }

    /// Where it listens, as it says itself, which is how gRPC's C core takes it.
    pub(crate) fn listen(&self) -> &str {
        &self.listen
    }

    /// The Unix socket that it listens on.
    #[track_caller]
    pub(crate) fn socket(&self) -> &Path {
        Path::new(self.listen.strip_prefix("unix:").expect("a Unix socket"))
    }

    #[track_caller]
    pub(crate) fn token_file(&self) -> &Path {
        self.token_file.as_deref().expect("it has a token")
    }

    /// What its token file has.
    #[track_caller]
    pub(crate) fn token(&self) -> String {
        fs::read_to_string(self.token_file()).expect("the token file")
    }

    /// A client of the library, through it.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.socket()).await.expect("connect to the proxy")
    }

    /// Runs grpcurl through it, with the token if it needs one.
    pub(crate) fn grpcurl(&self, flags: &[&str], what: &[&str]) -> Output {
        if self.token_file.is_none() {
            return self.grpcurl_with(&[], flags, what);
        }
        let header = format!("authorization: Bearer {}", self.token());
        self.grpcurl_with(&["-H", &header], flags, what)
    }

    /// Runs grpcurl through it with these further flags instead of the token.
    pub(crate) fn grpcurl_with(&self, instead: &[&str], flags: &[&str], what: &[&str]) -> Output {
        let mut grpcurl = grpcurl();
        grpcurl.arg("-plaintext").args(instead).args(flags);
        match self.listen.strip_prefix("unix:") {
            Some(path) => grpcurl.args(["-unix", path]),
            None => grpcurl.arg(&self.listen),
        };
        run(grpcurl.args(what), b"")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.running.signal(signal);
    }

    /// Waits for its end. Returns what it has printed since it said where it listens.
    pub(crate) fn wait(&mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("UTF-8");
        (self.running.wait(), rest)
    }

    /// SIGTERM, and waits for a clean end.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        let (status, rest) = self.wait();
        assert!(status.success() && rest.is_empty(), "{status} {rest:?}");
    }

    pub(crate) fn peak_rss_bytes(&self) -> usize {
        peak_rss_bytes(self.running.pid())
    }
}
