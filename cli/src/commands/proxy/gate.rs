//! Who may call. What is asked for is not looked at before.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hyper::{HeaderMap, Response, header::AUTHORIZATION};

use super::{answer, forward::Body, log, token::Token};

/// Between two lines about refused calls in the log, so that nobody can fill it.
const LOG_PAUSE: Duration = Duration::from_secs(1);

/// The gate of a listener, open if there is no token.
#[derive(Clone)]
pub(super) struct Gate {
    token: Option<Arc<Token>>,
    logged: Arc<Mutex<Option<Instant>>>,
}

impl Gate {
    pub(super) fn new(token: Option<Arc<Token>>) -> Self {
        Self { token, logged: Arc::default() }
    }

    /// Whether whoever can connect may call.
    pub(super) fn is_open(&self) -> bool {
        self.token.is_none()
    }

    /// Lets a call in, and takes the token from its headers, which the daemon need not see; or says what to answer.
    pub(super) fn check(&self, headers: &mut HeaderMap) -> Result<(), Box<Response<Body>>> {
        let Some(token) = &self.token else { return Ok(()) };
        token.check(headers).map_err(|mistake| {
            self.log_refused();
            Box::new(answer::unauthenticated(mistake, token.path()))
        })?;
        headers.remove(AUTHORIZATION);
        Ok(())
    }

    fn log_refused(&self) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.is_none_or(|at| at.elapsed() >= LOG_PAUSE) {
            *logged = Some(Instant::now());
            log("refused a call without the token");
        }
    }
}
