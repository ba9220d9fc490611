//! What `ping` and `start` say about a daemon.

use std::{
    fmt::Write,
    time::{Duration, SystemTime},
};

use skylinedb::Pong;

/// The lines for people, the first of which says that it runs.
pub(super) fn text(pong: &Pong, more: &[(&str, String)]) -> String {
    let up_since = pong.start_time;
    let mut facts = vec![
        ("Version", pong.version.clone()),
        ("PID", pong.pid.to_string()),
        ("Database", pong.database.clone()),
        ("Revision", pong.revision.to_string()),
        ("SQLite", pong.sqlite_version.clone()),
        ("Up since", format!("{} ({})", humantime::format_rfc3339_seconds(up_since), uptime(up_since))),
    ];
    facts.extend(more.iter().cloned());
    let mut text = "✓ Daemon is running\n".to_owned();
    for (name, value) in facts {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {:<11} {value}", format!("{name}:"));
    }
    text
}

/// How long it has been up. A clock that was put back since makes that zero.
pub(super) fn uptime(start_time: SystemTime) -> humantime::FormattedDuration {
    let uptime = SystemTime::now().duration_since(start_time).unwrap_or_default();
    humantime::format_duration(Duration::from_secs(uptime.as_secs()))
}
