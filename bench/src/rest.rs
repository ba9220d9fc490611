//! What the daemon costs when nobody asks it anything.

use std::{fs, os::unix::net::UnixStream, path::Path, time::Instant};

use anyhow::Context as _;
use skylinedb::Client;

use crate::{process::beside, skyline::Daemon, table::Table};

/// Connections that are opened to see what one costs.
const CONNECTIONS: usize = 200;

/// Measures start-up, memory and size.
#[allow(clippy::cast_precision_loss, reason = "far below 2⁵³")]
pub(crate) fn measure(folder: &Path, table: &mut Table) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let begin = Instant::now();
    let daemon = Daemon::start(folder.path())?;
    let client = runtime.block_on(async {
        let client = Client::connect(daemon.socket()).await?;
        client.ping().await.map(|_| client)
    })?;
    table.rest("start to first ping, ms", begin.elapsed().as_secs_f64() * 1e3);
    drop(client);
    let idle = rss_bytes(daemon.pid())?;
    table.rest("idle RSS, MB", idle as f64 / 1e6);

    let clients = runtime.block_on(async {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            let client = Client::connect(daemon.socket()).await?;
            client.ping().await?;
            clients.push(client);
        }
        Ok::<_, skylinedb::Error>(clients)
    })?;
    let with_clients = rss_bytes(daemon.pid())?;
    table.rest("RSS per idle connection, KB", with_clients.saturating_sub(idle) as f64 / 1e3 / CONNECTIONS as f64);
    drop(clients);
    let _ = UnixStream::connect(daemon.socket());
    table.rest("size of skylinedb-daemon, MB", fs::metadata(beside("skylinedb-daemon")?)?.len() as f64 / 1e6);
    Ok(())
}

fn rss_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS in /proc/PID/status")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
