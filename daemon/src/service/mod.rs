//! The protocol's calls: each translates its request, has the engine do it, and translates the answer. Nothing is decided
//! here but who may still ask for something when the daemon ends, and how much may be asked for at once.

mod bindings;
mod dispatch;
pub(crate) mod messages;
mod query;
mod session;
mod status;
mod translate;

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use futures_util::Stream;
use skylinedb::proto::v1 as proto;
use skylinedb_engine::{
    Batch, Cancel, Database, Error, Interruption, Kind, Ledger, Read, Route, RowSink, Statement, shutting_down,
};
use tokio::sync::{Semaphore, mpsc};
use tonic::{Extensions, Request, Response, Status, Streaming, metadata::MetadataMap};

pub(crate) use bindings::SkylineDbServiceServer;
pub(crate) use dispatch::{Dispatch, peer_not_allowed};

use crate::{
    lifecycle::{Lifecycle, Work},
    transport::Peer,
};
use query::{ChunkSink, OneChunk, Patience, RowChunks};
use session::Session;
use status::grpc_status;

/// How much may be asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) sql_bytes: usize,
    pub(crate) sessions: usize,
    pub(crate) message_bytes: usize,
    /// How long a session's read transaction may wait for its next request.
    pub(crate) snapshot_idle: Duration,
}

/// `skylinedb.v1.SkylineDbService`.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    database: Arc<Database>,
    lifecycle: Lifecycle,
    limits: Limits,
    /// A permit an open session.
    sessions: Arc<Semaphore>,
    start_time: SystemTime,
}

/// How long a client may leave rows untaken before its query is ended.
const ROWS_UNTAKEN: Duration = Duration::from_mins(5);

/// Messages with rows that wait for their client: one to be sent, one to be filled meanwhile.
const WAITING_CHUNKS: usize = 2;

type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Service {
    pub(crate) fn new(database: Arc<Database>, lifecycle: Lifecycle, limits: Limits, start_time: SystemTime) -> Self {
        let sessions = Arc::new(Semaphore::new(limits.sessions.min(Semaphore::MAX_PERMITS)));
        Self { database, lifecycle, limits, sessions, start_time }
    }

    /// Takes on a request, unless the daemon is going down.
    fn begin_work(&self) -> Result<Work, Error> {
        self.lifecycle.begin_work().ok_or_else(shutting_down)
    }

    fn ledger(&self) -> &Ledger {
        self.database.ledger()
    }

    /// Whether this names the daemon's database.
    fn check_database(&self, name: &str) -> Result<(), Error> {
        if name.is_empty() || self.database.path().to_str() == Some(name) {
            return Ok(());
        }
        Err(Error::new(
            Kind::NotFound,
            "NO_SUCH_DATABASE",
            format!(
                "this daemon has no database {name:?}; it has {:?}, which an empty name means",
                self.database.path().display().to_string()
            ),
        ))
    }

    fn pong(&self, request: &proto::PingRequest) -> Result<proto::PingResponse, Error> {
        self.check_database(&request.database)?;
        Ok(proto::PingResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            database: self.database.path().to_string_lossy().into_owned(),
            revision: self.database.revision(),
            pid: std::process::id(),
            start_time: Some(self.start_time.into()),
            sqlite_version: skylinedb_engine::sqlite_version().to_owned(),
        })
    }

    fn batch(&self, request: proto::ExecuteRequest, arrival: messages::Arrival) -> Result<Batch, Error> {
        self.check_database(&request.database)?;
        translate::batch(request, arrival, self.limits.sql_bytes)
    }

    /// Runs a batch outside of transactions.
    async fn execute_batch(&self, mut batch: Batch, cancel: Cancel) -> Result<proto::ExecuteResponse, Error> {
        let route = self.database.route(&batch);
        if let Some(result) = self.database.short_reads().batch(&batch, route, &cancel, true) {
            return result.map(translate::execute_response);
        }
        if route != Route::Writer {
            batch = match self.database.read(batch, cancel.clone()).await? {
                Read::Done(result) => return Ok(translate::execute_response(result)),
                Read::Writes(batch) => batch,
            };
        }
        translate::answer(self.database.submit(batch, cancel).await)
    }

    fn query_statement(&self, request: proto::QueryRequest, arrival: messages::Arrival) -> Result<Statement, Error> {
        self.check_database(&request.database)?;
        let statement = request.statement.ok_or_else(|| {
            Error::new(Kind::Invalid, "NO_STATEMENT", "the request has no statement; set `statement`")
        })?;
        let statement = translate::statement(statement, self.limits.sql_bytes)?;
        Ok(Statement { hold: arrival.hold, ..statement })
    }

    /// Starts a query outside of transactions.
    fn query_rows(&self, statement: Statement, cancel: &Cancel) -> RowChunks {
        let database = Arc::clone(&self.database);
        let own = cancel.clone();
        let patience = Patience { untaken: ROWS_UNTAKEN, waiting: Some(self.database.waiting_reads()) };
        Self::rows(cancel, patience, self.ledger(), |sink| async move { database.query(statement, own, sink).await })
    }

    /// Starts a query whose rows come as chunks. `run` gives the sink to the engine.
    fn rows<F>(
        cancel: &Cancel,
        patience: Patience,
        ledger: &Ledger,
        run: impl FnOnce(Box<dyn RowSink + Send>) -> F,
    ) -> RowChunks
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(WAITING_CHUNKS);
        let sink = ChunkSink::new(sender, cancel.clone(), patience, ledger.answers.clone());
        RowChunks::new(receiver, Box::pin(run(Box::new(sink))))
    }

    /// Something that is given up when the daemon's patience with its drain is over.
    async fn unless_cut<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.lifecycle.cut().run_until_cancelled(work).await.unwrap_or_else(|| Err(shutting_down()))
    }
}

