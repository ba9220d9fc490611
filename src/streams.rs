//! The streams that a client keeps open for its ordinary calls. A message on an open stream costs half of what a call
//! costs, and messages that are sent together share their way.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{connector::Grpc, endpoint::Endpoint, error::Error, pipeline::Pipeline};

/// Streams of one client. More than one is needed only where a slow request would hold up those behind it.
const MAX_STREAMS: usize = 4;

/// A request that is not answered for so long holds up those behind it: they get another stream.
const SLOW: Duration = Duration::from_millis(2);

/// gRPC's code for a limit that is reached.
const RESOURCE_EXHAUSTED: i32 = 8;

#[derive(Debug)]
pub(crate) struct Streams {
    grpc: Grpc,
    endpoint: Endpoint,
    open: Mutex<Vec<Arc<Pipeline>>>,
}

impl Streams {
    pub(crate) fn new(grpc: Grpc, endpoint: Endpoint) -> Self {
        Self { grpc, endpoint, open: Mutex::default() }
    }

    /// A stream to send a request on, the least busy one. `None` if all are held up and no more may be opened: the request
    /// then is a call of its own.
    pub(crate) async fn shared(&self) -> Result<Option<Arc<Pipeline>>, Error> {
        match self.pick() {
            Pick::Stream(stream) => Ok(Some(stream)),
            Pick::AllHeldUp => Ok(None),
            Pick::Open => self.open().await,
        }
    }

    fn pick(&self) -> Pick {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|stream| !stream.has_ended());
        let flowing = open
            .iter()
            .map(|stream| (stream.load(), stream))
            .filter(|((_, since), _)| since.is_none_or(|since| since.elapsed() < SLOW));
        match flowing.min_by_key(|((requests, _), _)| *requests) {
            Some((_, stream)) => Pick::Stream(Arc::clone(stream)),
            None if open.len() < MAX_STREAMS => Pick::Open,
            None => Pick::AllHeldUp,
        }
    }

    async fn open(&self) -> Result<Option<Arc<Pipeline>>, Error> {
        let stream = match Pipeline::open(self.grpc.clone(), self.endpoint.clone()).await {
            Ok(stream) => Arc::new(stream),
            // The daemon allows no more sessions. Calls need none.
            Err(Error::Database(error)) if error.code == RESOURCE_EXHAUSTED => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // Others may have opened one meanwhile; this one then serves its own request and is closed after it.
        if open.len() < MAX_STREAMS {
            open.push(Arc::clone(&stream));
        }
        Ok(Some(stream))
    }
}

enum Pick {
    Stream(Arc<Pipeline>),
    Open,
    AllHeldUp,
}
