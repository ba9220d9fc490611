//! The lock on Windows: a named mutex, which the system removes with the last process that has it open.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;
use interprocess::os::windows::named_pipe::{DuplexPipeStream, pipe_mode::Bytes};
use single_instance::error::SingleInstanceError;
use skylinedb::scope::Places;

/// How long to wait for the holder's PID: it takes the lock first and listens then.
const PID_WAIT: Duration = Duration::from_secs(1);
const PID_POLL: Duration = Duration::from_millis(5);

/// `ERROR_ACCESS_DENIED`: the mutex is there, and is another user's.
const ACCESS_DENIED: u32 = 5;

/// The lock, held for as long as this lives. Its handle is not inheritable.
pub(crate) struct SingleInstance {
    _mutex: single_instance::SingleInstance,
}

impl SingleInstance {
    /// Takes the lock, or says who has it.
    pub(crate) fn acquire(places: &Places) -> anyhow::Result<Self> {
        let mutex = match try_mutex(&places.lock_file) {
            Ok(Some(mutex)) => mutex,
            Ok(None) => bail!(already_running(places)),
            Err(code) => bail!(
                "cannot make the mutex {} (Windows error {code}); a name is written Global\\NAME or Local\\NAME, as \
                 --lock-file has it",
                places.lock_file.display()
            ),
        };
        tracing::info!("Acquired single-instance lock");
        Ok(Self { _mutex: mutex })
    }
}

/// The mutex, `None` if somebody has it, or Windows' error code.
pub(crate) fn try_mutex(name: &Path) -> Result<Option<single_instance::SingleInstance>, u32> {
    match single_instance::SingleInstance::new(&name.to_string_lossy()) {
        Ok(mutex) if mutex.is_single() => Ok(Some(mutex)),
        Ok(_) | Err(SingleInstanceError::MutexError(ACCESS_DENIED)) => Ok(None),
        Err(SingleInstanceError::MutexError(code)) => Err(code),
        Err(_) => Err(123), // ERROR_INVALID_NAME: it has a NUL in it
    }
}

fn already_running(places: &Places) -> String {
    format!(
        "\
Another daemon instance is already running!
Only one daemon instance is allowed at a time.

To check if daemon is running: skylinedb-cli.exe ping
To stop existing daemon: skylinedb-cli.exe shutdown

Mutex: {}
Held by PID: {}",
        places.lock_file.display(),
        holder(&places.endpoint).map_or_else(|| "not known".to_owned(), |pid| pid.to_string())
    )
}

/// A mutex has no content, so the system is asked whose the pipe is.
fn holder(pipe: &Path) -> Option<u32> {
    let begin = Instant::now();
    loop {
        let pid = DuplexPipeStream::<Bytes>::connect_by_path(pipe).and_then(|stream| stream.server_process_id());
        if let Ok(pid) = pid {
            return Some(pid);
        }
        if begin.elapsed() > PID_WAIT {
            return None;
        }
        thread::sleep(PID_POLL);
    }
}
