//! The lock on Windows: a named mutex, which the system removes with the last process that has it open.

use std::{
    env,
    ffi::OsStr,
    io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::{
    scope::Places,
    windows::{
        pipe::{self, Server},
        user,
    },
};
use ::single_instance::error::SingleInstanceError;
use anyhow::{anyhow, bail};

/// How long to wait for the holder's PID: it takes the lock first and listens then.
const PID_WAIT: Duration = Duration::from_secs(1);
const PID_POLL: Duration = Duration::from_millis(5);

/// How long a daemon that ends, and has freed its mutex, may still have its pipe.
const ENDING_TIME: Duration = Duration::from_secs(3);

/// `ERROR_ACCESS_DENIED`: the mutex is there, and is another user's.
const ACCESS_DENIED: u32 = 5;

/// The lock, held for as long as this lives. Its handle is not inheritable.
pub struct SingleInstance {
    _mutex: ::single_instance::SingleInstance,
}

impl SingleInstance {
    /// Takes the lock, or says who has it.
    pub fn acquire(places: &Places) -> anyhow::Result<Self> {
        let mutex = match try_mutex(&places.lock_file) {
            Ok(Some(mutex)) => mutex,
            Ok(None) => {
                bail!(already_running(&format!("Mutex: {}", places.lock_file.display()), holder(&places.endpoint)))
            }
            Err(code) => bail!(
                "cannot make the mutex {} (Windows error {code}); a name is written Global\\NAME or Local\\NAME, as \
                 --lock-file has it",
                places.lock_file.display()
            ),
        };
        // A mutex of user scope is one of the session, whereas the pipe is the machine's: in another session of this user a daemon
        // may run. And a name of a pipe belongs to whoever comes first.
        if let Some(server) = server(&places.endpoint) {
            return Err(pipe_is_taken(&places.endpoint, &server));
        }
        Ok(Self { _mutex: mutex })
    }
}

/// The mutex, `None` if somebody has it, or Windows' error code.
pub(crate) fn try_mutex(name: &Path) -> Result<Option<::single_instance::SingleInstance>, u32> {
    match ::single_instance::SingleInstance::new(&name.to_string_lossy()) {
        Ok(mutex) if mutex.is_single() => Ok(Some(mutex)),
        Ok(_) | Err(SingleInstanceError::MutexError(ACCESS_DENIED)) => Ok(None),
        Err(SingleInstanceError::MutexError(code)) => Err(code),
        Err(_) => Err(123), // ERROR_INVALID_NAME: it has a NUL in it
    }
}

/// Why nobody can listen on a pipe whose name somebody has: a daemon, or another program.
#[must_use]
pub fn pipe_is_taken(pipe: &Path, server: &Server) -> anyhow::Error {
    if server.pid.is_some_and(is_daemon) {
        return anyhow!(already_running(&format!("Pipe: {}", pipe.display()), server.pid));
    }
    let process = server.pid.map_or_else(|| "a process".to_owned(), |pid| format!("process {pid}"));
    let user = server.owner.as_deref().map_or_else(|| "a user not known here".to_owned(), user::described);
    anyhow!(
        "another program has a pipe of the name {} ({process} of {user}); stop it, or choose another --endpoint",
        pipe.display()
    )
}

/// Who has a pipe of this name, if there is one, as far as this user may see it. A daemon that ends has clients on every instance, and
/// is waited for.
#[must_use]
pub fn server(pipe: &Path) -> Option<Server> {
    let begin = Instant::now();
    loop {
        match pipe::server(pipe) {
            Ok(server) => return Some(server),
            Err(error) if pipe::is_busy(&error) && begin.elapsed() < ENDING_TIME => thread::sleep(PID_POLL),
            Err(error) if pipe::is_busy(&error) || error.kind() == io::ErrorKind::PermissionDenied => {
                return Some(Server::default());
            }
            Err(_) => return None,
        }
    }
}

/// Whether a process runs this program.
fn is_daemon(pid: u32) -> bool {
    let name = |path: &Path| path.file_name().map(OsStr::to_ascii_lowercase);
    let own = env::current_exe().ok().and_then(|own| name(&own));
    own.is_some() && pipe::program(pid).ok().and_then(|program| name(&program)) == own
}

fn already_running(lock: &str, pid: Option<u32>) -> String {
    format!(
        "\
Another daemon instance is already running!
Only one daemon instance is allowed at a time.

To check if daemon is running: skylinedb-cli.exe ping
To stop existing daemon: skylinedb-cli.exe shutdown

{lock}
Held by PID: {}",
        pid.map_or_else(|| "not known".to_owned(), |pid| pid.to_string())
    )
}

/// A mutex has no content, so the system is asked whose the pipe is.
fn holder(pipe: &Path) -> Option<u32> {
    let begin = Instant::now();
    loop {
        match pipe::server(pipe) {
            Ok(server) => return server.pid,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return None,
            Err(_) if begin.elapsed() < PID_WAIT => thread::sleep(PID_POLL),
            Err(_) => return None,
        }
    }
}
