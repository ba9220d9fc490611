//! What Linux knows of the daemon's process.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// Two looks at the processor time that a process has used lie so far apart.
const LOOK_EVERY: Duration = Duration::from_millis(30);

/// A process that has used less between two looks is idle. The kernel counts in ticks of 10 ms.
const IDLE_TICKS: u64 = 1;

/// Forgets the peak of the memory so far, so that the next one is the next case's.
pub(crate) fn reset_peak_rss(pid: u32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").ok(); // proc_pid_clear_refs(5)
}

/// The most memory in RAM since the last reset.
pub(crate) fn peak_rss_bytes(pid: u32) -> u64 {
    status_bytes(pid, "VmHWM:")
}

/// The memory in RAM that no file backs.
pub(crate) fn anonymous_bytes(pid: u32) -> u64 {
    status_bytes(pid, "RssAnon:")
}

/// Waits until a process has nothing to do. How long that took; `None` if it was not idle in time.
pub(crate) fn wait_for_idle(pid: u32, patience: Duration) -> Option<Duration> {
    let begin = Instant::now();
    let mut before = ticks(pid)?;
    while begin.elapsed() < patience {
        let look = begin.elapsed();
        thread::sleep(LOOK_EVERY);
        let now = ticks(pid)?;
        if now - before <= IDLE_TICKS {
            return Some(look);
        }
        before = now;
    }
    None
}

/// Whether the process runs, and is no zombie.
pub(crate) fn is_running(pid: u32) -> bool {
    stat(pid).is_some_and(|fields| !matches!(fields.first().map(String::as_str), None | Some("Z" | "X")))
}

fn ticks(pid: u32) -> Option<u64> {
    let fields = stat(pid)?;
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

/// The fields of `/proc/PID/stat` after the program's name, which may have blanks.
fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

fn status_bytes(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() * 1024
}
