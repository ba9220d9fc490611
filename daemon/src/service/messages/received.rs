//! The body of a request. A large message is received only once its place in memory is free, known from its header.

#[cfg(test)]
mod tests;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use prost::bytes::Bytes;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{Call, LARGE_BYTES, Large};
use skylinedb_engine::{Error, Hold, Kind};

/// gRPC's header: a flag for compression, and the length.
const HEADER_BYTES: usize = 5;

/// The header of an empty message.
const EMPTY: &[u8] = &[0; HEADER_BYTES];

/// What is kept of a message that is refused: its number.
const FIRST_BYTES: usize = 16;

/// How long the rest of a large message may stay away.
const REST_AWAY: Duration = Duration::from_mins(1);

/// The same, when others are refused because of it.
const REST_AWAY_WHEN_CONTENDED: Duration = Duration::from_secs(5);

/// How often that is looked at, and what must have come between two looks.
const LOOK: Duration = Duration::from_secs(1);
const PROGRESS_BYTES: usize = 64 << 10;

/// The body of a call's request.
pub(in super::super) struct ReceivedBody<B = Incoming> {
    body: B,
    call: Arc<Call>,
    max_message_bytes: usize,
    /// What has come and was not looked at.
    input: Bytes,
    /// A header that has come in part.
    header: Vec<u8>,
    /// Messages that were begun.
    messages: u64,
    state: State,
}

enum State {
    /// A header comes next.
    Header,
    /// A message that passes as it is: so much of it is to come.
    Passing(usize),
    /// A large message that waits for its place.
    Waiting(usize, BoxFuture<'static, Result<Hold, Error>>),
    /// A large message that is being received.
    Receiving(Receiving),
    /// A large message that is refused, of which the first bytes are to come.
    Refused { first: Vec<u8>, rest: usize, error: Error },
    /// So much of a refused message is to come.
    Skipping(usize),
}

struct Receiving {
    length: usize,
    bytes: Vec<u8>,
    hold: Hold,
    looks: Option<Interval>,
    bytes_at_look: usize,
    progress: Instant,
}

impl<B> ReceivedBody<B> {
    pub(in super::super) fn new(body: B, call: Arc<Call>, max_message_bytes: usize) -> Self {
        Self {
            body,
            call,
            max_message_bytes,
            input: Bytes::new(),
            header: Vec::new(),
            messages: 0,
            state: State::Header,
        }
    }

    /// Looks at what has come. What may pass is given; `None` if there is nothing more to look at.
    fn advance(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            match &mut self.state {
                State::Header => {
                    if self.input.is_empty() {
                        return Poll::Ready(None);
                    }
                    if let Some(bytes) = self.pass_headers() {
                        return Poll::Ready(Some(bytes));
                    }
                }
                State::Passing(rest) => {
                    let bytes = self.input.split_to(self.input.len().min(*rest));
                    *rest -= bytes.len();
                    if *rest == 0 {
                        self.state = State::Header;
                    }
                    return Poll::Ready((!bytes.is_empty()).then_some(bytes));
                }
                State::Waiting(length, hold) => {
                    let length = *length;
                    self.state = match ready!(hold.as_mut().poll(context)) {
                        Ok(hold) => State::Receiving(Receiving::new(length, hold)),
                        Err(error) => State::Refused { first: Vec::new(), rest: length, error },
                    };
                }
                State::Receiving(receiving) => {
                    let more = self.input.split_to(self.input.len().min(receiving.rest()));
                    receiving.bytes.extend_from_slice(&more);
                    if receiving.rest() == 0 {
                        let State::Receiving(Receiving { bytes, hold, .. }) =
                            std::mem::replace(&mut self.state, State::Header)
                        else {
                            return Poll::Ready(None);
                        };
                        return Poll::Ready(Some(self.hand_over(bytes, Ok(hold))));
                    }
                    let call = &self.call;
                    let Some(error) = receiving.look(context, || call.ledger().requests.is_contended()) else {
                        return Poll::Ready(None);
                    };
                    let rest = receiving.rest();
                    receiving.bytes.truncate(FIRST_BYTES);
                    let first = std::mem::take(&mut receiving.bytes);
                    self.state = State::Refused { first, rest, error };
                }
                State::Refused { first, rest, error } => {
                    let wanted = (FIRST_BYTES.saturating_sub(first.len())).min(*rest);
                    let more = self.input.split_to(self.input.len().min(wanted));
                    first.extend_from_slice(&more);
                    *rest -= more.len();
                    if more.len() < wanted {
                        return Poll::Ready(None);
                    }
                    let (first, error) = (std::mem::take(first), error.clone());
                    self.state = State::Skipping(*rest);
                    return Poll::Ready(Some(self.hand_over(first, Err(error))));
                }
                State::Skipping(rest) => {
                    *rest -= self.input.split_to(self.input.len().min(*rest)).len();
                    if *rest > 0 {
                        return Poll::Ready(None);
                    }
                    self.state = State::Header;
                }
            }
        }
    }

