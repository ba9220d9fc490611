//! Exactly one daemon: a lock that the operating system frees when its holder ends, however it ends.
//!
//! The file is never removed: if it were, two daemons could each hold "the" lock, on different inodes of one name.

use std::{
    fmt::Write as _,
    fs::{File, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
};

use super::lock_file;
use crate::scope::Places;

/// How long to wait for the holder's PID: it takes the lock first and writes its PID then.
const PID_WAIT: Duration = Duration::from_secs(1);
/// How much of a file is looked at before it is taken for a lock file.
const LOOK_BYTES: u64 = 4 << 10;

const PID_POLL: Duration = Duration::from_millis(5);

/// The lock, held for as long as this lives. It is close-on-exec, as every file that Rust opens: no child inherits it.
#[derive(Debug)]
pub struct SingleInstance {
    _file: File,
}

impl SingleInstance {
    /// Takes the lock, or says who has it.
    pub fn acquire(places: &Places) -> anyhow::Result<Self> {
        let path = &places.lock_file;
        let mut file = lock_file::open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(already_running(path, &mut file)),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| {
                    format!(
                        "cannot lock {}: its file system must support flock; choose another --lock-file",
                        path.display()
                    )
                });
            }
        }
        check_is_lock_file(path, &mut file)?;
        lock_file::make_own(path, &file)?;
        write_pid(&mut file).with_context(|| format!("cannot write the PID into {}", path.display()))?;
        Ok(Self { _file: file })
    }
}

/// Whatever is no lock file must not be written over: it may be the database, by a slip on the command line.
fn check_is_lock_file(path: &Path, file: &mut File) -> anyhow::Result<()> {
    let mut content = Vec::new();
    let read = file.take(LOOK_BYTES).read_to_end(&mut content);
    read.with_context(|| format!("cannot read the lock file {}", path.display()))?;
    if !content.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_whitespace()) {
        bail!(
            "{} is not a lock file: it has more in it than a PID, and is left as it is; choose another --lock-file",
            path.display()
        );
    }
    Ok(())
}

fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn already_running(path: &Path, file: &mut File) -> String {
    let mut text = format!(
        "\
Another daemon instance is already running!
Only one daemon instance is allowed at a time.

To check if daemon is running: skylinedb-cli ping
To stop existing daemon: skylinedb-cli shutdown

Lock file: {}
Held by PID: {}",
        path.display(),
        holder(file).unwrap_or_else(|| "not known".to_owned())
    );
    if let Some(owner) = lock_file::stranger(file) {
        let _ = write!(
            text,
            "\n\nThe lock file belongs to {owner}, who may hold the lock without running a daemon.\nIf so, choose another place: \
             --lock-file, with an --endpoint beside it"
        ); // writing to a String cannot fail
    }
    text
}

/// The PID in the file. One of a process that is no more is an earlier holder's: the new one has yet to write its own.
fn holder(file: &mut File) -> Option<String> {
    let begin = Instant::now();
    loop {
        let mut text = String::new();
        file.rewind().ok()?;
        // A file may hold anything, and a long one is not a PID.
        let read = file.take(32).read_to_string(&mut text);
        let pid = read.ok().and_then(|_| text.trim().parse().ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|pid| !matches!(test_kill_process(*pid), Err(Errno::SRCH))) {
            return Some(pid.as_raw_nonzero().to_string());
        }
        if begin.elapsed() > PID_WAIT {
            return None;
        }
        thread::sleep(PID_POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_free_again_when_it_is_dropped() {
        let folder = tempfile::tempdir().expect("a folder");
        let places = Places::at(&folder.path().join("deep/er.sock"));
        let first = SingleInstance::acquire(&places).expect("the lock");
        let error = SingleInstance::acquire(&places).expect_err("it is held").to_string();
        assert!(error.ends_with(&format!("Held by PID: {}", std::process::id())), "{error}");
        drop(first);
        SingleInstance::acquire(&places).expect("the lock again");
    }
}
