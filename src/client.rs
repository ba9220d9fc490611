//! The client: ordinary calls, and sessions.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use prost::Message as _;
use skylinedb_local::Endpoint;
use tonic::{Request, Response, Status, transport::Channel};

use crate::{
    connector::{self, Grpc},
    error::Error,
    kept_stream::KeptStream,
    params::Params,
    pipeline::{self, Pipeline, Place},
    proto::v1::{self as proto, session_request::Request as Asked, session_response::Response as Answered},
    reason,
    result::{BatchResult, StatementResult},
    rows::Rows,
    session::{self, Session},
    start::{StartOptions, start_daemon},
    statement::{Batch, Statement},
};

/// A client of a daemon. It is cheap to clone, and clones share one connection; any number of tasks may use it at once.
///
/// A future that is dropped before it is done has the daemon give the request up. A connection that breaks is made anew by
/// the next call.
#[derive(Clone, Debug)]
pub struct Client {
    grpc: Grpc,
    endpoint: Endpoint,
    /// The stream that is kept open for ordinary requests. `None` if every request is to be a call.
    stream: Option<Arc<KeptStream>>,
    timeout: Option<Duration>,
}

/// Who answers a ping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pong {
    /// The daemon's version.
    pub version: String,
    /// The database file's absolute path.
    pub database: String,
    /// The newest revision: how many batches have been committed in the database's life.
    pub revision: u64,
    /// The daemon's process id.
    pub pid: u32,
    /// When the daemon started.
    pub start_time: SystemTime,
    /// SQLite's version.
    pub sqlite_version: String,
}

/// A longer request is a call of its own: on a stream it would hold up those behind it.
const STREAM_MAX_REQUEST_BYTES: usize = 64 << 10;

impl Client {
    /// Connects to the daemon at an endpoint, which may be a path.
    ///
    /// # Errors
    /// [`Error::NotRunning`] if no daemon listens there.
    pub async fn connect(endpoint: impl Into<Endpoint>) -> Result<Self, Error> {
        let endpoint = endpoint.into();
        let channel = connector::connect(&endpoint).await?;
        Ok(Self::over(channel, endpoint))
    }

    /// Connects to a daemon that says of itself that it serves, and is not about to end.
    pub(crate) async fn connect_to_serving(endpoint: Endpoint) -> Result<Self, Error> {
        let channel = connector::connect(&endpoint).await?;
        connector::check_health(channel.clone(), &endpoint).await?;
        Ok(Self::over(channel, endpoint))
    }

    fn over(channel: Channel, endpoint: Endpoint) -> Self {
        let grpc = connector::grpc(channel);
        let stream = Some(Arc::new(KeptStream::new(grpc.clone(), endpoint.clone())));
        Self { grpc, endpoint, stream, timeout: None }
    }

    /// Connects to the daemon, and starts one in the background if none is there: see
    /// [`start_daemon`](crate::start::start_daemon).
    ///
    /// # Errors
    /// [`Error::Start`] if none could be started, or if there is one that has another database.
    pub async fn connect_or_start(options: StartOptions) -> Result<Self, Error> {
        Ok(start_daemon(options).await?.client)
    }

    /// Connects to the first daemon that is found: at `SKYLINEDB_ENDPOINT` if that is set, else in user scope, else in
    /// machine scope ([`Endpoint::candidates`]).
    ///
    /// # Errors
    /// [`Error::NotRunning`] with every place where it was looked for.
    pub async fn connect_default() -> Result<Self, Error> {
        Self::connect_first(Endpoint::candidates()).await
    }

    /// Connects to the first of these endpoints where a daemon listens.
    ///
    /// # Errors
    /// [`Error::NotRunning`] with all of them.
    pub async fn connect_first(endpoints: impl IntoIterator<Item = Endpoint>) -> Result<Self, Error> {
        let mut all_looked = Vec::new();
        for endpoint in endpoints {
            match Self::connect(endpoint).await {
                Err(Error::NotRunning { looked }) => all_looked.extend(looked),
                outcome => return outcome,
            }
        }
        Err(Error::NotRunning { looked: all_looked })
    }

    /// The same client with a time limit on each request: one that takes longer is given up by the daemon with
    /// DEADLINE_EXCEEDED. Sessions that it opens have the limit, too.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The same client without the stream that it keeps open for ordinary requests: each then is a gRPC call of its own,
    /// which costs more.
    #[must_use]
    pub fn without_stream(mut self) -> Self {
        self.stream = None;
        self
    }

