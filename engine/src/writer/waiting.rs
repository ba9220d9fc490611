//! Who waits for the writer, and who holds it meanwhile.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::super::{
    cancel::{Cancel, Patience},
    error::Error,
};

/// Shared by the writer's thread and those who wait for it.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// How many requests wait.
    others: Arc<AtomicUsize>,
    holder: Mutex<Option<Holder>>,
}

/// What the writer does, for whom and since when.
#[derive(Debug)]
struct Holder {
    since: Instant,
    task: Task,
    /// Whose it is; of several, the first one's.
    request: Cancel,
}

/// What the writer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// It opens a transaction, which another process's lock may hinder.
    Begin,
    /// It runs batches.
    Batch,
    /// It commits so many batches.
    Commit(u64),
    /// It serves a session's transaction.
    Transaction,
    /// It runs what cannot run in a transaction.
    Outside,
}

impl Waiting {
    /// From now on, this request waits.
    pub(super) fn begin(&self, request: &Cancel) {
        self.others.fetch_add(1, Ordering::AcqRel);
        request.begin_waiting();
    }

    /// This request waits no longer, if it did: it is its turn, or its client has given up.
    pub(super) fn end(&self, request: &Cancel) {
        if request.end_waiting() {
            self.others.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The patience of those who wait with a batch that begins now.
    pub(super) fn patience(&self, limit: Duration) -> Option<Patience> {
        let until = Instant::now().checked_add(limit)?;
        Some(Patience { until, others: Arc::clone(&self.others) })
    }

    /// From now on, the writer is held for this request.
    pub(super) fn hold(&self, task: Task, request: &Cancel) {
        *self.holder() = Some(Holder { since: Instant::now(), task, request: request.clone() });
    }

    /// Whoever holds the writer does this now.
    pub(super) fn goes_on(&self, task: Task) {
        if let Some(holder) = &mut *self.holder() {
            holder.task = task;
        }
    }

    /// The writer is free.
    pub(super) fn release(&self) {
        *self.holder() = None;
    }

    /// The same error, with what is known of who holds the writer.
    pub(super) fn explain(&self, mut error: Error) -> Error {
        if let Some(holder) = &*self.holder() {
            error.message.push_str("; ");
            error.message.push_str(&holder.describe());
        }
        error
    }

    fn holder(&self) -> MutexGuard<'_, Option<Holder>> {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holder {
    fn describe(&self) -> String {
        let (seconds, client) = (self.since.elapsed().as_secs_f64(), self.request.client());
        let held = format!("the writer has been held for {seconds:.1} s by");
        match self.task {
            Task::Begin => format!("{held} a batch of {client}, which waits for the database file's lock"),
            Task::Batch => format!("{held} a batch of {client}"),
            Task::Commit(1) => format!("{held} the commit of a batch of {client}"),
            Task::Commit(batches) => format!("{held} the commit of {batches} batches, the first of {client}"),
            Task::Transaction => format!("{held} a transaction of {client}"),
            Task::Outside => format!("{held} a statement of {client} that runs outside of transactions"),
        }
    }
}
