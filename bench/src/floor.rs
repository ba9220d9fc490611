//! The framework's own floor: a bare tonic service whose session answers a ping and does nothing else.

use std::{
    path::{Path, PathBuf},
    pin::Pin,
    process::Command,
};

use skylinedb::proto::v1::{
    self as proto,
    session_request::Request as Asked,
    session_response::Response as Answered,
    skyline_db_service_server::{SkylineDbService, SkylineDbServiceServer},
};
use tokio_stream::{Stream, StreamExt as _, wrappers::UnixListenerStream};
use tonic::{Request, Response, Status, Streaming, transport};

use crate::{
    case::Case,
    measurement::Measurement,
    process::{Running, wait_for},
    skyline,
};

/// The service, in a process of its own.
#[derive(Debug)]
pub(crate) struct Server {
    socket: PathBuf,
    _process: Running,
}

struct Floor;

impl Server {
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        let socket = folder.join("floor.sock");
        let process = Running::start(Command::new(std::env::current_exe()?).arg("floor").arg(&socket))?;
        wait_for(&socket)?;
        Ok(Self { socket, _process: process })
    }

    pub(crate) fn measure(&self, case: &Case, seconds: u64) -> anyhow::Result<Measurement> {
        skyline::bench(&self.socket, case, seconds)
    }
}

/// Serves until it is ended.
pub(crate) fn serve(socket: &Path) -> anyhow::Result<()> {
    // As many threads as the daemon has.
    let threads = std::thread::available_parallelism()?.get().max(2) / 2;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::UnixListener::bind(socket)?;
        let server = transport::Server::builder().add_service(SkylineDbServiceServer::new(Floor));
        Ok(server.serve_with_incoming(UnixListenerStream::new(listener)).await?)
    })
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl SkylineDbService for Floor {
    type QueryStream = Answers<proto::QueryResponse>;
    type SessionStream = Answers<proto::SessionResponse>;

    async fn ping(&self, _: Request<proto::PingRequest>) -> Result<Response<proto::PingResponse>, Status> {
        Ok(Response::new(proto::PingResponse::default()))
    }

    async fn session(
        &self,
        requests: Request<Streaming<proto::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let answers = requests.into_inner().map(|request| {
            let request = request?;
            let response = match request.request {
                Some(Asked::Ping(_)) => Answered::Ping(proto::PingResponse::default()),
                _ => Answered::Execute(nothing_done()),
            };
            Ok(proto::SessionResponse { id: request.id, more: false, response: Some(response) })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn execute(&self, _: Request<proto::ExecuteRequest>) -> Result<Response<proto::ExecuteResponse>, Status> {
        Ok(Response::new(nothing_done()))
    }

    async fn query(&self, _: Request<proto::QueryRequest>) -> Result<Response<Self::QueryStream>, Status> {
        Err(Status::unimplemented("the floor only answers pings"))
    }

    async fn shutdown(&self, _: Request<proto::ShutdownRequest>) -> Result<Response<proto::ShutdownResponse>, Status> {
        Err(Status::unimplemented("the floor only answers pings"))
    }
}

/// The benchmark makes and drops its table; here that is nothing.
fn nothing_done() -> proto::ExecuteResponse {
    proto::ExecuteResponse { results: vec![proto::StatementResult::default()], ..Default::default() }
}