    /// Where the daemon listens.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Asks the daemon who it is.
    pub async fn ping(&self) -> Result<Pong, Error> {
        let pong = self.grpc.clone().ping(self.call(proto::PingRequest::default())).await;
        Ok(Pong::from_proto(self.answered(pong).await?))
    }

    /// Runs one statement, read or write, in a transaction of its own. Its rows are at most 16 MiB (unless the daemon was
    /// told otherwise); [`query`](Self::query) has no such limit.
    pub async fn execute(&self, sql: impl Into<String>, params: Params) -> Result<StatementResult, Error> {
        self.execute_batch(Batch::new().push(Statement::new(sql, params))).await?.into_single()
    }

    /// Runs a batch of statements in one transaction. When this returns, what they wrote is on disk.
    pub async fn execute_batch(&self, batch: Batch) -> Result<BatchResult, Error> {
        let request = batch.into_proto();
        if let Some(stream) = self.stream_for(request.encoded_len()).await? {
            return session::execute(&stream, request, Place::Independent, self.timeout).await;
        }
        let response = self.grpc.clone().execute(self.call(request)).await;
        Ok(BatchResult::from_proto(self.answered(response).await?))
    }

    /// Runs one statement that reads, and streams its rows.
    pub async fn query(&self, sql: impl Into<String>, params: Params) -> Result<Rows<'static>, Error> {
        let request = session::query(sql, params);
        if let Some(stream) = self.stream_for(request.encoded_len()).await? {
            match stream.ask(Asked::Query(request.clone()), Place::Independent, self.timeout).await {
                Ok(Answered::Query(answer)) => return Ok(Rows::of_answer(answer)),
                Ok(_) => return Err(Error::Protocol("a query was answered with something else".to_owned())),
                // It is not for a stream that others use, too.
                Err(Error::Database(error)) if error.reason == reason::NOT_SHORT => {}
                Err(error) => return Err(error),
            }
        }
        let messages = self.grpc.clone().query(self.call(request)).await;
        Rows::of_call(self.answered(messages).await?, self.endpoint.clone()).await
    }

    /// Opens a session.
    pub async fn session(&self) -> Result<Session, Error> {
        let opening = Pipeline::open(self.grpc.clone(), self.endpoint.clone());
        let pipeline = pipeline::within(self.timeout, opening).await?;
        Ok(Session::new(Arc::new(pipeline), self.timeout))
    }

    /// Ends the daemon: it finishes the work in hand first. Returns its process id; it is gone when that process is.
    pub async fn shutdown(&self) -> Result<u32, Error> {
        self.ask_for_shutdown(proto::ShutdownRequest::default()).await
    }

    /// As [`shutdown`](Self::shutdown), but work in hand has this long; then it is given up, and open transactions are rolled
    /// back. With no time at all that is at once.
    pub async fn shutdown_within(&self, grace: Duration) -> Result<u32, Error> {
        let grace_ms = Some(u32::try_from(grace.as_millis()).unwrap_or(u32::MAX));
        self.ask_for_shutdown(proto::ShutdownRequest { grace_ms, ..Default::default() }).await
    }

    async fn ask_for_shutdown(&self, request: proto::ShutdownRequest) -> Result<u32, Error> {
        let response = self.grpc.clone().shutdown(self.call(request)).await;
        Ok(self.answered(response).await?.pid)
    }

    /// The stream that is kept open, for a request that is not too long for it.
    async fn stream_for(&self, request_bytes: usize) -> Result<Option<Arc<Pipeline>>, Error> {
        match &self.stream {
            Some(stream) if request_bytes <= STREAM_MAX_REQUEST_BYTES => {
                pipeline::within(self.timeout, stream.get()).await
            }
            _ => Ok(None),
        }
    }

    async fn answered<T>(&self, response: Result<Response<T>, Status>) -> Result<T, Error> {
        connector::answered(response, &self.endpoint).await
    }

    fn call<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(timeout) = self.timeout {
            request.set_timeout(timeout);
        }
        request
    }
}

impl Pong {
    pub(crate) fn from_proto(pong: proto::PingResponse) -> Self {
        Self {
            version: pong.version,
            database: pong.database,
            revision: pong.revision,
            pid: pong.pid,
            start_time: pong.start_time.and_then(|time| time.try_into().ok()).unwrap_or(SystemTime::UNIX_EPOCH),
            sqlite_version: pong.sqlite_version,
        }
    }
}
