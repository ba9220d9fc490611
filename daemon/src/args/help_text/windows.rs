//! What the command line says about pipes, mutexes and the console.

/// What the program does.
pub(crate) const ABOUT: &str =
    "Owns an SQLite database and serves it to every program of this machine, over a named pipe";

pub(crate) const SCOPE: &str =
    "Who shares this daemon: it decides what its pipe and its mutex are called. Without it the machine";

pub(crate) const ENDPOINT: &str = r"The pipe to listen on, whatever the scope: pipe:NAME, which is \\.\pipe\NAME";
pub(crate) const ENDPOINT_VALUE: &str = "PIPE";

pub(crate) const LOCK_FILE: &str = "\
The mutex that is the single-instance lock: Global\\NAME, or Local\\NAME for one of this session. Without it that of the \
scope or of the pipe";
pub(crate) const LOCK_FILE_VALUE: &str = "NAME";

pub(crate) const CONFIG: &str = "\
The configuration file. Without it %APPDATA%\\SkylineDB\\skylinedb.toml or, if that is not there, \
%PROGRAMDATA%\\SkylineDB\\skylinedb.toml, if it is there; for a service only the latter";

pub(crate) const EXAMPLE: &str = "app.db --endpoint pipe:app";
pub(crate) const EXAMPLE_WITH_LOG: &str = "cmd /c \"set RUST_LOG=skylinedb=debug&& skylinedb-daemon app.db\"";

pub(crate) const END: &str = "\
It runs until Ctrl-C, Ctrl-Break, the console's end or `skylinedb-cli shutdown`:
then it finishes the work in hand, empties the write-ahead log and ends. A second
Ctrl-C cuts the work short. `skylinedb-daemon service --help` says how it runs as
a Windows service.";

/// What the log says when the user's scope was chosen.
pub(crate) const USER_SCOPE: &str = "user scope: other users have daemons of their own";

/// Why a scope has no places.
pub(crate) const NO_PLACES: &str = "cannot tell where to listen: USERNAME is not set; give --endpoint";
