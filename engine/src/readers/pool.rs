//! The pool's connections: how one is made, taken, used on a thread where waiting is allowed, and given back.

use std::{
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
};

use deadpool::managed::{Manager, Metrics, Object, RecycleResult};
use tokio::sync::OwnedSemaphorePermit;

use super::super::{
    connection::{Config, GuardedConnection},
    error::Error,
};

/// Makes readers. Unlike deadpool-sqlite's own manager it does not run a query on another thread to see whether a
/// connection is well, each time it is taken: that was 90 µs of a point read's 143 µs. A connection to a local file does
/// not fail by itself.
#[derive(Debug)]
pub(super) struct ReaderManager {
    config: Config,
}

impl ReaderManager {
    pub(super) fn new(config: Config) -> Self {
        Self { config }
    }
}

impl Manager for ReaderManager {
    type Type = GuardedConnection;
    type Error = Error;

    async fn create(&self) -> Result<GuardedConnection, Error> {
        let config = self.config.clone();
        let opened = tokio::task::spawn_blocking(move || GuardedConnection::open_reader(&config));
        opened.await.map_err(|_| Error::internal("opening a reader (a panic)"))?
    }

    async fn recycle(&self, _: &mut GuardedConnection, _: &Metrics) -> RecycleResult<Error> {
        Ok(()) // `Reader` gives back no connection that another request could not use at once
    }
}

/// A connection out of the pool. It goes back without its snapshot, which would keep the write-ahead log from being emptied.
#[derive(Debug)]
pub(super) struct Reader {
    object: Option<Object<ReaderManager>>,
    /// The place of a long text among those that may be at work. Free again when the connection is.
    _long_text: Option<OwnedSemaphorePermit>,
}

impl Reader {
    pub(super) fn new(object: Object<ReaderManager>, long_text: Option<OwnedSemaphorePermit>) -> Self {
        Self { object: Some(object), _long_text: long_text }
    }

    /// Closes the connection instead of giving it back.
    fn discard(mut self) {
        drop(self.object.take().map(Object::take));
    }
}

impl Deref for Reader {
    type Target = GuardedConnection;

    fn deref(&self) -> &GuardedConnection {
        self.object.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else { return };
        if object.in_transaction()
            && let Err(error) = object.run("ROLLBACK;")
        {
            tracing::warn!(%error, "cannot end a read's snapshot; closing its connection");
            drop(Object::take(object));
        }
    }
}

/// Runs something on a reader, on a thread where waiting is allowed. The reader goes back to the pool there, when the work has
/// ended: whether anything waits for the outcome, or takes it, does not matter.
pub(super) async fn on_thread<T: Send + 'static>(
    reader: Reader,
    run: impl FnOnce(&GuardedConnection) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let work = tokio::task::spawn_blocking(move || caught(reader, run).map(|(_, outcome)| outcome));
    work.await.unwrap_or_else(|_| Err(super::super::shutting_down()))
}

/// As [`on_thread`], and gives the reader back if the work has succeeded and the outcome is taken.
pub(super) async fn keeping<T: Send + 'static>(
    reader: Reader,
    run: impl FnOnce(&GuardedConnection) -> Result<T, Error> + Send + 'static,
) -> Result<(Reader, T), Error> {
    let work = tokio::task::spawn_blocking(move || caught(reader, run));
    work.await.unwrap_or_else(|_| Err(super::super::shutting_down()))
}

fn caught<T>(reader: Reader, run: impl FnOnce(&GuardedConnection) -> Result<T, Error>) -> Result<(Reader, T), Error> {
    if let Ok(outcome) = catch_unwind(AssertUnwindSafe(|| run(&reader))) {
        return outcome.map(|outcome| (reader, outcome));
    }
    reader.discard();
    Err(Error::internal("reading (a panic)"))
}
