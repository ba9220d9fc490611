//! What messages take of the memory, over all clients: requests from when they are received until they are done, answers from
//! when they are made until their clients have taken them. Each has a half (`--max-buffered-bytes`), so that who sends much
//! keeps nobody from being answered. What is small is not counted: its bound is the number of calls.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Kind};

/// How long a message waits for its part, in its turn, before it is refused.
const WAIT: Duration = Duration::from_secs(1);

/// When a client that was refused should come again.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// How long after a refusal those who hold much without using it are in others' way.
const CONTENDED: Duration = Duration::from_secs(5);

/// What one permit stands for.
const BYTES_PER_PERMIT: usize = 1 << 10;

/// Both halves.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// For requests.
    pub requests: Half,
    /// For answers.
    pub answers: Half,
}

/// What is for requests, or for answers.
#[derive(Clone, Debug)]
pub struct Half {
    free: Arc<Semaphore>,
    permits: usize,
    refused: Arc<Mutex<Option<Instant>>>,
}

/// A part of a half, given back when it is dropped. A copy of what it belongs to has none.
#[derive(Debug, Default)]
pub struct Hold(Option<OwnedSemaphorePermit>);

impl Ledger {
    /// A ledger of so many bytes, half of them for requests and half for answers.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        Self { requests: Half::new(max_bytes / 2), answers: Half::new(max_bytes / 2) }
    }
}

impl Half {
    fn new(max_bytes: usize) -> Self {
        let permits = (max_bytes / BYTES_PER_PERMIT).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self { free: Arc::new(Semaphore::new(permits)), permits, refused: Arc::default() }
    }

    /// So much, if it is free. What is larger than the whole takes the whole.
    pub fn try_hold(&self, bytes: usize) -> Result<Hold, Error> {
        match Arc::clone(&self.free).try_acquire_many_owned(self.permits_for(bytes)) {
            Ok(permit) => Ok(Hold(Some(permit))),
            Err(_) => Err(self.refuse()),
        }
    }

    /// So much, once it is free.
    pub async fn hold(&self, bytes: usize) -> Result<Hold, Error> {
        self.hold_within(bytes, WAIT).await
    }

    /// So much, once it is free, if that is soon enough.
    pub async fn hold_within(&self, bytes: usize, wait: Duration) -> Result<Hold, Error> {
        let permits = Arc::clone(&self.free).acquire_many_owned(self.permits_for(bytes));
        match tokio::time::timeout(wait, permits).await {
            Ok(Ok(permit)) => Ok(Hold(Some(permit))),
            _ => Err(self.refuse()),
        }
    }

    /// Makes a part at least so large, if what is missing is free.
    pub fn try_grow(&self, hold: &mut Hold, bytes: usize) -> Result<(), Error> {
        let wanted = self.permits_for(bytes) as usize * BYTES_PER_PERMIT;
        if let Some(missing) = wanted.checked_sub(hold.bytes()).filter(|missing| *missing > 0) {
            hold.merge(self.try_hold(missing)?);
        }
        Ok(())
    }

    /// Whether a message was refused recently.
    #[must_use]
    pub fn is_contended(&self) -> bool {
        self.refused().is_some_and(|refused| refused.elapsed() < CONTENDED)
    }

    /// How much there is in all.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.permits * BYTES_PER_PERMIT
    }

    fn permits_for(&self, bytes: usize) -> u32 {
        u32::try_from((bytes / BYTES_PER_PERMIT).min(self.permits)).unwrap_or(u32::MAX)
    }

    fn refuse(&self) -> Error {
        *self.refused() = Some(Instant::now());
        Error::new(
            Kind::Exhausted,
            "BUFFERS_FULL",
            "the messages of all clients that are under way take all the memory that they may (--max-buffered-bytes); \
             nothing of this request is kept, try again",
        )
        .retry_after(RETRY_AFTER)
    }

    fn refused(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold {
    /// How much it is, in bytes; 0 if it is not counted.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) * BYTES_PER_PERMIT
    }

    /// Adds a part of the same half.
    pub fn merge(&mut self, other: Self) {
        match (&mut self.0, other.0) {
            (Some(permit), Some(other)) => permit.merge(other),
            (None, other) => self.0 = other,
            (Some(_), None) => {}
        }
    }

    /// Cuts off so much, or all that there is.
    #[must_use]
    pub fn split(&mut self, bytes: usize) -> Self {
        let Some(permit) = &mut self.0 else { return Self::default() };
        let permits = (bytes / BYTES_PER_PERMIT).min(permit.num_permits());
        Self(permit.split(permits))
    }

    /// Gives back what is more than this.
    pub fn shrink_to(&mut self, bytes: usize) {
        let rest = self.split(bytes);
        *self = rest;
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Hold {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_held_is_not_free_until_it_is_dropped() {
        let half = Half::new(10 << 10);
        let mut hold = half.try_hold(6 << 10).expect("6 of 10");
        assert_eq!(half.try_hold(5 << 10).expect_err("4 are left").reason, "BUFFERS_FULL");
        assert!(half.is_contended());
        let part = hold.split(2 << 10);
        assert_eq!((hold.bytes(), part.bytes()), (4 << 10, 2 << 10));
        drop(part);
        half.try_grow(&mut hold, 10 << 10).expect("what was given back");
        assert_eq!(half.hold(1 << 10).await.expect_err("after a second").reason, "BUFFERS_FULL");
        let (waited, ()) = tokio::join!(half.hold(1 << 10), async { hold.shrink_to(3 << 10) });
        assert_eq!((waited.expect("in its turn").bytes(), hold.bytes()), (1 << 10, 3 << 10));
    }

    #[tokio::test]
    async fn what_is_larger_than_the_whole_takes_the_whole() {
        let half = Half::new(10 << 10);
        assert_eq!(half.hold(1 << 30).await.expect("alone").bytes(), 10 << 10);
        assert_eq!(half.try_hold(100).expect("it is small").bytes(), 0);
    }
}
