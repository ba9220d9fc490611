//! SkylineDB, as anybody would run it, and driven by `skylinedb-cli bench`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context as _;

use crate::{
    case::Case,
    measurement::Measurement,
    process::{Running, beside, output, wait_for},
};

/// A running daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    socket: PathBuf,
    process: Running,
}

impl Daemon {
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        Self::start_program(&beside("skylinedb-daemon")?, folder)
    }

    /// Starts this program, which may be of an earlier build.
    pub(crate) fn start_program(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let socket = folder.join("sky.sock");
        let mut daemon = Command::new(program);
        daemon.arg(folder.join("sky.db")).arg("--endpoint").arg(&socket).stderr(Stdio::null());
        let process = Running::start(&mut daemon)?;
        wait_for(&socket)?;
        Ok(Self { socket, process })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn measure(&self, case: &Case, seconds: u64) -> anyhow::Result<Measurement> {
        bench(&self.socket, case, seconds)
    }
}

/// Runs `skylinedb-cli bench` against a socket.
pub(crate) fn bench(socket: &Path, case: &Case, seconds: u64) -> anyhow::Result<Measurement> {
    bench_with_rows(socket, case, seconds, case.rows())
}

/// The same, over a table of so many rows.
pub(crate) fn bench_with_rows(socket: &Path, case: &Case, seconds: u64, rows: i64) -> anyhow::Result<Measurement> {
    let mut cli = Command::new(beside("skylinedb-cli")?);
    cli.arg("--endpoint").arg(socket).args(["bench", "--format", "json", "--workload", case.work.name()]);
    cli.args(["--mode", case.mode, "--clients", &case.clients.to_string(), "--pipeline", &case.pipeline.to_string()]);
    cli.args(["--seconds", &seconds.to_string(), "--rows", &rows.max(1).to_string()]);
    let report: serde_json::Value = serde_json::from_str(&output(&mut cli)?)?;
    let figure = |name: &str| report[name].as_f64().with_context(|| format!("no {name} in {report}"));
    Ok(Measurement {
        per_second: figure("per_second")?,
        p50_us: figure("p50_ns")? / 1e3,
        p99_us: figure("p99_ns")? / 1e3,
        max_us: figure("max_ns")? / 1e3,
    })
}
