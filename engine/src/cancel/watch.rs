//! Ends what runs on a connection. SQLite asks the progress handler every so many operations; what takes long within one
//! operation looks, at best, at the flag of `sqlite3_interrupt`, which a thread of its own sets.

use std::{
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering, fence},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use rusqlite::{Connection, InterruptHandle};

use super::{super::temp_files, Cancel, Interruption};

/// How often the thread looks at what is running. A look is a lock a connection.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// How many looks in a row find nothing running before the thread sleeps until something is.
const IDLE_LOOKS: u32 = 50;

/// What ends the statements of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch(Arc<Mutex<Watched>>);

#[derive(Default)]
struct Watched {
    cancel: Option<Cancel>,
    limit: Option<(Instant, Interruption)>,
    patience: Option<Patience>,
    interruption: Option<Interruption>,
    is_paused: bool,
    interrupt: Option<InterruptHandle>,
}

/// How long others wait for what runs: as long as there are any, up to an instant.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    /// Until when it may run though others wait.
    pub(crate) until: Instant,
    /// How many others wait.
    pub(crate) others: Arc<AtomicUsize>,
}

impl Watch {
    /// Installs this watch as the connection's progress handler, asked every so many operations.
    pub(crate) fn install(&self, connection: &Connection, operations: i32) -> rusqlite::Result<()> {
        self.watched().interrupt = Some(connection.get_interrupt_handle());
        INTERRUPTER.add(self);
        let watch = self.clone();
        connection.progress_handler(operations, Some(move || watch.look()))
    }

    /// From now on, what runs belongs to this request and may also run up to a limit.
    pub(crate) fn begin(&self, cancel: &Cancel, limit: Option<(Instant, Interruption)>) {
        self.begin_short(cancel, limit);
        INTERRUPTER.wake();
    }

    /// The same for what is known to be short, which needs no thread to look after it.
    pub(crate) fn begin_short(&self, cancel: &Cancel, limit: Option<(Instant, Interruption)>) {
        let mut watched = self.watched();
        watched.cancel = Some(cancel.clone());
        watched.limit = limit;
        watched.patience = None;
        watched.interruption = None;
        watched.is_paused = false;
    }

    /// What has begun may also run only as long as others are patient.
    pub(crate) fn allow(&self, patience: Patience) {
        self.watched().patience = Some(patience);
    }

    /// From now on, nothing that runs is interrupted. Returns why the last request was, if it was.
    pub(crate) fn end(&self) -> Option<Interruption> {
        let mut watched = self.watched();
        watched.cancel = None;
        watched.limit = None;
        watched.patience = None;
        watched.interruption.take()
    }

    /// Why the running request has been interrupted, if it has.
    pub(crate) fn interruption(&self) -> Option<Interruption> {
        self.watched().interruption
    }

    /// Whether the running request must end. SQLite asks within a statement; between statements, which may be many and
    /// short, the caller asks.
    pub(crate) fn is_over(&self) -> Option<Interruption> {
        self.look();
        self.interruption()
    }

    /// Whether to let everything run on, because the daemon's own statements are at work.
    pub(crate) fn pause(&self, is_paused: bool) {
        self.watched().is_paused = is_paused;
    }

    /// Looks whether the running request must end.
    pub(crate) fn look(&self) -> bool {
        self.watched().look() || temp_files::is_over()
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn look(&mut self) -> bool {
        if self.is_paused {
            return false;
        }
        // A reason stays, or SQLite's own error would be left without one: those who waited may have given up since.
        if self.interruption.is_none() {
            self.interruption = self.cancel.as_ref().and_then(Cancel::interruption).or_else(|| self.limit());
        }
        self.interruption.is_some()
    }

    fn limit(&self) -> Option<Interruption> {
        if self.limit.is_none() && self.patience.is_none() {
            return None;
        }
        let now = Instant::now();
        let is_too_long = |patience: &Patience| now >= patience.until && patience.others.load(Ordering::Acquire) > 0;
        self.limit
            .filter(|(instant, _)| now >= *instant)
            .map(|(_, interruption)| interruption)
            .or_else(|| self.patience.as_ref().is_some_and(is_too_long).then_some(Interruption::BatchTime))
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Watched").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// The thread that interrupts connections.
static INTERRUPTER: LazyLock<Interrupter> = LazyLock::new(Interrupter::start);

struct Interrupter {
    watches: Arc<Mutex<Vec<Weak<Mutex<Watched>>>>>,
    is_asleep: Arc<AtomicBool>,
    thread: Option<Thread>,
}

impl Interrupter {
    fn start() -> Self {
        let (watches, is_asleep) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        let (of_thread, asleep) = (Arc::clone(&watches), Arc::clone(&is_asleep));
        let thread = thread::Builder::new().name("interrupter".into()).spawn(move || interrupt(&of_thread, &asleep));
        if let Err(error) = &thread {
            tracing::error!(%error, "cannot start the thread that interrupts statements; some will end late");
        }
        Self { watches, is_asleep, thread: thread.ok().map(|handle| handle.thread().clone()) }
    }

    fn add(&self, watch: &Watch) {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|watch| watch.strong_count() > 0);
        watches.push(Arc::downgrade(&watch.0));
    }

    fn wake(&self) {
        // Either the thread sees what has begun before it sleeps, or this sees that it sleeps.
        fence(Ordering::SeqCst);
        if self.is_asleep.load(Ordering::Relaxed)
            && let Some(thread) = &self.thread
        {
            thread.unpark();
        }
    }
}

fn interrupt(watches: &Mutex<Vec<Weak<Mutex<Watched>>>>, is_asleep: &AtomicBool) {
    let mut idle_looks = 0;
    loop {
        let sleeps = idle_looks >= IDLE_LOOKS;
        is_asleep.store(sleeps, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if look_at_all(watches) {
            idle_looks = 0;
        } else {
            idle_looks += 1;
            if sleeps {
                thread::park();
                idle_looks = 0;
            }
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

/// Interrupts each connection whose request must end. Returns whether any request runs.
fn look_at_all(watches: &Mutex<Vec<Weak<Mutex<Watched>>>>) -> bool {
    let watches = watches.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut is_any = false;
    for shared in watches.iter().filter_map(Weak::upgrade) {
        let mut connection = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if connection.cancel.is_some() {
            is_any = true;
            // Under the lock that ends the request: the interrupt can only meet the statement that it is meant for.
            if connection.look()
                && let Some(handle) = &connection.interrupt
            {
                handle.interrupt();
            }
        }
    }
    is_any
}
