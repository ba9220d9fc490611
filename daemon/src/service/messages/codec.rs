//! The codec of the daemon's side: looks at a message before it decodes it, and keeps large ones from the runtime's threads.

use std::{borrow::Cow, marker::PhantomData, sync::Arc};

use prost::{
    Message,
    bytes::{Buf as _, BufMut as _, Bytes},
    encoding::{WireType, encode_key, encode_varint},
};
use skylinedb::proto::v1::{self as proto, session_response::Response};
use skylinedb_engine::{Error, Hold, Kind};
use tonic::{
    Status,
    codec::{self, BufferSettings, DecodeBuf, EncodeBuf},
};

use super::{
    super::status::grpc_status,
    Arrival, Call, FREE_BYTES, Large, current, off_the_runtime,
    scan::{Contents, Refusal, Scan},
};

/// The number of `SessionResponse.query` (proto/skylinedb/v1/session.proto).
const SESSION_QUERY: u32 = 4;

/// What tonic sends at once; an answer from this length on is sent on its own.
const YIELD_BYTES: usize = 32 << 10;

/// What stands for it among tonic's bytes, header included. It fills tonic's buffer, so that it is sent at once and comes last.
pub(super) const STAND_IN_BYTES: usize = 5 + YIELD_BYTES;

/// What tonic allocates for a call at first.
const BUFFER_BYTES: usize = 8 << 10;

/// Answers of type `A`, requests of type `R`.
#[derive(Clone, Debug)]
pub(crate) struct Codec<A, R>(PhantomData<(A, R)>);

#[derive(Debug)]
pub(crate) struct Encoder<A> {
    call: Option<Arc<Call>>,
    answer: PhantomData<A>,
}

#[derive(Debug)]
pub(crate) struct Decoder<R> {
    call: Option<Arc<Call>>,
    /// How many messages have come.
    messages: u64,
    request: PhantomData<R>,
}

impl<A, R> Default for Codec<A, R> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<A, R> codec::Codec for Codec<A, R>
where
    A: Answer + Send + 'static,
    R: Message + Default + Scan + Send + 'static,
{
    type Encode = A;
    type Decode = R;
    type Encoder = Encoder<A>;
    type Decoder = Decoder<R>;

    fn encoder(&mut self) -> Encoder<A> {
        Encoder { call: current(), answer: PhantomData }
    }

    fn decoder(&mut self) -> Decoder<R> {
        Decoder { call: current(), messages: 0, request: PhantomData }
    }
}

impl<A: Answer> codec::Encoder for Encoder<A> {
    type Item = A;
    type Error = Status;

    fn encode(&mut self, answer: A, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let length = answer.encoded_len();
        if u32::try_from(length).is_err() {
            return Err(grpc_status(Error::new(
                Kind::Exhausted,
                "ANSWER_TOO_LARGE",
                "the answer is longer than gRPC allows",
            )));
        }
        match &self.call {
            Some(call) if length >= YIELD_BYTES => {
                // Freed there, too: a hundred thousand results take some milliseconds.
                let pieces = off_the_runtime(length, move || with_header(answer, length));
                call.state().encoded.push_back(pieces);
                buffer.put_bytes(0, YIELD_BYTES);
            }
            _ => answer.encode_raw(buffer),
        }
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
    }
}

/// The answer with gRPC's header, in two pieces: rows that are encoded already are not copied.
fn with_header<A: Answer>(mut answer: A, length: usize) -> [Bytes; 2] {
    let rows = answer.take_rows();
    let mut bytes = Vec::with_capacity(5 + length - rows.len());
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX)); // it was looked at
    answer.encode_before_rows(rows.len(), &mut bytes);
    [bytes.into(), rows]
}

/// An answer of the service.
pub(crate) trait Answer: Message {
    /// Takes away the rows at the message's end, encoded.
    fn take_rows(&mut self) -> Bytes {
        Bytes::new()
    }

    /// Encodes the message as far as its rows, which are so long and were taken away.
    fn encode_before_rows(&self, _rows_bytes: usize, bytes: &mut Vec<u8>)
    where
        Self: Sized,
    {
        self.encode_raw(bytes);
    }
}

impl Answer for proto::PingResponse {}
impl Answer for proto::ShutdownResponse {}
impl Answer for proto::ExecuteResponse {}

impl Answer for proto::QueryResponse {
    fn take_rows(&mut self) -> Bytes {
        self.rows.take()
    }
}

