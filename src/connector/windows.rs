//! A named pipe.

use std::{fs::OpenOptions, io, path::Path};

use tokio::{
    net::windows::named_pipe::{ClientOptions, NamedPipeClient},
    time::{Instant, sleep},
};

use super::{CROWD_PATIENCE, CROWD_PAUSE};

/// Every instance of the pipe is taken: the daemon is there, and makes the next one.
const ERROR_PIPE_BUSY: i32 = 231;

/// What every pipe's name begins with.
const PIPES: &str = r"\\.\pipe\";

/// A pipe all of whose instances are taken refuses at once: that does not mean that nobody is there.
pub(crate) async fn open(path: &Path) -> io::Result<NamedPipeClient> {
    check(path)?;
    let begin = Instant::now();
    loop {
        match ClientOptions::new().open(path) {
            Err(error) if is_busy(&error) && begin.elapsed() < CROWD_PATIENCE => sleep(CROWD_PAUSE).await,
            outcome => return outcome,
        }
    }
}

/// Whether somebody listens there.
pub(crate) fn look(path: &Path) -> io::Result<()> {
    check(path)?;
    match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if !is_busy(&error) => Err(error),
        _ => Ok(()),
    }
}

fn is_busy(error: &io::Error) -> bool {
    error.raw_os_error() == Some(ERROR_PIPE_BUSY)
}

/// A file of that name would be opened as readily as a pipe.
fn check(path: &Path) -> io::Result<()> {
    if path.to_str().is_some_and(|path| path.get(..PIPES.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(PIPES)))
    {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!(r"it is no named pipe; write {PIPES}NAME")))
}
