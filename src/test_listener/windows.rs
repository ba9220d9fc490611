use std::sync::atomic::{AtomicU32, Ordering};

use skylinedb_local::Endpoint;
use tokio::net::windows::named_pipe::{NamedPipeServer, ServerOptions};

pub(crate) struct TestListener {
    pipe: NamedPipeServer,
    endpoint: Endpoint,
}

impl TestListener {
    pub(crate) fn listen() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let endpoint = Endpoint::new(format!("pipe:skylinedb-test-{}-{number}", std::process::id()));
        let pipe = ServerOptions::new().first_pipe_instance(true).create(endpoint.path()).expect("a pipe");
        Self { pipe, endpoint }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    pub(crate) async fn accept(self) -> NamedPipeServer {
        self.pipe.connect().await.expect("a client");
        self.pipe
    }
}