    /// What may pass up to the next large message, or to the end of what has come. Mostly that is all of it.
    fn pass_headers(&mut self) -> Option<Bytes> {
        if !self.header.is_empty() || self.input.len() < HEADER_BYTES {
            let missing = HEADER_BYTES - self.header.len();
            let more = self.input.split_to(self.input.len().min(missing));
            self.header.extend_from_slice(&more);
            let header = <[u8; HEADER_BYTES]>::try_from(self.header.as_slice()).ok()?;
            self.header.clear();
            return self.begin(header).then(|| Bytes::copy_from_slice(&header));
        }
        let mut passed = 0;
        while let Some(header) = self.input.get(passed..).and_then(|rest| rest.first_chunk::<HEADER_BYTES>()) {
            let header = *header;
            if !self.begin(header) {
                let bytes = self.input.split_to(passed);
                let _header = self.input.split_to(HEADER_BYTES);
                return (!bytes.is_empty()).then_some(bytes);
            }
            passed += HEADER_BYTES;
            if let State::Passing(rest) = &mut self.state {
                let more = (*rest).min(self.input.len() - passed);
                *rest -= more;
                passed += more;
                if *rest > 0 {
                    break;
                }
                self.state = State::Header;
            }
        }
        let bytes = self.input.split_to(passed);
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Begins a message. Whether it passes as it is: small ones do, and those that tonic refuses.
    fn begin(&mut self, header: [u8; HEADER_BYTES]) -> bool {
        let [flag, length @ ..] = header;
        let length = u32::from_be_bytes(length) as usize;
        if flag != 0 || length < LARGE_BYTES || length > self.max_message_bytes {
            self.messages += 1;
            self.state = if length == 0 { State::Header } else { State::Passing(length) };
            return true;
        }
        // Once as it came, and once decoded.
        let requests = self.call.ledger().requests.clone();
        self.state = match requests.try_hold(2 * length) {
            Ok(hold) => State::Receiving(Receiving::new(length, hold)),
            Err(_) => State::Waiting(length, Box::pin(async move { requests.hold(2 * length).await })),
        };
        false
    }

    /// Gives the message to the decoder, and an empty one to tonic.
    fn hand_over(&mut self, bytes: Vec<u8>, outcome: Result<Hold, Error>) -> Bytes {
        self.call.state().large.push_back((self.messages, Large { bytes, outcome }));
        self.messages += 1;
        Bytes::from_static(EMPTY)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for ReceivedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        loop {
            if let Some(bytes) = ready!(this.advance(context)) {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            debug_assert!(this.input.is_empty(), "all that has come was looked at");
            match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.input = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(this.last_bytes().map(|bytes| Ok(Frame::data(bytes)))),
            }
        }
    }
}

impl<B> ReceivedBody<B> {
    /// What tonic must see of a message that was cut off, to know that it was.
    fn last_bytes(&mut self) -> Option<Bytes> {
        let is_cut_off = matches!(self.state, State::Waiting(..) | State::Receiving(_) | State::Refused { .. });
        self.state = State::Header;
        if is_cut_off {
            return Some(Bytes::from_static(&EMPTY[..1]));
        }
        (!self.header.is_empty()).then(|| std::mem::take(&mut self.header).into())
    }
}

impl Receiving {
    fn new(length: usize, hold: Hold) -> Self {
        Self {
            length,
            bytes: Vec::with_capacity(length),
            hold,
            looks: None,
            bytes_at_look: 0,
            progress: Instant::now(),
        }
    }

    fn rest(&self) -> usize {
        self.length - self.bytes.len()
    }

    /// Gives up on a message of which no more comes.
    fn look(&mut self, context: &mut Context<'_>, is_contended: impl FnOnce() -> bool) -> Option<Error> {
        let looks = self.looks.get_or_insert_with(|| {
            let mut looks = interval(LOOK);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            looks
        });
        while looks.poll_tick(context).is_ready() {
            if self.bytes.len() - self.bytes_at_look >= PROGRESS_BYTES {
                self.progress = Instant::now();
            }
            self.bytes_at_look = self.bytes.len();
        }
        let away = self.progress.elapsed();
        if away < REST_AWAY_WHEN_CONTENDED || (away < REST_AWAY && !is_contended()) {
            return None;
        }
        Some(Error::new(
            Kind::Aborted,
            "MESSAGE_NOT_SENT",
            format!(
                "of a message of {} bytes only {} have come, and no more for {} seconds; its place in memory was given to others, \
                 and nothing of it was run",
                self.length,
                self.bytes.len(),
                away.as_secs()
            ),
        ))
    }
}
