//! The commands, a file each, and what they have in common.

mod bench;
mod chunked;
mod daemons;
mod execute;
mod facts;
mod import;
mod ping;
mod proxy;
mod query;
mod report;
mod shutdown;
mod start;

use std::{future::Future, path::Path, time::Duration};

use clap::CommandFactory as _;
use skylinedb::{Client, Endpoint, Params, Scope, canonical_database, is_same_database, start::StartOptions};

use crate::{
    args::{Arguments, Command, DaemonArguments},
    failure::Failure,
    params::Parameter,
};

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { daemon, timeout, command } = arguments;
    match command {
        Command::Ping(arguments) => within(timeout, ping::run(&daemon, &arguments)).await,
        Command::Execute(arguments) => within(timeout, execute::run(&daemon, arguments)).await,
        Command::Query(arguments) => within(timeout, query::run(&daemon, arguments)).await,
        Command::Bench(arguments) => within(timeout, bench::run(&daemon, arguments)).await,
        Command::Import(arguments) => within(timeout, import::run(&daemon, arguments)).await,
        Command::Start(arguments) => within(timeout, start::run(&daemon, arguments)).await,
        Command::Daemons(arguments) => within(timeout, daemons::run(&daemon, &arguments)).await,
        Command::Proxy(arguments) => proxy::run(daemon, timeout, arguments).await,
        Command::Shutdown(arguments) => shutdown::run(&daemon, timeout, &arguments).await,
        Command::GenerateDocuments { folder } => skylinedb_documents::write(Arguments::command(), &folder)
            .map_err(|error| Failure::refused(format!("cannot write into {}: {error}", folder.display()))),
    }
}

/// A client of the daemon that is meant; it is started if that is wanted.
async fn connect(daemon: &DaemonArguments) -> Result<Client, Failure> {
    if daemon.start {
        return Ok(Client::connect_or_start(start_options(daemon)).await?);
    }
    let database = daemon.database.as_deref().map(canonical_database).transpose();
    let database = database.map_err(|error| {
        Failure::usage(format!(
            "cannot find --database {}: {error}",
            daemon.database.as_deref().unwrap_or(Path::new("")).display()
        ))
    })?;
    let client = match (&daemon.endpoint, daemon.scope, &database) {
        (Some(endpoint), _, _) => Client::connect(endpoint.clone()).await?,
        (None, None, _) => Client::connect_default().await?,
        (None, Some(Scope::Database), None) => {
            return Err(Failure::usage("--scope database needs --database: which one?"));
        }
        (None, Some(scope), database) => {
            let database = database.as_deref().unwrap_or(Path::new(""));
            Client::connect_first(Endpoint::candidates_in(scope, database)).await?
        }
    };
    if let Some(wanted) = database {
        let pong = client.ping().await?;
        if !is_same_database(&wanted, &pong.database) {
            return Err(Failure::refused(format!(
                "the daemon at {} has another database, {}, and not {}; nothing was sent to it",
                client.endpoint(),
                pong.database,
                wanted.display()
            )));
        }
    }
    Ok(client)
}

/// How the daemon that is meant is started.
fn start_options(daemon: &DaemonArguments) -> StartOptions {
    let mut options = StartOptions::new();
    if let Some(database) = &daemon.database {
        options = options.database(database);
    }
    if let Some(endpoint) = &daemon.endpoint {
        options = options.endpoint(endpoint.clone());
    }
    if let Some(scope) = daemon.scope {
        options = options.scope(scope);
    }
    options
}

/// Drops the work when the time is over, which has the daemon interrupt it.
async fn within(timeout: Option<Duration>, work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    match timeout {
        Some(timeout) => tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| Err(Failure::late(timeout))),
        None => work.await,
    }
}

/// The parameters of one statement, by position or by name.
fn params(list: Vec<Parameter>) -> Result<Params, Failure> {
    let named = list.iter().filter(|parameter| parameter.name.is_some()).count();
    if named != 0 && named != list.len() {
        return Err(Failure::usage(
            "some parameters have a name and some have none; give all of them as NAME=VALUE or none (a text with an \
             equals sign is text:a=b)",
        ));
    }
    if named == 0 {
        return Ok(Params::positional(list.into_iter().map(|parameter| parameter.value)));
    }
    Ok(Params::named(list.into_iter().filter_map(|parameter| Some((parameter.name?, parameter.value)))))
}
