//! Runs the calls of a connection, so that each can be ended on its own.

use std::sync::{Arc, OnceLock};

use http::Request;
use hyper::rt::Executor;
use tokio::task::AbortHandle;

tokio::task_local! {
    /// The task of the call that is being served.
    static CALL: Task;
}

/// A task, known once it has been spawned.
type Task = Arc<OnceLock<AbortHandle>>;

/// hyper's executor for one connection. It is given a future a call, which sends the answer, too.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    connection: Task,
}

/// Ends a call, or its connection, whatever the client does. An extension of each request.
#[derive(Clone, Debug)]
pub(crate) struct Hangup {
    call: Task,
    connection: Task,
}

impl Calls {
    /// Says which task serves the connection.
    pub(super) fn served_by(&self, task: AbortHandle) {
        let _ = self.connection.set(task);
    }

    /// Gives a request the means to end its call.
    pub(super) fn mark<B>(&self, request: &mut Request<B>) {
        if let Ok(call) = CALL.try_with(Arc::clone) {
            request.extensions_mut().insert(Hangup { call, connection: Arc::clone(&self.connection) });
        }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Calls {
    fn execute(&self, work: F) {
        let task = Task::default();
        let spawned = tokio::spawn(CALL.scope(Arc::clone(&task), async { drop(work.await) }));
        let _ = task.set(spawned.abort_handle());
    }
}

impl Hangup {
    /// Resets the call's stream.
    pub(crate) fn end_call(&self) {
        if let Some(task) = self.call.get() {
            task.abort();
        }
    }

    /// Closes the call's connection.
    pub(crate) fn end_connection(&self) {
        if let Some(task) = self.connection.get() {
            task.abort();
        }
    }
}
