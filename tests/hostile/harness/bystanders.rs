//! Clients that do what all clients do, each on a connection of its own, and measure how long it takes.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use skylinedb::proto::v1::{
    PingRequest, SessionRequest, SessionResponse, session_request::Request, session_response::Response,
    skyline_db_service_client::SkylineDbServiceClient,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::{connection, figures::Figures};

/// What a bystander does, time and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ping,
    Health,
    /// A point read on a session.
    Read,
    /// A point read as a call of its own.
    UnaryRead,
    /// A point read whose text the daemon has not seen before.
    NewRead,
    /// One row. It may wait for other writes.
    Write,
}

/// All kinds.
pub(crate) const KINDS: [Kind; 6] = [Kind::Ping, Kind::Health, Kind::Read, Kind::UnaryRead, Kind::NewRead, Kind::Write];

/// A bystander's requests are due so often, whether or not the one before is answered.
const INTERVAL: Duration = Duration::from_millis(10);

/// A request that is not answered by then counts as this long, and its bystander stops.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bystanders at work.
#[derive(Debug)]
pub(crate) struct Bystanders {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Vec<(Kind, Figures)>>>,
}

impl Bystanders {
    /// Connects them and sets them to work, on a thread that they share with nothing else.
    pub(crate) fn start(endpoint: &Path) -> Self {
        let (stop, endpoint) = (Arc::new(AtomicBool::new(false)), endpoint.to_owned());
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(work(endpoint, stop, ready))
            }
        });
        is_ready.recv().ok(); // if they cannot connect, their thread ends with the error
        Self { stop, thread }
    }

    /// Ends them. How long their requests took.
    pub(crate) fn stop(self) -> anyhow::Result<Vec<(Kind, Figures)>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("a bystander has panicked"))?
    }
}

async fn work(
    endpoint: PathBuf,
    stop: Arc<AtomicBool>,
    ready: std::sync::mpsc::Sender<()>,
) -> anyhow::Result<Vec<(Kind, Figures)>> {
    let mut bystanders = Vec::new();
    for kind in KINDS {
        let mut bystander = Bystander::connect(kind, &endpoint).await?;
        bystander.ask().await.with_context(|| format!("{kind:?} before the hostile request"))?;
        bystanders.push(bystander);
    }
    ready.send(()).ok();
    let tasks = bystanders.into_iter().map(|bystander| bystander.measure(Arc::clone(&stop)));
    let tasks: Vec<_> = tasks.map(tokio::spawn).collect();
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await??);
    }
    Ok(all)
}

struct Bystander {
    kind: Kind,
    grpc: SkylineDbServiceClient<Channel>,
    health: HealthClient<Channel>,
    session: (mpsc::Sender<SessionRequest>, Streaming<SessionResponse>),
    number: u64,
}

impl Bystander {
    async fn connect(kind: Kind, endpoint: &Path) -> anyhow::Result<Self> {
        let channel = connection::connect(endpoint).await?;
        let mut grpc = SkylineDbServiceClient::new(channel.clone());
        let (requests, outgoing) = mpsc::channel(1);
        let answers = tokio::time::timeout(PATIENCE, grpc.session(ReceiverStream::new(outgoing))).await??.into_inner();
        Ok(Self { kind, grpc, health: HealthClient::new(channel), session: (requests, answers), number: 0 })
    }

    /// Asks at each interval. One that comes late because the one before took long counts from when it was due: a client
    /// that did not wait would have met the same.
    async fn measure(mut self, stop: Arc<AtomicBool>) -> anyhow::Result<(Kind, Figures)> {
        let mut figures = Figures::default();
        let mut due = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            let begin = if now < due {
                tokio::time::sleep_until(due.into()).await;
                Instant::now() // a late timer is not the daemon's
            } else {
                due
            };
            let Ok(answer) = tokio::time::timeout(PATIENCE, self.ask()).await else {
                figures.add(PATIENCE);
                break;
            };
            answer.with_context(|| format!("a bystander's {:?}", self.kind))?;
            figures.add(begin.elapsed());
            due += INTERVAL;
        }
        Ok((self.kind, figures))
    }

    async fn ask(&mut self) -> anyhow::Result<()> {
        self.number += 1;
        let id = self.number % 10_000 + 1;
        match self.kind {
            Kind::Ping => drop(self.grpc.ping(PingRequest::default()).await?),
            Kind::Health => drop(self.health.check(HealthCheckRequest::default()).await?),
            Kind::Read => self.execute("SELECT name FROM point WHERE id = ?1", &[id.cast_signed().into()]).await?,
            Kind::NewRead => {
                self.execute(&format!("SELECT name, {} FROM point WHERE id = {id}", self.number), &[]).await?;
            }
            Kind::Write => self.execute("INSERT INTO written(x) VALUES (?1)", &[id.cast_signed().into()]).await?,
            Kind::UnaryRead => {
                let sql = "SELECT name FROM point WHERE id = ?1".to_owned();
                drop(self.grpc.execute(connection::execute(vec![sql], &[id.cast_signed().into()], false)).await?);
            }
        }
        Ok(())
    }

    async fn execute(&mut self, sql: &str, parameters: &[skylinedb::Value]) -> anyhow::Result<()> {
        let request = Request::Execute(connection::execute(vec![sql.to_owned()], parameters, false));
        let (requests, answers) = &mut self.session;
        requests.send(SessionRequest { id: 1, request: Some(request), ..Default::default() }).await?;
        match answers.message().await?.and_then(|answer| answer.response) {
            // Its table may be changed at this moment, or its turn may not come: it has been answered.
            Some(Response::Execute(_) | Response::Error(_)) => Ok(()),
            other => bail!("{sql} was answered with {other:?}"),
        }
    }
}
