//! Which daemons run.

use std::time::Duration;

use skylinedb_local::{Candidate, Endpoint, Scope, running};

use crate::client::{Client, Pong};

/// How long one may take to say who it is.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// A daemon that runs.
#[derive(Debug)]
pub struct Found {
    /// Its scope, if it is in the place of one.
    pub scope: Option<Scope>,
    /// Its socket.
    pub endpoint: Endpoint,
    /// Who it says it is; or why it does not: it starts, it ends, or it belongs to somebody else.
    pub answer: Result<Pong, String>,
    /// What its lock says.
    holder: Option<u32>,
}

impl Found {
    /// Its process id, if that is known.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.answer.as_ref().map(|pong| pong.pid).ok().or(self.holder)
    }
}

/// Finds the daemons of the machine, of this user and of databases, and the one at this endpoint (without it at
/// `SKYLINEDB_ENDPOINT`), if it runs.
pub async fn find(endpoint: Option<Endpoint>) -> Vec<Found> {
    let mut found = Vec::new();
    for Candidate { scope, endpoint, holder } in running(endpoint.or_else(Endpoint::from_environment)) {
        found.push(Found { scope, answer: ask(&endpoint).await, endpoint, holder });
    }
    found
}

async fn ask(endpoint: &Endpoint) -> Result<Pong, String> {
    let asking = async { Client::connect(endpoint.clone()).await?.ping().await };
    match tokio::time::timeout(ANSWER_TIME, asking).await {
        Ok(answer) => answer.map_err(|error| match error {
            crate::Error::NotRunning { looked } => looked.into_iter().map(|(_, reason)| reason).collect(),
            other => other.to_string(),
        }),
        Err(_) => Err(format!("no answer within {ANSWER_TIME:?}")),
    }
}
