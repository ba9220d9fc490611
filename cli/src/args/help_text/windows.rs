//! What the command line says about pipes, mutexes, folders and the console.

pub(crate) const ENDPOINT: &str = r"The daemon's pipe: pipe:NAME, which is \\.\pipe\NAME. Without it: SKYLINEDB_ENDPOINT if it is set; else pipe:SkylineDBd-v1-user-USERNAME, then pipe:SkylineDBd-v1";
pub(crate) const ENDPOINT_VALUE: &str = "PIPE";

pub(crate) const LOCK_FILE: &str = r"The mutex that is the daemon's single-instance lock: Global\NAME or Local\NAME";
pub(crate) const LOCK_FILE_VALUE: &str = "NAME";

/// Examples of `ping`, and what its exit code means.
pub(crate) const PING_HELP: &str = "\
Examples:
  skylinedb-cli ping
  skylinedb-cli ping --format json
  skylinedb-cli --endpoint pipe:app ping --timeout 1s

Exit code 3 means that no daemon is there.";

/// Examples of `start`, and when it is done.
pub(crate) const START_HELP: &str = "\
Examples:
  skylinedb-cli start app.db
  skylinedb-cli start app.db --scope database
  skylinedb-cli start app.db --endpoint pipe:app

It is done when the daemon serves. If one runs already it says so; that is no
error, unless it has another database. Every other command starts one, too, if it
is told to: skylinedb-cli --start query \"SELECT 1\"";

/// Examples of `daemons`, and which are found.
pub(crate) const DAEMONS_HELP: &str = "\
Examples:
  skylinedb-cli daemons
  skylinedb-cli daemons --format json

Found are those of the machine, of its users and of databases, by the names of
their pipes, and the one at --endpoint or SKYLINEDB_ENDPOINT. JSON is an array.";

/// What `proxy` can do, on the list of commands.
pub(crate) const PROXY: &str = "Let clients in that cannot speak the daemon's transport, by loopback TCP";

/// How an address of the proxy is written.
pub(crate) const LISTEN_FORMS: &str = "127.0.0.1:PORT or [::1]:PORT";

pub(crate) const LISTEN: &str = "Where clients connect: 127.0.0.1:PORT or [::1]:PORT, where port 0 is any that is free";

pub(crate) const TOKEN_FILE: &str = r"A new file for the token that clients must send. Without it proxy-ADDRESS-PORT.token beside the daemon's log, in %LOCALAPPDATA%\SkylineDB";

/// Examples of `proxy`, and what it does.
pub(crate) const PROXY_HELP: &str = "\
Examples:
  skylinedb-cli proxy
  skylinedb-cli proxy --listen 127.0.0.1:7700
  skylinedb-cli --start --database app.db proxy

It is for clients whose gRPC cannot reach the daemon itself. When it listens it
prints one line of JSON, {\"listen\":\"127.0.0.1:41234\",\"token_file\":\"C:\\\\…\"}; what
else it has to say goes to standard error. Every call must have the metadata
`authorization: Bearer TOKEN`, with the token from that file, which lies in a
folder of this user. The file is made anew at each start and removed at the end.

It ends by Ctrl-C, Ctrl-Break or the console's end; calls in hand have 10 s to
finish. While no daemon is there, calls fail with UNAVAILABLE; with --start the
next call starts one. --timeout limits how long a call waits until the daemon is
reached.";
