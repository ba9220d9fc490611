//! The commands, a file each, and what they have in common.

mod bench;
mod chunked;
mod execute;
mod facts;
mod import;
mod ping;
mod query;
mod report;
mod shutdown;
mod start;

use std::{future::Future, path::PathBuf, time::Duration};

use skylinedb::{Client, Params};

use crate::{
    args::{Arguments, Command},
    failure::Failure,
    params::Parameter,
};

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { endpoint, timeout, command } = arguments;
    match command {
        Command::Ping(arguments) => within(timeout, ping::run(endpoint, &arguments)).await,
        Command::Execute(arguments) => within(timeout, execute::run(endpoint, arguments)).await,
        Command::Query(arguments) => within(timeout, query::run(endpoint, arguments)).await,
        Command::Bench(arguments) => within(timeout, bench::run(endpoint, arguments)).await,
        Command::Import(arguments) => within(timeout, import::run(endpoint, arguments)).await,
        Command::Start(arguments) => within(timeout, start::run(endpoint, arguments)).await,
        Command::Shutdown(arguments) => shutdown::run(endpoint, timeout, &arguments).await,
    }
}

/// A client of the daemon that is there, or of the one at `endpoint`.
async fn connect(endpoint: Option<PathBuf>) -> Result<Client, Failure> {
    let client = match endpoint {
        Some(endpoint) => Client::connect(endpoint).await,
        None => Client::connect_default().await,
    };
    Ok(client?)
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
