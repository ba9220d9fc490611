//! `start`: starts the daemon in the background, unless one runs already.

use std::io::{self, Write};

use skylinedb::start::start_daemon;

use super::{facts, start_options};
use crate::{
    args::{DaemonArguments, StartArguments},
    failure::Failure,
};

pub(super) async fn run(daemon: &DaemonArguments, arguments: StartArguments) -> Result<(), Failure> {
    let mut options = start_options(daemon);
    if let Some(database) = arguments.database {
        options = options.database(database);
    }
    if let Some(lock_file) = arguments.lock_file {
        options = options.lock_file(lock_file);
    }
    if let Some(log_file) = arguments.log_file {
        options = options.log_file(log_file);
    }
    let started = start_daemon(options).await?;
    let pong = started.client.ping().await?;

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
