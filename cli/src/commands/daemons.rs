//! `daemons`: lists the daemons that run.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use serde_json::json;
use skylinedb::daemons::{self, Found};

use super::facts::uptime;
use crate::{
    args::{DaemonArguments, DaemonsArguments, PingFormat},
    failure::{self, Failure},
};

pub(super) async fn run(daemon: &DaemonArguments, arguments: &DaemonsArguments) -> Result<(), Failure> {
    let found = daemons::find(daemon.endpoint.clone()).await;
    let text = match arguments.format {
        PingFormat::Text if found.is_empty() => {
            failure::say("No daemon runs. Start one: skylinedb-cli start app.db");
            return Ok(());
        }
        PingFormat::Text => table(&found),
        PingFormat::Json => format!("{}\n", found.iter().map(to_json).collect::<serde_json::Value>()),
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn table(found: &[Found]) -> String {
    let mut rows = vec![["SCOPE", "PID", "VERSION", "UP", "DATABASE", "ENDPOINT"].map(str::to_owned)];
    rows.extend(found.iter().map(|one| {
        let scope = one.scope.map_or("-", |scope| scope.name()).to_owned();
        let pid = one.pid().map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let (version, up, database) = match &one.answer {
            Ok(pong) => (pong.version.clone(), uptime(pong.start_time).to_string(), pong.database.clone()),
            Err(reason) => ("-".to_owned(), "-".to_owned(), format!("({reason})")),
        };
        [scope, pid, version, up, database, one.endpoint.to_string()]
    }));
    let widths = [0, 1, 2, 3, 4].map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for row in rows {
        for (value, width) in row.iter().zip(widths) {
            let _ = write!(text, "{value:<width$}  "); // writing to a String cannot fail
        }
        let _ = writeln!(text, "{}", row[5]);
    }
    text
}

fn to_json(one: &Found) -> serde_json::Value {
    let mut fact = json!({
        "scope": one.scope.map(skylinedb::Scope::name),
        "endpoint": one.endpoint.to_string(),
        "pid": one.pid(),
    });
    match &one.answer {
        Ok(pong) => {
            fact["version"] = json!(pong.version);
            fact["database"] = json!(pong.database);
            fact["start_time"] = json!(humantime::format_rfc3339_millis(pong.start_time).to_string());
        }
        Err(reason) => fact["error"] = json!(reason),
    }
    fact
}
