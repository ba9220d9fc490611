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

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

pub(super) use group::Bounds;
pub(crate) use transaction::WriteTransaction;

use super::{
    cancel::Cancel,
    connection::Config,
    error::{Error, Kind},
    statement::{Answer, Batch},
};
use transaction::Opening;

/// How long a request waits for a place in a full queue, in its turn, before it is refused.
const QUEUE_WAIT: Duration = Duration::from_secs(1);

/// Requests that wait for the writer, or are with it, take no more memory than this: four of the longest messages.
const QUEUE_MAX_BYTES: usize = 256 << 20;

/// What one permit of the queue stands for.
const BYTES_PER_PERMIT: usize = 1 << 10;

/// When a client that was refused by a full queue should come again.
const QUEUE_FULL_RETRY_AFTER: Duration = Duration::from_millis(100);

/// The writer of a database.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Request>>>,
    /// A permit each [`BYTES_PER_PERMIT`] that a batch in the queue, or with the thread, takes.
    bytes: Arc<Semaphore>,
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
    /// Its part of what the queue may hold. `None` within a transaction, which has one batch at a time.
    _bytes: Option<OwnedSemaphorePermit>,
}

impl Writer {
    /// Opens the connection and starts the thread.
    pub(super) fn start(config: &Config) -> Result<Self, Error> {
        Self::start_bounded(config, Bounds::default())
    }

    /// As [`Writer::start`], with groups bounded so.
    pub(super) fn start_bounded(config: &Config, bounds: Bounds) -> Result<Self, Error> {
        let (connection, revision) = thread::open(config)?;
        let revision = Arc::new(AtomicU64::new(revision));
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
            bytes: Arc::new(Semaphore::new(QUEUE_MAX_BYTES / BYTES_PER_PERMIT)),
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
        let permits = (batch.size_bytes / BYTES_PER_PERMIT + 1).min(QUEUE_MAX_BYTES / BYTES_PER_PERMIT);
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        // One wait for both, in turn: whoever waits longer comes first, however large the others are.
        tokio::time::timeout(QUEUE_WAIT, async {
            let bytes = Arc::clone(&self.bytes).acquire_many_owned(permits).await.map_err(|_| shutting_down())?;
            self.enqueue(Request::Batch(Job { batch, cancel, reply, _bytes: Some(bytes) })).await
        })
        .await
        .unwrap_or_else(|_| Err(self.queue_full()))?;
        Ok(answer)
    }

    /// Opens a transaction that holds the writer, in its turn.
    pub(super) async fn begin(&self, cancel: Cancel) -> Result<WriteTransaction, Error> {
        let (transaction, opening, opened) = transaction::open(cancel);
        let queued = tokio::time::timeout(QUEUE_WAIT, self.enqueue(Request::Transaction(opening)));
        queued.await.unwrap_or_else(|_| Err(self.queue_full()))?;
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
        queue.ok_or_else(shutting_down)?.send(request).await.map_err(|_| shutting_down())
    }

    fn queue_full(&self) -> Error {
        Error::new(
            Kind::Exhausted,
            "QUEUE_FULL",
            format!(
                "the writer's queue is full: it takes {} batches and {} MiB, and has had no room for {QUEUE_WAIT:?}; nothing \
                 was written, try again",
                self.capacity,
                QUEUE_MAX_BYTES >> 20
            ),
        )
        .retry_after(QUEUE_FULL_RETRY_AFTER)
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
