//! The write path: a bounded queue, and the thread that owns the one connection that writes.
//!
//! `queue` (how requests come in) → `thread` (takes them) → `group` (many batches, one commit), or `transaction` (one
//! session's, which holds the writer; `operation` is the session's side), all of them on a `connection` that runs batches
//! in savepoints. `doubt` is what happens after a commit that failed, `reply` the way back, `waiting` who waits for whom.

mod batch;
mod doubt;
mod fault;
mod group;
mod operation;
mod queue;
mod reply;
mod thread;
mod transaction;
mod waiting;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

pub(super) use fault::Faults;
#[cfg(test)]
pub(super) use fault::Stage;
pub(super) use group::Bounds;
pub use operation::WriteTransaction;

use super::{
    cancel::Cancel,
    connection::Config,
    error::{Error, Kind},
    statement::{Answer, Batch},
};
use operation::Opening;
use queue::Queue;
use reply::{Pending, Reply};
use waiting::Waiting;

/// The writer of a database.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Queue,
    waiting: Arc<Waiting>,
    revision: Arc<AtomicU64>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Whether the thread has ended without having been closed.
    failed: watch::Receiver<bool>,
}

/// The answer that will come once a batch is committed. It comes in time: soon after the batch is given up, or its deadline
/// has passed, at the latest.
pub type PendingAnswer = Pending<Answer>;

/// What waits in the queue.
#[derive(Debug)]
enum Request {
    Batch(Job),
    Transaction(Opening),
}

/// A batch and whoever waits for it.
#[derive(Debug)]
struct Job {
    batch: Batch,
    reply: Reply<Answer>,
    /// Its part of what the queue may hold.
    bytes: Option<OwnedSemaphorePermit>,
}

/// Tells of the thread's end when it is dropped.
struct Alive {
    failed: watch::Sender<bool>,
    is_closed: bool,
}

impl Writer {
    /// Opens the connection and starts the thread.
    pub(super) fn start(config: &Config) -> Result<Self, Error> {
        Self::start_bounded(config, Bounds::default(), &Faults::default())
    }

    /// As [`Writer::start`], with groups bounded so, and with these faults.
    pub(super) fn start_bounded(config: &Config, bounds: Bounds, faults: &Faults) -> Result<Self, Error> {
        let (connection, revision) = thread::open(config, 0)?;
        let revision = Arc::new(AtomicU64::new(revision));
        let (sender, requests) = mpsc::channel(config.queue_jobs);
        let (waiting, (failed, has_failed)) = (Arc::<Waiting>::default(), watch::channel(false));
        let writer = thread::WriterThread::new(
            connection,
            config.clone(),
            bounds,
            requests,
            Arc::clone(&revision),
            Arc::clone(&waiting),
            faults.clone(),
        );
        let runtime = tokio::runtime::Handle::current();
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || {
                let mut alive = Alive { failed, is_closed: false };
                let _entered = runtime.enter(); // for sinks that wait for their client with a time limit
                writer.run();
                alive.is_closed = true;
            })
            .map_err(|error| Error::internal(format_args!("starting the writer's thread: {error}")))?;
        Ok(Self {
            queue: Queue::new(sender, Arc::clone(&waiting)),
            waiting,
            revision,
            thread: Mutex::new(Some(thread)),
            failed: has_failed,
        })
    }

    /// The newest committed revision.
    pub(super) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Puts a batch into the queue, or has it wait for a place there in its turn. Batches are run in the order of these
    /// calls.
    pub(super) fn submit(&self, batch: Batch, cancel: Cancel) -> PendingAnswer {
        let (reply, answer) = reply::channel(cancel, None);
        let pending = Pending::new(answer, &self.waiting);
        self.queue.put(Request::Batch(Job { batch, reply, bytes: None }));
        pending
    }

    /// Opens a transaction that holds the writer, in its turn.
    pub(super) async fn begin(&self, cancel: Cancel) -> Result<WriteTransaction, Error> {
        let (transaction, opening, opened) = operation::open(cancel);
        let opened = Pending::new(opened, &self.waiting);
        self.queue.put(Request::Transaction(opening));
        transaction.opened(opened).await
    }

    /// Lets the thread finish what is in the queue, checkpoint and end, and waits for it. Later requests are refused.
    pub(super) fn close(&self) {
        self.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the writer's thread panicked");
        }
    }

    /// Ends when the thread has ended though it was not to, with what has happened. Otherwise never.
    pub(super) async fn failed(&self) -> String {
        let mut failed = self.failed.clone();
        if failed.wait_for(|has_failed| *has_failed).await.is_ok() {
            return "the writer's thread has ended by a panic: no write is possible until the daemon is started again"
                .into();
        }
        std::future::pending().await
    }
}

impl Request {
    /// What it takes in the queue.
    fn size_bytes(&self) -> usize {
        match self {
            Self::Batch(job) => job.batch.size_bytes,
            Self::Transaction(_) => 0,
        }
    }

    /// Its part of what the queue may hold.
    fn with(mut self, bytes: Option<OwnedSemaphorePermit>) -> Self {
        if let Self::Batch(job) = &mut self {
            job.bytes = bytes;
        }
        self
    }

    /// Answers that it cannot be done.
    fn refuse(self, error: Error) {
        match self {
            Self::Batch(job) => job.reply.send(Err(error)),
            Self::Transaction(opening) => opening.opened.send(Err(error)),
        };
    }

    /// Ends when no client waits for it any more.
    async fn closed(&mut self) {
        match self {
            Self::Batch(job) => job.reply.closed().await,
            Self::Transaction(opening) => opening.opened.closed().await,
        }
    }
}

impl Job {
    fn cancel(&self) -> &Cancel {
        self.reply.cancel()
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        if !self.is_closed {
            let _ = self.failed.send(true);
        }
    }
}

/// The error for work that comes too late.
#[must_use]
pub fn shutting_down() -> Error {
    Error::new(
        Kind::Unavailable,
        "SHUTTING_DOWN",
        "the daemon is shutting down and takes no new work; nothing was written, try again when it is back",
    )
}
