//! The body of an answer. What is counted is counted until the connection has sent it, and its bytes are freed.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Instant,
};

use http_body::{Body, Frame, SizeHint};
use prost::bytes::Bytes;
use skylinedb_engine::Hold;
use tonic::Status;

use super::{CALL, Call, codec::STAND_IN_BYTES};

/// What the connection gets at once of a large answer, so that it can be seen whether the client takes it.
const PIECE_BYTES: usize = 64 << 10;

/// The body of a call's answer.
pub(in super::super) struct SentBody {
    body: tonic::body::Body,
    call: Arc<Call>,
    /// What comes before anything else.
    next: [Bytes; 3],
}

/// Bytes that the connection has, and their part of the ledger.
struct Counted {
    bytes: Bytes,
    hold: Hold,
    call: Arc<Call>,
}

impl SentBody {
    pub(in super::super) fn new(body: tonic::body::Body, call: Arc<Call>) -> Self {
        Self { body, call, next: [const { Bytes::new() }; 3] }
    }

    fn next_piece(&mut self) -> Option<Bytes> {
        let next = self.next.iter_mut().find(|next| !next.is_empty())?;
        Some(next.split_to(next.len().min(PIECE_BYTES)))
    }

    /// Takes what tonic has sent. The end of it may stand for a large answer.
    fn take(&mut self, bytes: Bytes) {
        let (mut bytes, mut large) = (bytes, [const { Bytes::new() }; 2]);
        let mut state = self.call.state();
        if let Some(encoded) = state.encoded.pop_front() {
            bytes.truncate(bytes.len().saturating_sub(STAND_IN_BYTES));
            large = encoded;
        }
        let mut counted = |bytes: Bytes| {
            let hold = state.hold_for(bytes.len());
            if hold.bytes() == 0 {
                return bytes;
            }
            state.sending_bytes += hold.bytes();
            Bytes::from_owner(Counted { bytes, hold, call: Arc::clone(&self.call) })
        };
        let [head, rows] = large;
        let next = [bytes, head, rows].map(|piece| if piece.is_empty() { piece } else { counted(piece) });
        if state.sending_bytes > 0 {
            self.call.watch(&mut state);
        }
        drop(state);
        self.next = next;
    }
}

impl Body for SentBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        loop {
            if let Some(piece) = this.next_piece() {
                this.call.is_asked_for_more(true);
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            let body = Pin::new(&mut this.body);
            let Poll::Ready(frame) = CALL.sync_scope(Arc::clone(&this.call), || body.poll_frame(context)) else {
                this.call.is_asked_for_more(false);
                return Poll::Pending;
            };
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(bytes))) if !bytes.is_empty() => this.take(bytes),
                Some(Ok(Ok(_))) => {}
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.next.iter().all(Bytes::is_empty) && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut state = self.call.state();
        state.sending_bytes -= self.hold.bytes();
        state.taken = Instant::now();
    }
}

impl Call {
    /// Takes note that the connection has sent what it had, and whether it has got more. Only the connection says so.
    fn is_asked_for_more(self: &Arc<Self>, has_more: bool) {
        self.asked.store(self.asked.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        let was_behind = self.has_more.load(Ordering::Relaxed);
        if was_behind != has_more {
            self.has_more.store(has_more, Ordering::Relaxed);
        } else if has_more {
            self.watch(&mut self.state());
        }
    }
}
