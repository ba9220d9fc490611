//! The write path: a bounded queue, and the thread that owns the one connection that writes.
//!
//! `queue` (this file) → `thread` (takes requests from the queue) → `group` (many batches, one commit), or `transaction`
//! (one session's, which holds the writer), all of them on a `connection` that runs batches in savepoints.

mod batch;
mod group;
mod thread;
mod transaction;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

pub(super) use group::Bounds;
pub(crate) use transaction::WriteTransaction;

use super::{
    cancel::Cancel,
    connection::{Config, GuardedConnection},
    error::{Error, Kind},
    meta,
    statement::{Answer, Batch},
};
use transaction::Opening;

/// How long a request waits for a place in a full queue, in its turn, before it is refused.
const QUEUE_WAIT: Duration = Duration::from_secs(1);

/// When a client that was refused by a full queue should come again.
const QUEUE_FULL_RETRY_AFTER: Duration = Duration::from_millis(100);

/// The writer of a database.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Request>>>,
    revision: Arc<AtomicU64>,
    thread: Mutex<Option<JoinHandle<()>>>,
    capacity: usize,
}

/// The answer that will come once a batch is committed.
pub(crate) type PendingAnswer = oneshot::Receiver<Result<Answer, Error>>;

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
    cancel: Cancel,
    reply: oneshot::Sender<Result<Answer, Error>>,
}

impl Writer {
    /// Opens the connection and starts the thread.
    pub(super) fn start(config: &Config) -> Result<Self, Error> {
        Self::start_bounded(config, Bounds::default())
    }

    /// As [`Writer::start`], with groups bounded so.
    pub(super) fn start_bounded(config: &Config, bounds: Bounds) -> Result<Self, Error> {
        let connection = GuardedConnection::open_writer(config)?;
        let revision = Arc::new(AtomicU64::new(meta::create(&connection)?));
        let (queue, requests) = mpsc::channel(config.queue_jobs);
        let runtime = tokio::runtime::Handle::current();
        let writer =
            thread::WriterThread::new(connection, config.clone(), bounds, requests, Arc::clone(&revision), runtime);
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || writer.run())
            .map_err(|error| Error::internal(format_args!("starting the writer's thread: {error}")))?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            revision,
            thread: Mutex::new(Some(thread)),
            capacity: config.queue_jobs,
        })
    }

    /// The newest committed revision.
    pub(super) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Puts a batch into the queue. Batches are run in the order of these calls' ends.
    pub(super) async fn submit(&self, batch: Batch, cancel: Cancel) -> Result<PendingAnswer, Error> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(Request::Batch(Job { batch, cancel, reply })).await?;
        Ok(answer)
    }

    /// Opens a transaction that holds the writer, in its turn.
    pub(super) async fn begin(&self, cancel: Cancel) -> Result<WriteTransaction, Error> {
        let (transaction, opening, opened) = transaction::open(cancel);
        self.enqueue(Request::Transaction(opening)).await?;
        transaction.opened(opened).await
    }

    /// Lets the thread finish what is in the queue, checkpoint and end, and waits for it. Later requests are refused.
    pub(super) fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the writer's thread panicked");
        }
    }

    async fn enqueue(&self, request: Request) -> Result<(), Error> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let queue = queue.ok_or_else(shutting_down)?;
        match tokio::time::timeout(QUEUE_WAIT, queue.send(request)).await {
            Ok(sent) => sent.map_err(|_| shutting_down()),
            Err(_) => Err(Error::new(
                Kind::Exhausted,
                "QUEUE_FULL",
                format!(
                    "the writer's queue is full: {} batches have been waiting for longer than {QUEUE_WAIT:?}; nothing was \
                     written, try again",
                    self.capacity
                ),
            )
            .retry_after(QUEUE_FULL_RETRY_AFTER)),
        }
    }
}

/// The error for work that comes too late.
pub(crate) fn shutting_down() -> Error {
    Error::new(
        Kind::Unavailable,
        "SHUTTING_DOWN",
        "the daemon is shutting down and takes no new work; nothing was written, try again when it is back",
    )
}
