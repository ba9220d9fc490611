//! The stream that a client keeps open for its ordinary requests: a message on it costs half of what a call costs. Each
//! request on it is independent of the others, as calls are.

use std::sync::{Arc, Mutex, PoisonError};

use skylinedb_local::Endpoint;

use crate::{code::Code, connector::Grpc, error::Error, pipeline::Pipeline};

#[derive(Debug)]
pub(crate) struct KeptStream {
    grpc: Grpc,
    endpoint: Endpoint,
    stream: Mutex<Option<Arc<Pipeline>>>,
    /// Held by whoever opens a stream, so that others wait for that one.
    opening: tokio::sync::Mutex<()>,
}

impl KeptStream {
    pub(crate) fn new(grpc: Grpc, endpoint: Endpoint) -> Self {
        Self { grpc, endpoint, stream: Mutex::default(), opening: tokio::sync::Mutex::default() }
    }

    /// The stream, opened if it is not, or not any more. `None` if the daemon allows no more sessions: calls need none.
    pub(crate) async fn get(&self) -> Result<Option<Arc<Pipeline>>, Error> {
        if let Some(stream) = self.open_one() {
            return Ok(Some(stream));
        }
        let _opening = self.opening.lock().await;
        if let Some(stream) = self.open_one() {
            return Ok(Some(stream));
        }
        match Pipeline::open(self.grpc.clone(), self.endpoint.clone()).await {
            Ok(stream) => {
                let stream = Arc::new(stream);
                *self.stream.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&stream));
                Ok(Some(stream))
            }
            Err(Error::Database(error)) if error.code == Code::ResourceExhausted => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn open_one(&self) -> Option<Arc<Pipeline>> {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        stream.as_ref().filter(|stream| !stream.has_ended()).cloned()
    }
}
