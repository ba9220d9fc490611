//! How much memory a message will take once it is decoded, found without decoding it: an empty value has two bytes on the wire
//! and a hundred in memory, so that 64 MiB of them would be gigabytes.

use prost::{
    bytes::Buf as _,
    encoding::{WireType, decode_key, decode_varint},
};
use skylinedb::proto::v1 as proto;
use skylinedb_engine::{Error, Kind, Statement, Value};

/// Statements of one batch.
const MAX_STATEMENTS: usize = 100_000;

/// Values of all statements of one message: twenty a statement in the longest batch.
const MAX_VALUES: usize = 2_000_000;

/// What an allocation takes beside what was asked for, and at least.
const ALLOCATION: usize = 32;

/// A vector that grows has up to twice the places that it needs, and four at first.
const STATEMENT: usize = 2 * size_of::<proto::Statement>() + size_of::<Statement>() + ALLOCATION;
const VALUE: usize = 2 * size_of::<proto::Value>() + size_of::<Value>() + ALLOCATION;
const FIRST_VALUE: usize = 4 * size_of::<proto::Value>() + ALLOCATION;
/// A hash map has up to 16 places for 7 entries.
const NAMED_VALUE: usize =
    3 * (size_of::<String>() + size_of::<proto::Value>() + 1) + VALUE + size_of::<String>() + ALLOCATION;

/// What is in a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    statements: usize,
    values: usize,
    /// What the decoded message takes, at most.
    pub(super) memory_bytes: usize,
}

/// Why a message is not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is not what the protocol says.
    Malformed,
    TooManyStatements,
    TooManyValues,
}

/// A request that can be looked at before it is decoded.
pub(crate) trait Scan {
    /// Adds what is in these bytes, but for the texts and blobs.
    fn scan(bytes: &[u8], contents: &mut Contents) -> Result<(), Refusal>;

    /// A request that stands for one that is not decoded, if it can be answered on its own. These are its first bytes.
    fn stand_in(_first: &[u8]) -> Option<Self>
    where
        Self: Sized,
    {
        None
    }
}

impl Contents {
    pub(super) fn of<R: Scan>(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut contents = Self { memory_bytes: bytes.len() + size_of::<proto::SessionRequest>(), ..Self::default() };
        R::scan(bytes, &mut contents)?;
        Ok(contents)
    }

    fn statement(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.statements += 1;
        if self.statements > MAX_STATEMENTS {
            return Err(Refusal::TooManyStatements);
        }
        self.memory_bytes += STATEMENT;
        let values = self.values;
        each_field(bytes, |field, _| {
            let value = match field {
                2 if self.values == values => VALUE + FIRST_VALUE,
                2 => VALUE,
                3 => NAMED_VALUE,
                _ => return Ok(()),
            };
            self.values += 1;
            if self.values > MAX_VALUES {
                return Err(Refusal::TooManyValues);
            }
            self.memory_bytes += value;
            Ok(())
        })
    }
}

// Both have their statements in field 2.
impl Scan for proto::ExecuteRequest {
    fn scan(bytes: &[u8], contents: &mut Contents) -> Result<(), Refusal> {
        statements(bytes, contents)
    }
}

impl Scan for proto::QueryRequest {
    fn scan(bytes: &[u8], contents: &mut Contents) -> Result<(), Refusal> {
        statements(bytes, contents)
    }
}

impl Scan for proto::SessionRequest {
    fn scan(bytes: &[u8], contents: &mut Contents) -> Result<(), Refusal> {
        each_field(bytes, |field, content| match field {
            3 => proto::ExecuteRequest::scan(content, contents),
            4 => proto::QueryRequest::scan(content, contents),
            _ => Ok(()),
        })
    }

    fn stand_in(mut first: &[u8]) -> Option<Self> {
        // The number comes first, as everywhere. A number of 0 is not sent.
        let id = match decode_key(&mut first) {
            Ok((1, WireType::Varint)) => decode_varint(&mut first).ok()?,
            _ => 0,
        };
        Some(Self { id, ..Self::default() })
    }
}

impl Scan for proto::PingRequest {
    fn scan(_: &[u8], _: &mut Contents) -> Result<(), Refusal> {
        Ok(())
    }
}

impl Scan for proto::ShutdownRequest {
    fn scan(_: &[u8], _: &mut Contents) -> Result<(), Refusal> {
        Ok(())
    }
}

fn statements(bytes: &[u8], contents: &mut Contents) -> Result<(), Refusal> {
    each_field(bytes, |field, content| if field == 2 { contents.statement(content) } else { Ok(()) })
}

