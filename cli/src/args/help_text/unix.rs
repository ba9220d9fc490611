//! What the command line says about sockets, folders and signals: on Windows there are other things.

pub(crate) const ENDPOINT: &str = "\
The daemon's socket. Without it: $SKYLINEDB_ENDPOINT if it is set; else $XDG_RUNTIME_DIR/skylinedb-v1.sock (without that \
variable $HOME/.skylinedb-v1.sock), then /var/run/skylinedb-v1.sock";
pub(crate) const ENDPOINT_VALUE: &str = "PATH";

pub(crate) const LOCK_FILE: &str = "The daemon's single-instance lock";
pub(crate) const LOCK_FILE_VALUE: &str = "PATH";

/// Examples of `ping`, and what its exit code means.
pub(crate) const PING_HELP: &str = "\
Examples:
  skylinedb-cli ping
  skylinedb-cli ping --format json
  skylinedb-cli --endpoint /run/app/skylinedb.sock ping --timeout 1s

Exit code 3 means that no daemon is there.";

/// Examples of `start`, and when it is done.
pub(crate) const START_HELP: &str = "\
Examples:
  skylinedb-cli start app.db
  skylinedb-cli start app.db --scope database
  skylinedb-cli start app.db --endpoint run/app.sock --lock-file run/app.lock

It is done when the daemon serves. If one runs already it says so; that is no
error, unless it has another database. Every other command starts one, too, if it
is told to: skylinedb-cli --start query 'SELECT 1'";

/// Examples of `daemons`, and which are found.
pub(crate) const DAEMONS_HELP: &str = "\
Examples:
  skylinedb-cli daemons
  skylinedb-cli daemons --format json

Found are those of the machine, of this user and of databases, and the one at
--endpoint or $SKYLINEDB_ENDPOINT. It asks only those that hold their lock, so it
starts none, not even where systemd listens for them. JSON is an array.";

/// What `proxy` can do, on the list of commands.
pub(crate) const PROXY: &str =
    "Let clients in that cannot speak the daemon's transport, by another socket or loopback TCP";

/// How an address of the proxy is written.
pub(crate) const LISTEN_FORMS: &str = "127.0.0.1:PORT, [::1]:PORT or unix:PATH";

pub(crate) const LISTEN: &str =
    "Where clients connect: 127.0.0.1:PORT or [::1]:PORT, where port 0 is any that is free; or unix:PATH";

pub(crate) const TOKEN_FILE: &str = "\
A new file for the token that clients over TCP must send. Without it proxy-ADDRESS-PORT.token beside the daemon's log, in \
$XDG_STATE_HOME/skylinedb or $HOME/.local/state/skylinedb";

/// Examples of `proxy`, and what it does.
pub(crate) const PROXY_HELP: &str = "\
Examples:
  skylinedb-cli proxy
  skylinedb-cli proxy --listen 127.0.0.1:7700
  skylinedb-cli proxy --listen unix:/run/user/1000/proxy.sock
  skylinedb-cli --start --database app.db proxy

It is for clients whose gRPC cannot reach the daemon itself. When it listens it
prints one line of JSON, {\"listen\":\"127.0.0.1:41234\",\"token_file\":\"/…\"}; what
else it has to say goes to standard error. Every call over TCP must have the
metadata `authorization: Bearer TOKEN`, with the token from that file, which only
this user can read. The file is made anew at each start and removed at the end. A
Unix socket needs no token: only this user can connect to it.

It ends by SIGINT (Ctrl-C) or SIGTERM; calls in hand have 10 s to finish. While no
daemon is there, calls fail with UNAVAILABLE; with --start the next call starts
one. --timeout limits how long a call waits until the daemon is reached.";
