//! The daemon's memory has a bound, whatever its clients do.
#![cfg(target_os = "linux")] // it looks at the daemon's memory in /proc

#[path = "hostile/harness/connection.rs"]
#[allow(dead_code, reason = "shared with the other tests of hostile clients")]
mod connection;
#[path = "memory/hoarders.rs"]
mod hoarders;
#[path = "hostile/harness/process.rs"]
#[allow(dead_code, reason = "shared with the other tests of hostile clients")]
mod process;
mod support;

use std::{
    env,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use hoarders::{HOARDERS, Hoarder, Rounds};
use support::{Daemon, MIB};

/// What the daemon may have in RAM at most here, and what of it is not backed by files: docs/reliability.md, "Memory".
const PEAK_RSS_BYTES: u64 = 2_560 * MIB as u64;
const PEAK_ANONYMOUS_BYTES: u64 = 2_560 * MIB as u64;

/// A daemon that has taken so much is killed: the machine should survive the test.
const KILL_BYTES: u64 = 3_072 * MIB as u64;

/// Hostile clients at once.
const CLIENTS: usize = 64;

/// How long they are at it, and how long at most until each has had an answer.
const TIME: Duration = Duration::from_secs(4);
const LONGEST_TIME: Duration = Duration::from_secs(30);

/// Between two looks at the memory.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long the daemon may take to answer a ping afterwards.
const ANSWER_PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn each_kind_of_hostile_client_meets_the_bound() {
    let only = env::var("HOSTILE_ONLY").unwrap_or_default();
    let mut failures = Vec::new();
    for hoarder in HOARDERS.iter().filter(|hoarder| hoarder.name.contains(&only)) {
        let clients = vec![*hoarder; hoarder.most_clients.min(CLIENTS)];
        failures.extend(measure(hoarder.name, &clients).map(|failure| format!("{}: {failure}", hoarder.name)));
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn a_mixture_of_64_hostile_clients_meets_the_bound() {
    let clients: Vec<_> = HOARDERS.iter().copied().cycle().take(CLIENTS).collect();
    if let Some(failure) = measure("a mixture", &clients) {
        panic!("{failure}");
    }
}

/// Sets these clients upon a daemon, prints what it took, and returns what was too much.
fn measure(name: &str, clients: &[Hoarder]) -> Option<String> {
    let mut daemon = Daemon::builder().arg("--drain-timeout").arg("1s").start();
    let (pid, endpoint) = (daemon.pid(), daemon.folder().endpoint());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let rounds = Rounds::default();
    for hoarder in clients {
        let (work, rounds) = ((hoarder.run)(endpoint.clone(), rounds.clone()), rounds.clone());
        runtime.spawn(async move {
            drop(work.await); // refused or cut off: both are well
            rounds.one_more();
        });
    }

    let begin = Instant::now();
    let (mut peak, mut anonymous) = (0, 0);
    let is_over = || begin.elapsed() >= TIME && (rounds.count() >= clients.len() || begin.elapsed() >= LONGEST_TIME);
    while !is_over() && peak < KILL_BYTES && daemon.is_running() {
        peak = peak.max(process::peak_rss_bytes(pid));
        anonymous = anonymous.max(process::anonymous_bytes(pid));
        thread::sleep(LOOK_EVERY);
    }

    let took = begin.elapsed();
    println!(
        "{name}: {} clients, {} rounds, {:.1} s, peak RSS {} MiB, without files {} MiB",
        clients.len(),
        rounds.count(),
        took.as_secs_f64(),
        peak / MIB as u64,
        anonymous / MIB as u64
    );
    let failure = if peak >= KILL_BYTES {
        Some(format!("{} MiB after {took:?}: killed", peak / MIB as u64))
    } else if !daemon.is_running() {
        Some(format!("the daemon has ended:\n{}", daemon.log()))
    } else if peak > PEAK_RSS_BYTES || anonymous > PEAK_ANONYMOUS_BYTES {
        Some(format!("{} MiB, {} MiB of it without files", peak / MIB as u64, anonymous / MIB as u64))
    } else {
        let answered = runtime.block_on(async { tokio::time::timeout(ANSWER_PATIENCE, ping(&endpoint)).await });
        match answered {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("a ping failed: {error}")),
            Err(_) => Some(format!("a ping was not answered within {ANSWER_PATIENCE:?}")),
        }
    };
    runtime.shutdown_background();
    daemon.kill9();
    failure
}

async fn ping(endpoint: &Path) -> Result<(), skylinedb::Error> {
    skylinedb::Client::connect(endpoint).await?.ping().await.map(drop)
}
