//! `shutdown`: has the daemon end, and waits until it has.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use skylinedb_local::process::is_running;

use super::connect;
use crate::{
    args::{DaemonArguments, ShutdownArguments},
    failure::{Failure, say},
};

/// A drain has a limit of its own, 10 s if nobody says otherwise; then connections and the database are closed.
const USUAL_GRACE: Duration = Duration::from_secs(10);
const CLOSING: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

pub(super) async fn run(
    daemon: &DaemonArguments,
    timeout: Option<Duration>,
    arguments: &ShutdownArguments,
) -> Result<(), Failure> {
    let begin = Instant::now();
    let grace = if arguments.force { Some(Duration::ZERO) } else { arguments.grace };
    let wait = timeout.unwrap_or_else(|| grace.unwrap_or(USUAL_GRACE).saturating_add(CLOSING));
    let request = async {
        let client = connect(daemon).await?;
        Ok::<_, Failure>(match grace {
            Some(grace) => client.shutdown_within(grace).await?,
            None => client.shutdown().await?,
        })
    };
    let pid = tokio::time::timeout(wait, request).await.unwrap_or_else(|_| Err(Failure::late(wait)))?;
    writeln!(io::stdout(), "✓ Daemon shutdown requested")?;
    if arguments.no_wait {
        return Ok(());
    }
    tokio::time::timeout(wait, gone(pid)).await.map_err(|_| {
        Failure::refused(format!(
            "the daemon (PID {pid}) still runs after {}; its log says what it waits for. Ask again with a longer \
             --timeout, or end it with: kill {pid}",
            humantime::format_duration(wait)
        ))
    })?;
    say(&format!("PID {pid} has ended, after {:.2} s", begin.elapsed().as_secs_f64()));
    Ok(())
}

/// Waits until the process has gone, and with it its lock. The socket says less: with socket activation it stays, and
/// whoever connects to it has the daemon started anew.
async fn gone(pid: u32) {
    while is_running(pid) {
        tokio::time::sleep(POLL).await;
    }
}
