//! `ping`: whether the daemon is there, and which one it is.

use std::{
    io::{self, Write},
    time::Instant,
};

use serde_json::json;

use super::{connect, facts};
use crate::{
    args::{DaemonArguments, PingArguments, PingFormat},
    failure::Failure,
};

pub(super) async fn run(daemon: &DaemonArguments, arguments: &PingArguments) -> Result<(), Failure> {
    let client = connect(daemon).await?;
    let start = Instant::now();
    let pong = client.ping().await?;
    let round_trip = start.elapsed();
    let endpoint = client.endpoint().to_string();

    let text = match arguments.format {
        PingFormat::Text => {
            let round_trip = format!("{:.2} ms", round_trip.as_secs_f64() * 1e3);
            facts::text(&pong, &[("Endpoint", endpoint), ("Round trip", round_trip)])
        }
        PingFormat::Json => {
            let fact = json!({
                "version": pong.version,
                "pid": pong.pid,
                "database": pong.database,
                "revision": pong.revision,
                "sqlite_version": pong.sqlite_version,
                "start_time": humantime::format_rfc3339_millis(pong.start_time).to_string(),
                "endpoint": endpoint,
                "round_trip_us": round_trip.as_micros(),
            });
            format!("{fact}\n")
        }
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
