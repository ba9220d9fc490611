//! A named pipe.

use std::io;

use tokio::time::{Instant, sleep};

use super::{CROWD_PATIENCE, CROWD_PAUSE};
use crate::{
    endpoint::Endpoint,
    windows::pipe::{Connection, is_busy},
};

pub(crate) use crate::windows::pipe::look;

/// A pipe all of whose instances are taken refuses at once: that does not mean that nobody is there.
pub(crate) async fn open(endpoint: &Endpoint) -> io::Result<Connection> {
    let begin = Instant::now();
    loop {
        let outcome = if endpoint.is_of_scope() {
            Connection::open_trusted(endpoint.path())
        } else {
            Connection::open(endpoint.path())
        };
        match outcome {
            Err(error) if is_busy(&error) && begin.elapsed() < CROWD_PATIENCE => sleep(CROWD_PAUSE).await,
            outcome => return outcome,
        }
    }
}
