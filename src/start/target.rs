//! Which daemon is wanted: where it may be, and where it will listen if it is started here.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use skylinedb_local::{Endpoint, NO_PLACES, Scope, canonical_database, is_same_database};

use super::StartOptions;
use crate::{client::Client, error::Error};

/// How long one attempt may take. Whoever listens there and does not answer is asked again.
const ATTEMPT_TIME: Duration = Duration::from_secs(2);

/// The daemon's database if nobody says otherwise, in the working directory.
const DEFAULT_DATABASE: &str = "data.db";

#[derive(Debug)]
pub(super) struct Target {
    /// Where one may be, in this order.
    candidates: Vec<Endpoint>,
    /// Where one that is started will be.
    endpoint: Endpoint,
    arguments: [OsString; 2],
    /// The database that it must have.
    database: Option<PathBuf>,
}

impl Target {
    pub(super) fn of(options: &StartOptions) -> Result<Self, Error> {
        let database = options.database.clone();
        if let Some(endpoint) = options.endpoint.clone().or_else(Endpoint::from_environment) {
            let arguments = ["--endpoint".into(), endpoint.path().into()];
            return Ok(Self { candidates: vec![endpoint.clone()], endpoint, arguments, database });
        }
        let scope = options.scope.unwrap_or_else(Scope::of_this_user);
        let canonical = match scope {
            Scope::Database => canonical(database.as_deref().unwrap_or(Path::new(DEFAULT_DATABASE)))?,
            Scope::Machine | Scope::User => PathBuf::new(),
        };
        let candidates = match options.scope {
            Some(scope) => Endpoint::candidates_in(scope, &canonical),
            None => Endpoint::candidates(),
        };
        let places = scope
            .places(&canonical)
            .ok_or_else(|| Error::Start(format!("{NO_PLACES}: say where the daemon is to listen")))?;
        let arguments = ["--scope".into(), scope.name().into()];
        Ok(Self { candidates, endpoint: places.endpoint.into(), arguments, database })
    }

    /// Where a daemon that is started will listen.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What tells the daemon so.
    pub(super) fn arguments(&self) -> &[OsString] {
        &self.arguments
    }

    /// A client of a daemon that serves, or why there is none.
    pub(super) async fn attempt(&self) -> Result<Client, String> {
        let mut reasons = Vec::new();
        for endpoint in &self.candidates {
            match tokio::time::timeout(ATTEMPT_TIME, Client::connect_to_serving(endpoint.clone())).await {
                Ok(Ok(client)) => return Ok(client),
                Ok(Err(error)) => reasons.push(error.to_string()),
                Err(_) => reasons.push(format!("whoever listens at {endpoint} does not answer")),
            }
        }
        Err(reasons.join("; "))
    }

    /// Whether the daemon has the database that is wanted.
    pub(super) async fn check(&self, client: &Client) -> Result<(), Error> {
        let Some(wanted) = &self.database else { return Ok(()) };
        let pong = client.clone().with_timeout(ATTEMPT_TIME).ping().await?;
        if canonical_database(wanted).ok().is_some_and(|wanted| is_same_database(&wanted, &pong.database)) {
            return Ok(());
        }
        Err(Error::Start(format!(
            "a daemon runs already at {}, but with another database, {}; stop it (skylinedb-cli shutdown), or have one \
             for each database (--scope database), or give this one an --endpoint of its own",
            client.endpoint(),
            pong.database
        )))
    }
}

/// The database's canonical path; the folders are made, as the daemon would make them.
fn canonical(database: &Path) -> Result<PathBuf, Error> {
    let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| canonical_database(database))
        .map_err(|error| Error::Start(format!("cannot find the database {}: {error}", database.display())))
}