/// Gives each field's number, and its content if that has a length.
fn each_field(mut bytes: &[u8], mut found: impl FnMut(u32, &[u8]) -> Result<(), Refusal>) -> Result<(), Refusal> {
    while !bytes.is_empty() {
        let (field, wire_type) = decode_key(&mut bytes).map_err(|_| Refusal::Malformed)?;
        let length = match wire_type {
            WireType::LengthDelimited => usize::try_from(decode_varint(&mut bytes).map_err(|_| Refusal::Malformed)?)
                .map_err(|_| Refusal::Malformed)?,
            WireType::Varint => {
                decode_varint(&mut bytes).map_err(|_| Refusal::Malformed)?;
                continue;
            }
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            // Of a protocol before proto3.
            WireType::StartGroup | WireType::EndGroup => return Err(Refusal::Malformed),
        };
        let content = bytes.get(..length).ok_or(Refusal::Malformed)?;
        if wire_type == WireType::LengthDelimited {
            found(field, content)?;
        }
        bytes.advance(length);
    }
    Ok(())
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let (kind, reason, message) = match refusal {
            Refusal::Malformed => (
                Kind::Invalid,
                "MALFORMED_MESSAGE",
                "the request's bytes are not the message that this call takes, and nothing of it was run; make the client's code \
                 from the daemon's own .proto files, which its reflection has, too",
            ),
            Refusal::TooManyStatements => (
                Kind::Exhausted,
                "TOO_MANY_STATEMENTS",
                "the batch has more than 100,000 statements; send several batches, or a session's transaction",
            ),
            Refusal::TooManyValues => (
                Kind::Exhausted,
                "TOO_MANY_VALUES",
                "the statements have more than 2,000,000 values in all; send several batches, or a session's transaction",
            ),
        };
        Self::new(kind, reason, message)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    fn value(integer: i64) -> proto::Value {
        proto::Value { kind: Some(proto::value::Kind::Integer(integer)) }
    }

    fn statement(parameters: i64) -> proto::Statement {
        proto::Statement {
            sql: "SELECT 1".into(),
            parameters: (0..parameters).map(value).collect(),
            named_parameters: [("a".to_owned(), value(1)), ("b".to_owned(), value(2))].into(),
        }
    }

    #[test]
    fn statements_and_values_are_counted_wherever_they_are() {
        let execute = proto::ExecuteRequest { statements: vec![statement(3), statement(0)], ..Default::default() };
        let query = proto::QueryRequest { statement: Some(statement(5)), ..Default::default() };
        let contents = Contents::of::<proto::ExecuteRequest>(&execute.encode_to_vec()).expect("a message");
        assert_eq!((contents.statements, contents.values), (2, 7));
        let in_session = |request| proto::SessionRequest { id: 9, request: Some(request), ..Default::default() };
        let execute = in_session(proto::session_request::Request::Execute(execute)).encode_to_vec();
        let in_session = in_session(proto::session_request::Request::Query(query)).encode_to_vec();
        let contents = Contents::of::<proto::SessionRequest>(&execute).expect("a message");
        assert_eq!((contents.statements, contents.values), (2, 7));
        let contents = Contents::of::<proto::SessionRequest>(&in_session).expect("a message");
        assert_eq!((contents.statements, contents.values), (1, 7));
        assert_eq!(proto::SessionRequest::stand_in(&in_session[..16]).map(|stand_in| stand_in.id), Some(9));
    }

    #[test]
    fn bytes_that_are_cut_off_or_wrong_are_an_error_and_no_panic() {
        let execute = proto::ExecuteRequest { statements: vec![statement(3); 3], ..Default::default() };
        let bytes = execute.encode_to_vec();
        for length in 0..bytes.len() {
            let decoded = proto::ExecuteRequest::decode(&bytes[..length]).is_ok();
            let scanned = Contents::of::<proto::ExecuteRequest>(&bytes[..length]).is_ok();
            assert!(scanned || !decoded, "what can be decoded is not refused: {length}");
            let mut wrong = bytes.clone();
            wrong[length] ^= 0xff;
            let _ = Contents::of::<proto::ExecuteRequest>(&wrong);
        }
    }

    #[test]
    fn what_is_empty_counts_as_what_it_takes_in_memory() {
        let empty = [0x12, 0].repeat(1_000);
        let contents = Contents::of::<proto::ExecuteRequest>(&empty).expect("a message");
        let decoded = proto::ExecuteRequest::decode(&*empty).expect("a message");
        assert!(contents.memory_bytes >= decoded.statements.capacity() * size_of::<proto::Statement>());
        let many = [0x12, 0].repeat(MAX_STATEMENTS + 1);
        assert_eq!(Contents::of::<proto::ExecuteRequest>(&many), Err(Refusal::TooManyStatements));
    }
}
