//! The way into the writer's queue: at once where there is room, otherwise in line and for a limited time.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, mpsc::error::TrySendError},
    task::unconstrained,
};

use super::{
    super::error::{Error, Kind},
    Request,
    reply::writer_failed,
    shutting_down,
    waiting::Waiting,
};

/// How long a request waits for a place in a full queue, in its turn, before it is refused.
const QUEUE_WAIT: Duration = Duration::from_secs(1);

/// Requests that wait for the writer, or are with it, take no more memory than this: four of the longest messages.
const QUEUE_MAX_BYTES: usize = 256 << 20;

/// What one permit of the queue stands for.
const BYTES_PER_PERMIT: usize = 1 << 10;

/// When a client that was refused by a full queue should come again.
const QUEUE_FULL_RETRY_AFTER: Duration = Duration::from_millis(100);

/// The queue's end where requests come in.
#[derive(Debug)]
pub(super) struct Queue {
    entrance: Arc<Mutex<Entrance>>,
    /// A permit each [`BYTES_PER_PERMIT`] that a batch in the queue, or with the thread, takes.
    bytes: Arc<Semaphore>,
    /// Who waits for a place: one after the other, so that the order of requests is kept and no large one is overtaken for ever.
    line: Arc<Semaphore>,
    waiting: Arc<Waiting>,
    capacity: usize,
}

#[derive(Debug)]
struct Entrance {
    /// `None` once the database is being closed.
    sender: Option<mpsc::Sender<Request>>,
    /// Requests that wait in line. While there are any, others line up behind them.
    in_line: usize,
}

/// A request's place in line, until it is dropped.
struct InLine(Arc<Mutex<Entrance>>);

/// Room for a request.
struct Room {
    bytes: OwnedSemaphorePermit,
    place: mpsc::OwnedPermit<Request>,
    /// Let go of last: the next in line comes after this request.
    _turn: OwnedSemaphorePermit,
}

impl Queue {
    pub(super) fn new(sender: mpsc::Sender<Request>, waiting: Arc<Waiting>) -> Self {
        let capacity = sender.max_capacity();
        Self {
            entrance: Arc::new(Mutex::new(Entrance { sender: Some(sender), in_line: 0 })),
            bytes: Arc::new(Semaphore::new(QUEUE_MAX_BYTES / BYTES_PER_PERMIT)),
            line: Arc::new(Semaphore::new(1)),
            waiting,
            capacity,
        }
    }

    /// Puts a request into the queue, or has it wait for a place there. It is answered if there is none.
    pub(super) fn put(&self, mut request: Request) {
        let permits = (request.size_bytes() / BYTES_PER_PERMIT + 1).min(QUEUE_MAX_BYTES / BYTES_PER_PERMIT);
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        let mut entrance = lock(&self.entrance);
        let Some(sender) = entrance.sender.clone() else {
            drop(entrance);
            return request.refuse(shutting_down());
        };
        if entrance.in_line == 0
            && let Ok(bytes) = Arc::clone(&self.bytes).try_acquire_many_owned(permits)
        {
            match sender.try_send(request.with(Some(bytes))) {
                Ok(()) => return,
                Err(TrySendError::Closed(request)) => return request.refuse(writer_failed(false)),
                Err(TrySendError::Full(full)) => request = full.with(None),
            }
        }
        entrance.in_line += 1;
        let in_line = InLine(Arc::clone(&self.entrance));
        let room = room(Arc::clone(&self.line), Arc::clone(&self.bytes), permits, sender);
        // Asked once here, so that requests line up in their order. tokio must not say "later" for fairness' sake: that
        // would lose the order.
        let mut room = Box::pin(unconstrained(room));
        let now = room.as_mut().now_or_never();
        drop(entrance);
        let full = self.full();
        let waiting = Arc::clone(&self.waiting);
        // A task of its own: whoever waits for the answer may not be asked while its client takes nothing, and would hold up
        // everybody behind it in line.
        tokio::spawn(async move {
            let _in_line = in_line;
            let found = tokio::select! {
                biased;
                found = async { match now { Some(found) => found, None => room.await } } => found,
                () = tokio::time::sleep(QUEUE_WAIT) => Err(waiting.explain(full)),
                () = request.closed() => return, // given up, and answered already
            };
            match found {
                Ok(Room { bytes, place, _turn }) => drop(place.send(request.with(Some(bytes)))),
                Err(error) => request.refuse(error),
            }
        });
    }

    /// Takes no more requests.
    pub(super) fn close(&self) {
        lock(&self.entrance).sender = None;
    }

    fn full(&self) -> Error {
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

async fn room(
    line: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    permits: u32,
    sender: mpsc::Sender<Request>,
) -> Result<Room, Error> {
    let turn = line.acquire_owned().await.map_err(|_| shutting_down())?;
    let bytes = bytes.acquire_many_owned(permits).await.map_err(|_| shutting_down())?;
    let place = sender.reserve_owned().await.map_err(|_| writer_failed(false))?;
    Ok(Room { bytes, place, _turn: turn })
}

fn lock(entrance: &Mutex<Entrance>) -> MutexGuard<'_, Entrance> {
    entrance.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for InLine {
    fn drop(&mut self) {
        lock(&self.0).in_line -= 1;
    }
}