impl Answer for proto::SessionResponse {
    fn take_rows(&mut self) -> Bytes {
        match &mut self.response {
            Some(Response::Query(answer)) => answer.rows.take(),
            _ => Bytes::new(),
        }
    }

    fn encode_before_rows(&self, rows_bytes: usize, bytes: &mut Vec<u8>) {
        let Some(Response::Query(answer)) = &self.response else { return self.encode_raw(bytes) };
        Self { id: self.id, more: self.more, response: None }.encode_raw(bytes);
        encode_key(SESSION_QUERY, WireType::LengthDelimited, bytes);
        encode_varint((answer.encoded_len() + rows_bytes) as u64, bytes);
        answer.encode_raw(bytes);
    }
}

impl<R: Message + Default + Scan> codec::Decoder for Decoder<R> {
    type Item = R;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<R>, Status> {
        let number = self.messages;
        self.messages += 1;
        let large = self.call.as_ref().and_then(|call| call.take_large(number));
        let length = buffer.remaining();
        debug_assert_eq!(buffer.chunk().len(), length, "tonic's buffer is one piece");
        let (bytes, hold) = match large {
            Some(Large { bytes, outcome }) => (Cow::Owned(bytes), outcome),
            None => (Cow::Borrowed(buffer.chunk()), Ok(Hold::default())),
        };
        let request = match hold.and_then(|hold| self.admit(&bytes, hold)) {
            Ok((contents, mut hold)) => {
                // The bytes are freed there, too.
                let request = off_the_runtime(contents.memory_bytes, move || R::decode(&*bytes)).map_err(malformed)?;
                hold.shrink_to(contents.memory_bytes);
                self.arrived(Arrival { hold, memory_bytes: contents.memory_bytes, refused: None });
                request
            }
            Err(error) => {
                let stand_in = R::stand_in(&bytes).filter(|_| error.kind != Kind::Invalid);
                let Some(request) = stand_in else { return Err(grpc_status(error)) };
                self.arrived(Arrival { refused: Some(error), ..Arrival::default() });
                request
            }
        };
        buffer.advance(length);
        Ok(Some(request))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
    }
}

impl<R: Scan> Decoder<R> {
    /// Whether the message may be decoded, and its part of the ledger.
    fn admit(&self, bytes: &[u8], mut hold: Hold) -> Result<(Contents, Hold), Error> {
        let contents = off_the_runtime(bytes.len(), || Contents::of::<R>(bytes))?;
        if contents.memory_bytes > FREE_BYTES
            && let Some(call) = &self.call
        {
            let while_decoding = bytes.len() + contents.memory_bytes;
            call.ledger().requests.try_grow(&mut hold, while_decoding)?;
        }
        Ok((contents, hold))
    }

    fn arrived(&self, arrival: Arrival) {
        if let Some(call) = &self.call {
            call.state().arrival = arrival;
        }
    }
}

impl Call {
    /// The large message that stands at this place.
    fn take_large(&self, number: u64) -> Option<Large> {
        let mut state = self.state();
        if state.large.front()?.0 != number {
            return None;
        }
        state.large.pop_front().map(|(_, large)| large)
    }
}

/// The error of a message that cannot be decoded, whatever the decoder says of it.
pub(in super::super) fn malformed<E>(_: E) -> Status {
    grpc_status(Refusal::Malformed.into())
}

#[cfg(test)]
mod tests {
    use skylinedb::wire::ValueRef;

    use super::*;

    #[test]
    fn an_answer_in_pieces_has_the_bytes_of_the_whole() {
        let mut answer = proto::QueryResponse {
            columns: vec![proto::Column { name: "a".into(), ..Default::default() }],
            ..Default::default()
        };
        (0..10_000).for_each(|i| answer.rows.push([ValueRef::Integer(i), ValueRef::Text("text")]));
        check(answer.clone());
        check(proto::SessionResponse { id: 300, more: true, response: Some(Response::Query(answer)) });
        check(proto::SessionResponse { id: 1, more: false, response: Some(Response::Error(proto::Error::default())) });
    }

    fn check<A: Answer + Clone>(answer: A) {
        let whole = answer.encode_to_vec();
        let [head, rows] = with_header(answer, whole.len());
        assert_eq!(head[..5], [&[0][..], &u32::try_from(whole.len()).expect("short").to_be_bytes()].concat());
        assert_eq!([&head[5..], &rows].concat(), whole);
    }
}
