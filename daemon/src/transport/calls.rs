//! Runs the calls of a connection, so that each can be ended on its own.

use http::Request;
use hyper::rt::Executor;
use tokio_util::sync::CancellationToken;

tokio::task_local! {
    /// Ends the call that is being served.
    static CALL: CancellationToken;
}

/// hyper's executor for one connection. It is given a future a call, which sends the answer, too.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    connection: CancellationToken,
}

/// Ends a call, or its connection, whatever the client does. An extension of each request.
#[derive(Clone, Debug)]
pub(crate) struct Hangup {
    call: CancellationToken,
    connection: CancellationToken,
}

impl Calls {
    /// Cancelled when the connection is to end.
    pub(super) fn connection(&self) -> &CancellationToken {
        &self.connection
    }

    /// Gives a request the means to end its call.
    pub(super) fn mark<B>(&self, request: &mut Request<B>) {
        if let Ok(call) = CALL.try_with(CancellationToken::clone) {
            request.extensions_mut().insert(Hangup { call, connection: self.connection.clone() });
        }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Calls {
    fn execute(&self, work: F) {
        tokio::spawn(async move {
            let token = CancellationToken::new();
            CALL.scope(token.clone(), token.run_until_cancelled(work)).await;
        });
    }
}

impl Hangup {
    /// Resets the call's stream.
    pub(crate) fn end_call(&self) {
        self.call.cancel();
    }

    /// Closes the call's connection.
    pub(crate) fn end_connection(&self) {
        self.connection.cancel();
    }
}
