//! Programs: where they are, and running them.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

/// How long a server may take until it can be used.
const START_TIME: Duration = Duration::from_secs(30);

/// How long a process may take to end.
const END_TIME: Duration = Duration::from_secs(10);

/// A process that is ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        command.spawn().map(Self).with_context(|| format!("cannot run {command:?}"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.0.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT); // PostgreSQL: a fast shutdown
        }
        let begin = Instant::now();
        while self.0.try_wait().is_ok_and(|status| status.is_none()) {
            if begin.elapsed() > END_TIME {
                let _ = self.0.kill(); // started in the background, it may have been told to ignore SIGINT
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A program that lies beside this one.
pub(crate) fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let path = env::current_exe()?.with_file_name(name);
    if !path.is_file() {
        bail!("{} is not there: run scripts/compare, which builds it", path.display());
    }
    Ok(path)
}

/// What a program prints that must succeed.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Waits until a file is there.
pub(crate) fn wait_for(path: &Path) -> anyhow::Result<()> {
    let begin = Instant::now();
    while !path.exists() {
        if begin.elapsed() > START_TIME {
            bail!("{} does not appear", path.display());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
