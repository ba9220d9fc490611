//! What the command line says about sockets, lock files and signals: on Windows there are other things.

/// What the program does.
pub(crate) const ABOUT: &str =
    "Owns an SQLite database and serves it to every program of this machine, over a Unix domain socket";

pub(crate) const SCOPE: &str = "\
Who shares this daemon: it decides where its lock and its socket lie. Without it the machine where /var/run can be \
written, else the user";

pub(crate) const ENDPOINT: &str = "The socket to listen on, whatever the scope";
pub(crate) const ENDPOINT_VALUE: &str = "PATH";

pub(crate) const LOCK_FILE: &str = "The single-instance lock. Without it beside the socket, but .lock instead of .sock";
pub(crate) const LOCK_FILE_VALUE: &str = "PATH";

pub(crate) const CONFIG: &str = "\
The configuration file. Without it /etc/skylinedb/skylinedb.toml where /var/run can be written, else \
$XDG_CONFIG_HOME/skylinedb/skylinedb.toml (without that variable in $HOME/.config), if it is there";

pub(crate) const EXAMPLE: &str = "app.db --endpoint run/app.sock --lock-file run/app.lock";
pub(crate) const EXAMPLE_WITH_LOG: &str = "RUST_LOG=skylinedb=debug skylinedb-daemon app.db";

pub(crate) const END: &str = "\
It runs until SIGTERM, SIGINT or `skylinedb-cli shutdown`: then it finishes the
work in hand, empties the write-ahead log and ends. A second signal cuts the
work short.";

/// What the log says when the user's scope was chosen.
pub(crate) const USER_SCOPE: &str =
    "user scope: this user may not write to /var/run, so other users have daemons of their own";

/// Why a scope has no places.
pub(crate) const NO_PLACES: &str =
    "cannot tell where to listen: neither XDG_RUNTIME_DIR nor HOME is set; give --endpoint and --lock-file";
