//! Messages on their way in and out, counted in the ledger. Large ones do not go through tonic's buffers, which would keep their
//! size for as long as the call lasts: `received` and `sent`, the bodies of a call, and its `codec` hand them to each other by
//! way of the [`Call`], and tonic sees a message without content in their place.

mod codec;
mod received;
mod scan;
mod sent;
mod untaken;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Instant,
};

use prost::bytes::Bytes;
use skylinedb_engine::{Error, Hold, Ledger};
use tokio::runtime::{Handle, RuntimeFlavor};

pub(crate) use codec::Codec;
pub(super) use codec::malformed;
pub(super) use {received::ReceivedBody, sent::SentBody};

use crate::transport::Hangup;
pub(super) use untaken::Calls;

/// A message of this length does not go through tonic's buffers.
const LARGE_BYTES: usize = 16 << 10;

/// What a request may take uncounted: there are at most so many calls.
const FREE_BYTES: usize = 8 << 10;

/// To work on so much takes some 100 µs: the runtime's other work must not wait for it.
const LONG_BYTES: usize = 256 << 10;

tokio::task_local! {
    /// The call whose work is being done.
    static CALL: Arc<Call>;
}

/// A call's messages.
#[derive(Debug)]
pub(super) struct Call {
    calls: Arc<Calls>,
    hangup: Option<Hangup>,
    /// Whether the connection has more than it could send so far, and how often it has asked for more. Beside the state, because
    /// that is with every answer.
    has_more: AtomicBool,
    asked: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Large messages that were received, and where they stand among the others.
    large: VecDeque<(u64, Large)>,
    arrival: Arrival,
    /// For answers that were made and are not with the connection yet: their length, and their parts of the ledger.
    made: VecDeque<(usize, Hold)>,
    /// What the connection has got of them.
    sent_bytes: usize,
    /// Large answers that are encoded, in the order of those that stand for them.
    encoded: VecDeque<[Bytes; 2]>,
    /// Counted bytes that the connection has.
    sending_bytes: usize,
    /// When the client has last taken something, as far as was seen, and how often the connection had asked for more by then.
    taken: Instant,
    asked_before: u64,
    /// When it was given up on.
    ended: Option<Instant>,
    is_watched: bool,
}

/// A large message that was received, or the first bytes of one that was refused.
#[derive(Debug)]
struct Large {
    bytes: Vec<u8>,
    outcome: Result<Hold, Error>,
}

/// What is known of a request beside its message.
#[derive(Debug, Default)]
pub(super) struct Arrival {
    /// Its part of the ledger.
    pub(super) hold: Hold,
    /// How much memory it takes.
    pub(super) memory_bytes: usize,
    /// Why the message is only a stand-in for one that was refused.
    pub(super) refused: Option<Error>,
}

impl Call {
    fn new(calls: Arc<Calls>, hangup: Option<Hangup>) -> Self {
        let state = State {
            large: VecDeque::new(),
            arrival: Arrival::default(),
            made: VecDeque::new(),
            sent_bytes: 0,
            encoded: VecDeque::new(),
            sending_bytes: 0,
            taken: Instant::now(),
            asked_before: 0,
            ended: None,
            is_watched: false,
        };
        let (has_more, asked) = (AtomicBool::new(false), AtomicU64::new(0));
        Self { calls, hangup, has_more, asked, state: Mutex::new(state) }
    }

    fn ledger(&self) -> &Ledger {
        &self.calls.ledger
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn made_bytes(&self) -> usize {
        self.made.iter().map(|(_, hold)| hold.bytes()).sum()
    }

    /// The parts of answers that so many more bytes bring to their end: they are encoded now, and what they took before is free.
    /// Which of a session's answers it is does not matter: in the end each has been sent.
    fn hold_for(&mut self, bytes: usize) -> Hold {
        let mut held = Hold::default();
        self.sent_bytes += bytes;
        while let Some((encoded_bytes, _)) = self.made.front()
            && *encoded_bytes <= self.sent_bytes
            && let Some((encoded_bytes, mut hold)) = self.made.pop_front()
        {
            self.sent_bytes -= encoded_bytes;
            hold.shrink_to(encoded_bytes);
            held.merge(hold);
        }
        if self.made.is_empty() {
            self.sent_bytes = 0;
        }
        held
    }
}

/// Does something as a part of a call's work.
pub(super) async fn within<T>(call: Arc<Call>, work: impl Future<Output = T>) -> T {
    CALL.scope(call, work).await
}

fn current() -> Option<Arc<Call>> {
    CALL.try_with(Arc::clone).ok()
}

/// What is known of the request that was decoded last in this call.
pub(super) fn take_arrival() -> Arrival {
    CALL.try_with(|call| std::mem::take(&mut call.state().arrival)).unwrap_or_default()
}

/// Takes note that an answer was made that has this part, and so many bytes when it is encoded.
pub(super) fn made(hold: Hold, encoded_bytes: usize) {
    if hold.bytes() > 0 {
        let _ = CALL.try_with(|call| call.state().made.push_back((encoded_bytes, hold)));
    }
}

/// Counts an answer that was made, and is not counted yet.
pub(super) fn count_made(memory_bytes: usize, encoded_bytes: usize) -> Result<(), Error> {
    let Ok(ledger) = CALL.try_with(|call| call.ledger().clone()) else { return Ok(()) };
    made(ledger.answers.try_hold(memory_bytes)?, encoded_bytes);
    Ok(())
}

/// How much of the answers that were made is not with the connection yet.
pub(super) fn made_bytes() -> usize {
    CALL.try_with(|call| call.state().made_bytes()).unwrap_or_default()
}

/// Does some work that takes time in proportion to this. If that is long, the runtime's other work goes on meanwhile.
pub(super) fn off_the_runtime<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let is_multi_thread =
        || Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if bytes > LONG_BYTES && is_multi_thread() { tokio::task::block_in_place(work) } else { work() }
}
