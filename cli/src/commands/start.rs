//! `start`: starts the daemon in the background, unless one runs already.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use skylinedb::start::{StartOptions, start_daemon};

use super::facts;
use crate::{args::StartArguments, failure::Failure};

pub(super) async fn run(endpoint: Option<PathBuf>, arguments: StartArguments) -> Result<(), Failure> {
    let mut options = StartOptions::new();
    let wanted = arguments.database.clone();
    if let Some(database) = arguments.database {
        options = options.database(database);
    }
    if let Some(endpoint) = endpoint {
        options = options.endpoint(endpoint);
    }
    if let Some(lock_file) = arguments.lock_file {
        options = options.lock_file(lock_file);
    }
    if let Some(log_file) = arguments.log_file {
        options = options.log_file(log_file);
    }
    let started = start_daemon(options).await?;
    let pong = started.client.ping().await?;
    if let Some(wanted) = wanted.filter(|_| started.already_running)
        && wanted.canonicalize().ok().is_none_or(|wanted| wanted.to_str() != Some(&pong.database))
    {
        return Err(Failure::refused(format!(
            "a daemon runs already, but with another database, {}; stop it (skylinedb-cli shutdown), or give this one an \
             --endpoint of its own",
            pong.database
        )));
    }

    let mut more = vec![("Endpoint", started.client.endpoint().to_string())];
    if let Some(log_file) = started.log_file {
        more.push(("Log", log_file.display().to_string()));
    }
    if started.already_running {
        more.push(("Note", "it was running already; nothing was started".to_owned()));
    }
    io::stdout().write_all(facts::text(&pong, &more).as_bytes())?;
    Ok(())
}