#[tonic::async_trait]
impl bindings::SkylineDbService for Service {
    async fn ping(&self, request: Request<proto::PingRequest>) -> Result<Response<proto::PingResponse>, Status> {
        let _work = self.begin_work().map_err(grpc_status)?;
        Ok(Response::new(self.pong(request.get_ref()).map_err(grpc_status)?))
    }

    async fn execute(
        &self,
        request: Request<proto::ExecuteRequest>,
    ) -> Result<Response<proto::ExecuteResponse>, Status> {
        let _work = self.begin_work().map_err(grpc_status)?;
        let (metadata, extensions, request) = request.into_parts();
        let batch = self.batch(request, messages::take_arrival()).map_err(grpc_status)?;
        let cancel = Cancel::of(client(&extensions), deadline(&metadata));
        let gone = cancel.on_drop();
        let mut executed = std::pin::pin!(self.execute_batch(batch, cancel));
        let in_time = self.lifecycle.cut().run_until_cancelled(executed.as_mut()).await;
        let outcome = if let Some(outcome) = in_time {
            outcome
        } else {
            // It is given up; but whether it was is for the writer to say, who may be committing it now.
            gone.give_up(Interruption::ShuttingDown);
            executed.await
        };
        outcome.map(Response::new).map_err(grpc_status)
    }

    type QueryStream = BoxStream<proto::QueryResponse>;

    async fn query(&self, request: Request<proto::QueryRequest>) -> Result<Response<Self::QueryStream>, Status> {
        let work = self.begin_work().map_err(grpc_status)?;
        let (metadata, extensions, request) = request.into_parts();
        let statement = self.query_statement(request, messages::take_arrival()).map_err(grpc_status)?;
        let cancel = Cancel::of(client(&extensions), deadline(&metadata));
        let now = OneChunk::answer(&mut self.database.short_reads(), &statement, &cancel, true);
        if let Some(answer) = now {
            return Ok(Response::new(Box::pin(futures_util::stream::iter([answer.map_err(grpc_status)]))));
        }
        let guards = (cancel.on_drop(), work);
        let chunks = self.query_rows(statement, &cancel);
        let stream =
            futures_util::stream::unfold((chunks, self.clone(), guards), |(mut chunks, service, guards)| async {
                let chunk = service.unless_cut(chunks.next()).await.transpose()?;
                Some((chunk.map_err(grpc_status), (chunks, service, guards)))
            });
        Ok(Response::new(Box::pin(stream)))
    }

    type SessionStream = BoxStream<proto::SessionResponse>;

    async fn session(
        &self,
        request: Request<Streaming<proto::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        drop(self.begin_work().map_err(grpc_status)?);
        let permit = Arc::clone(&self.sessions).try_acquire_owned().map_err(|_| {
            grpc_status(Error::new(
                Kind::Exhausted,
                "TOO_MANY_SESSIONS",
                format!(
                    "{} sessions are open, and the daemon allows no more (--max-sessions); close some, or use Execute and \
                     Query",
                    self.limits.sessions
                ),
            ))
        })?;
        if let Some(peer) = request.extensions().get::<Peer>() {
            peer.log("a session begins");
        }
        let client = client(request.extensions());
        let session = Box::new(Session::new(self.clone(), request.into_inner(), permit, client)); // it is moved with every answer
        let stream = futures_util::stream::unfold(session, |mut session| async {
            let response = session.next().await?;
            Some((response, session))
        });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn shutdown(
        &self,
        request: Request<proto::ShutdownRequest>,
    ) -> Result<Response<proto::ShutdownResponse>, Status> {
        self.check_database(&request.get_ref().database).map_err(grpc_status)?;
        let grace = request.get_ref().grace_ms.map(|grace| Duration::from_millis(grace.into()));
        self.lifecycle.drain(if request.get_ref().force { Some(Duration::ZERO) } else { grace });
        Ok(Response::new(proto::ShutdownResponse { pid: std::process::id() }))
    }
}

/// Who has sent a request.
fn client(extensions: &Extensions) -> Option<Arc<str>> {
    extensions.get::<Peer>().map(|peer| Arc::clone(&peer.name))
}

/// The deadline that a client has set for its call, if it has.
fn deadline(metadata: &MetadataMap) -> Option<Instant> {
    let timeout = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = timeout.split_at_checked(timeout.len().checked_sub(1)?)?;
    let number: u64 = digits.parse().ok()?;
    let timeout = match unit {
        "H" => Duration::from_secs(number.checked_mul(3600)?),
        "M" => Duration::from_secs(number.checked_mul(60)?),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    };
    Instant::now().checked_add(timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_read_as_grpc_writes_it() {
        let left = |value: &'static str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", value.parse().expect("a header"));
            deadline(&metadata).map(|deadline| deadline.saturating_duration_since(Instant::now()).as_secs_f64().round())
        };
        assert_eq!(left("2H"), Some(7200.0));
        assert_eq!(left("3M"), Some(180.0));
        assert_eq!(left("5S"), Some(5.0));
        assert_eq!(left("7000m"), Some(7.0));
        assert_eq!(left("99999999u"), Some(100.0));
        for nonsense in ["5", "S", "", "5s", "-5S", "99999999999999999999S"] {
            assert_eq!(left(nonsense), None, "{nonsense:?}");
        }
        assert_eq!(deadline(&MetadataMap::new()), None);
    }
}
