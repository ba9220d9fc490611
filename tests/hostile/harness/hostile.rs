//! The hostile client.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use skylinedb::{
    Value,
    proto::v1::{
        CancelRequest, ExecuteRequest, QueryRequest, SessionRequest, SessionResponse, session_request::Request,
        session_response::Response, skyline_db_service_client::SkylineDbServiceClient,
    },
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};

use super::{
    case::{Case, Ends, Step, Way},
    connection,
};

/// How long a statement of a set-up may take.
const SET_UP_PATIENCE: Duration = Duration::from_secs(30);

/// How often a statement is run that the daemon should remember as a short one.
const WARM_TIMES: usize = 20;

/// A hostile client's connection, with a session on it.
#[derive(Debug)]
pub(crate) struct Hostile {
    grpc: SkylineDbServiceClient<Channel>,
    requests: mpsc::Sender<SessionRequest>,
    answers: Streaming<SessionResponse>,
    next_id: u64,
}

/// How a request ended.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) how: Ends,
    /// The error's text, if it ended with one.
    pub(crate) error: String,
    pub(crate) took: Duration,
}

/// The end of a call that was dropped: its client hears no more of it.
const DROPPED: End = End { how: Ends::Interrupted, error: String::new(), took: Duration::ZERO };

/// What ends a request before its own end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    /// The deadline that the daemon is told.
    Deadline(Duration),
    /// A cancel after this time. On calls it is the call's end, which has no answer.
    Cancel(Duration),
}

impl Hostile {
    pub(crate) async fn connect(endpoint: &Path) -> anyhow::Result<Self> {
        let channel = connection::connect(endpoint).await?;
        let mut grpc = SkylineDbServiceClient::new(channel)
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX);
        let (requests, outgoing) = mpsc::channel(8);
        let answers = grpc.session(ReceiverStream::new(outgoing)).await?.into_inner();
        Ok(Self { grpc, requests, answers, next_id: 1 })
    }

    /// Does what precedes the hostile request.
    pub(crate) async fn set_up(&mut self, case: &Case) -> anyhow::Result<()> {
        for step in &case.set_up {
            let (statements, parameters, times, way) = match step {
                Step::Run(sql) => (vec![sql.clone()], Vec::new(), 1, Way::Session),
                Step::Warm(parameters) => (case.text.statements(), parameters(), WARM_TIMES, case.way),
            };
            for _ in 0..times {
                let request = connection::execute(statements.clone(), &parameters, false);
                let end = self.send(request, way, Stop::Deadline(SET_UP_PATIENCE)).await?;
                if end.how != Ends::Answered {
                    bail!("setting up {}: {:?} ended with {}", case.name, statements, end.error);
                }
            }
        }
        Ok(())
    }

    /// Sends the hostile request and waits for its end.
    pub(crate) async fn run(&mut self, case: &Case, stop: Stop) -> anyhow::Result<End> {
        let request = connection::execute(case.text.statements(), &(case.parameters)(), case.each);
        self.send(request, case.way, stop).await
    }

    /// How long the session takes for its next request.
    pub(crate) async fn next_request(&mut self) -> anyhow::Result<Duration> {
        let request = connection::execute(vec!["SELECT 1".to_owned()], &[] as &[Value], false);
        let end = self.send(request, Way::Session, Stop::Deadline(SET_UP_PATIENCE)).await?;
        if end.how != Ends::Answered {
            bail!("the session cannot be used: {}", end.error);
        }
        Ok(end.took)
    }

    async fn send(&mut self, request: ExecuteRequest, way: Way, stop: Stop) -> anyhow::Result<End> {
        match way {
            Way::Session | Way::Independent => self.on_session(request, way == Way::Independent, stop).await,
            Way::Unary => {
                let mut grpc = self.grpc.clone();
                let begin = Instant::now();
                let outcome = until(stop, grpc.execute(with_deadline(request, stop))).await;
                Ok(outcome.map_or_else(|| DROPPED, |outcome| ended(outcome, begin)))
            }
            Way::Query => {
                let mut grpc = self.grpc.clone();
                let statement = request.statements.into_iter().next();
                let request = QueryRequest { statement, ..Default::default() };
                let begin = Instant::now();
                let outcome = until(stop, async {
                    let mut parts = grpc.query(with_deadline(request, stop)).await?.into_inner();
                    while parts.message().await?.is_some() {}
                    Ok(())
                });
                Ok(outcome.await.map_or_else(|| DROPPED, |outcome| ended(outcome, begin)))
            }
        }
    }

    async fn on_session(&mut self, request: ExecuteRequest, independent: bool, stop: Stop) -> anyhow::Result<End> {
        let id = self.next_id;
        self.next_id += 1;
        let timeout_ms = match stop {
            Stop::Deadline(deadline) => u32::try_from(deadline.as_millis())?,
            Stop::Cancel(_) => 0,
        };
        let request = SessionRequest { id, timeout_ms, independent, request: Some(Request::Execute(request)) };
        let mut begin = Instant::now();
        self.requests.send(request).await.context("the session has ended")?;
        let answer = match stop {
            Stop::Deadline(_) => self.answer(id).await?,
            Stop::Cancel(after) => {
                if let Ok(answer) = tokio::time::timeout(after, self.answer(id)).await {
                    answer?
                } else {
                    let cancel = Request::Cancel(CancelRequest { id });
                    begin = Instant::now();
                    let cancel = SessionRequest { request: Some(cancel), ..Default::default() };
                    self.requests.send(cancel).await.context("the session has ended")?;
                    self.answer(id).await?
                }
            }
        };
        let took = begin.elapsed();
        Ok(match answer {
            Response::Error(error) => {
                let code = Code::from_i32(error.code.cast_signed());
                End { how: how(code), error: format!("{}: {}", error.reason, error.message), took }
            }
            _ => End { how: Ends::Answered, error: String::new(), took },
        })
    }

    /// The last part of the answer to a request.
    async fn answer(&mut self, id: u64) -> anyhow::Result<Response> {
        while let Some(answer) = self.answers.message().await? {
            if answer.id == id && !answer.more {
                return answer.response.context("an answer without content");
            }
        }
        bail!("the session has ended")
    }
}

fn how(code: Code) -> Ends {
    if matches!(code, Code::DeadlineExceeded | Code::Cancelled) { Ends::Interrupted } else { Ends::Refused }
}

fn ended<T>(outcome: Result<T, Status>, begin: Instant) -> End {
    let took = begin.elapsed();
    match outcome {
        Ok(_) => End { how: Ends::Answered, error: String::new(), took },
        // tonic's own deadline on this side is CANCELLED.
        Err(status) => End { how: how(status.code()), error: status.message().to_owned(), took },
    }
}

fn with_deadline<T>(message: T, stop: Stop) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    if let Stop::Deadline(deadline) = stop {
        request.set_timeout(deadline);
    }
    request
}

/// The outcome of a call; `None` if it was cancelled, which for a call is to drop it.
async fn until<T>(stop: Stop, call: impl Future<Output = Result<T, Status>>) -> Option<Result<T, Status>> {
    match stop {
        Stop::Deadline(_) => Some(call.await),
        Stop::Cancel(after) => tokio::time::timeout(after, call).await.ok(),
    }
}
