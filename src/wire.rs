//! Rows as they are on the wire. A million rows pass through the daemon and a client without a message object a value: the
//! daemon writes SQLite's values straight into the bytes of a [`QueryResponse`], and a client reads its own values straight
//! out of them. Measured with 1 M rows of three columns (`scripts/compare --only scan`).

use prost::{
    DecodeError, Message,
    bytes::{Buf, BufMut, Bytes},
    encoding::{
        DecodeContext, WireType, decode_key, decode_varint, encode_varint, encoded_len_varint, message, skip_field,
    },
};

use crate::{proto::v1::Column, value::Value};

/// `skylinedb.v1.QueryResponse`, with its rows encoded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueryResponse {
    /// The columns, in the first message only.
    pub columns: Vec<Column>,
    /// The next rows.
    pub rows: EncodedRows,
}

/// Rows in their encoded form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedRows {
    /// The fields `rows` of a `QueryResponse`, one after the other, each with its key and its length.
    bytes: Vec<u8>,
    /// As `bytes`, but as they came, without a copy. They come after those.
    received: Bytes,
}

/// A value that is somebody else's memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueRef<'v> {
    /// NULL.
    Null,
    /// INTEGER.
    Integer(i64),
    /// REAL.
    Real(f64),
    /// TEXT.
    Text(&'v str),
    /// BLOB.
    Blob(&'v [u8]),
}

impl ValueRef<'_> {
    /// How long the text or the blob is.
    #[must_use]
    pub fn content_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Blob(blob) => blob.len(),
            _ => 0,
        }
    }
}

// The protocol's numbers (proto/skylinedb/v1/query.proto and value.proto).
const COLUMNS: u32 = 1;
const ROWS: u32 = 2;
const VALUES: u32 = 1;
const INTEGER: u32 = 1;
const REAL: u32 = 2;
const TEXT: u32 = 3;
const BLOB: u32 = 4;

impl EncodedRows {
    /// Room for rows of this length.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Encodes a row behind the others.
    pub fn push<'v>(&mut self, values: impl IntoIterator<Item = ValueRef<'v>>) {
        // A row's length is known only at its end, and mostly is one byte: for more, the row is moved.
        length_delimited(ROWS, 0, &mut self.bytes);
        let start = self.bytes.len();
        for value in values {
            encode_value(value, &mut self.bytes);
        }
        let (end, length) = (self.bytes.len(), (self.bytes.len() - start) as u64);
        let more = encoded_len_varint(length) - 1;
        if more > 0 {
            self.bytes.resize(end + more, 0);
            self.bytes.copy_within(start..end, start + more);
        }
        encode_varint(length, &mut &mut self.bytes[start - 1..]);
    }

    /// Takes the rows away, encoded as they are in a message.
    #[must_use]
    pub fn take(&mut self) -> Bytes {
        let Self { mut bytes, received } = std::mem::take(self);
        if bytes.is_empty() {
            return received;
        }
        bytes.extend_from_slice(&received);
        bytes.into()
    }

    /// How long the rows are.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.bytes.len() + self.received.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len_bytes() == 0
    }

    /// The bytes, to be read by [`Reader`].
    pub(crate) fn into_reader(mut self) -> Reader {
        Reader { bytes: self.take(), position: 0 }
    }
}

/// Rows that are not what the protocol says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row is malformed")]
pub(crate) struct Malformed;

/// Reads rows, one by one.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    bytes: Bytes,
    position: usize,
}

impl Reader {
    /// The next row, which has about so many values.
    pub(crate) fn next(&mut self, columns: usize) -> Option<Result<Vec<Value>, Malformed>> {
        let mut rest = &self.bytes[self.position..];
        let row = loop {
            if rest.is_empty() {
                break None;
            }
            match field(&mut rest) {
                Ok((ROWS, WireType::LengthDelimited, row)) => break Some(decode_row(row, columns)),
                Ok(_) => {} // a field of a newer protocol
                Err(malformed) => break Some(Err(malformed)),
            }
        };
        let is_malformed = matches!(row, Some(Err(_)));
        self.position = if is_malformed { self.bytes.len() } else { self.bytes.len() - rest.len() };
        row
    }
}

impl Message for QueryResponse {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        message::encode_repeated(COLUMNS, &self.columns, buffer);
        buffer.put_slice(&self.rows.bytes);
        buffer.put_slice(&self.rows.received);
    }

    /// A whole message, of which the rows stay where they are. As everywhere, fields come in the order of their numbers.
    fn merge(&mut self, mut buffer: impl Buf) -> Result<(), DecodeError> {
        let mut message = buffer.copy_to_bytes(buffer.remaining());
        while message.first().is_some_and(|first| *first != key(ROWS, WireType::LengthDelimited)) {
            let (tag, wire_type) = decode_key(&mut message)?;
            self.merge_field(tag, wire_type, &mut message, DecodeContext::default())?;
        }
        self.rows.bytes.extend_from_slice(&self.rows.received);
        self.rows.received = message;
        Ok(())
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            COLUMNS => message::merge_repeated(wire_type, &mut self.columns, buffer, context),
            ROWS => {
                let mut row = Bytes::new();
                prost::encoding::bytes::merge(wire_type, &mut row, buffer, context)?;
                length_delimited(ROWS, row.len(), &mut self.rows.bytes);
                self.rows.bytes.extend_from_slice(&row);
                Ok(())
            }
            _ => skip_field(wire_type, tag, buffer, context),
        }
    }

    fn encoded_len(&self) -> usize {
        message::encoded_len_repeated(COLUMNS, &self.columns) + self.rows.len_bytes()
    }

    fn clear(&mut self) {
        self.columns.clear();
        self.rows = EncodedRows::default();
    }
}

#[inline]
fn encode_value(value: ValueRef<'_>, buffer: &mut Vec<u8>) {
    match value {
        ValueRef::Null => length_delimited(VALUES, 0, buffer),
        ValueRef::Integer(integer) => {
            let zigzag = ((integer << 1) ^ (integer >> 63)).cast_unsigned();
            length_delimited(VALUES, 1 + encoded_len_varint(zigzag), buffer);
            buffer.push(key(INTEGER, WireType::Varint));
            put_varint(zigzag, buffer);
        }
        ValueRef::Real(real) => {
            length_delimited(VALUES, 9, buffer);
            buffer.push(key(REAL, WireType::SixtyFourBit));
            buffer.extend_from_slice(&real.to_le_bytes());
        }
        ValueRef::Text(text) => encode_bytes(TEXT, text.as_bytes(), buffer),
        ValueRef::Blob(blob) => encode_bytes(BLOB, blob, buffer),
    }
}

#[inline]
fn encode_bytes(tag: u32, bytes: &[u8], buffer: &mut Vec<u8>) {
    length_delimited(VALUES, 1 + encoded_len_varint(bytes.len() as u64) + bytes.len(), buffer);
    length_delimited(tag, bytes.len(), buffer);
    buffer.extend_from_slice(bytes);
}

#[inline]
fn length_delimited(tag: u32, length: usize, buffer: &mut Vec<u8>) {
    buffer.push(key(tag, WireType::LengthDelimited));
    put_varint(length as u64, buffer);
}

/// A field's key. All numbers here are below 16, so that it is one byte.
#[allow(clippy::cast_possible_truncation, reason = "a number below 16 and a type below 8 are seven bits")]
const fn key(tag: u32, wire_type: WireType) -> u8 {
    ((tag << 3) | wire_type as u32) as u8
}

/// As prost's, but inlined: most lengths are one byte, and there are several to a value.
#[inline]
fn put_varint(mut number: u64, buffer: &mut Vec<u8>) {
    while number >= 0x80 {
        #[allow(clippy::cast_possible_truncation, reason = "seven bits at a time")]
        buffer.push(number as u8 | 0x80);
        number >>= 7;
    }
    #[allow(clippy::cast_possible_truncation, reason = "below 0x80")]
    buffer.push(number as u8);
}

#[inline]
fn take_varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    match bytes {
        [first, rest @ ..] if *first < 0x80 => {
            let number = u64::from(*first);
            *bytes = rest;
            Ok(number)
        }
        _ => decode_varint(bytes).map_err(|_| Malformed),
    }
}

fn decode_row(mut row: &[u8], columns: usize) -> Result<Vec<Value>, Malformed> {
    // A claim about the length that comes from outside must not make this allocate much.
    let mut values = Vec::with_capacity(columns.min(row.len()));
    while !row.is_empty() {
        let (tag, wire_type, value) = field(&mut row)?;
        if (tag, wire_type) == (VALUES, WireType::LengthDelimited) {
            values.push(decode_value(value)?);
        }
    }
    Ok(values)
}

fn decode_value(mut value: &[u8]) -> Result<Value, Malformed> {
    let mut decoded = Value::Null;
    while !value.is_empty() {
        let (tag, wire_type, mut bytes) = field(&mut value)?;
        decoded = match (tag, wire_type) {
            (INTEGER, WireType::Varint) => {
                let zigzag = take_varint(&mut bytes)?;
                Value::Integer((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
            }
            (REAL, WireType::SixtyFourBit) => Value::Real(f64::from_le_bytes(bytes.try_into().map_err(|_| Malformed)?)),
            (TEXT, WireType::LengthDelimited) => Value::Text(str::from_utf8(bytes).map_err(|_| Malformed)?.to_owned()),
            (BLOB, WireType::LengthDelimited) => Value::Blob(bytes.to_vec()),
            _ => decoded, // a field of a newer protocol
        };
    }
    Ok(decoded)
}

/// Cuts the first field off: its number, its type and its content.
#[inline]
fn field<'b>(bytes: &mut &'b [u8]) -> Result<(u32, WireType, &'b [u8]), Malformed> {
    let key = take_varint(bytes)?;
    let wire_type = WireType::try_from(key & 7).map_err(|_| Malformed)?;
    let tag = u32::try_from(key >> 3).map_err(|_| Malformed)?;
    let length = match wire_type {
        WireType::LengthDelimited => usize::try_from(take_varint(bytes)?).map_err(|_| Malformed)?,
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::Varint => bytes.iter().position(|byte| byte & 0x80 == 0).ok_or(Malformed)? + 1,
        WireType::StartGroup | WireType::EndGroup => return Err(Malformed),
    };
    let (content, rest) = bytes.split_at_checked(length).ok_or(Malformed)?;
    *bytes = rest;
    Ok((tag, wire_type, content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1 as proto;

    /// The message as prost itself would have it.
    #[derive(Clone, PartialEq, Message)]
    struct Plain {
        #[prost(message, repeated, tag = "1")]
        columns: Vec<Column>,
        #[prost(message, repeated, tag = "2")]
        rows: Vec<proto::Row>,
    }

    fn values() -> Vec<Value> {
        let integers = [0, 1, -1, 63, 64, i64::MAX, i64::MIN].map(Value::Integer);
        let reals = [0.0, -0.0, 0.1, f64::INFINITY].map(Value::Real);
        let texts = ["", "a\0b", "snow \u{2603}"].map(|text| Value::Text(text.to_owned()));
        let blobs = [vec![], vec![0, 255], vec![7; 1000]].map(Value::Blob);
        [Value::Null].into_iter().chain(integers).chain(reals).chain(texts).chain(blobs).collect()
    }

    fn by_reference(value: &Value) -> ValueRef<'_> {
        match value {
            Value::Null => ValueRef::Null,
            Value::Integer(integer) => ValueRef::Integer(*integer),
            Value::Real(real) => ValueRef::Real(*real),
            Value::Text(text) => ValueRef::Text(text),
            Value::Blob(blob) => ValueRef::Blob(blob),
        }
    }

    fn pair() -> (QueryResponse, Plain) {
        let columns = vec![Column { name: "a".into(), declared_type: "TEXT".into() }];
        let mut response = QueryResponse { columns: columns.clone(), rows: EncodedRows::default() };
        response.rows.push(values().iter().map(by_reference));
        response.rows.push([]);
        let row = proto::Row { values: values().into_iter().map(Value::into_proto).collect() };
        (response, Plain { columns, rows: vec![row, proto::Row::default()] })
    }

    #[test]
    fn the_bytes_are_those_of_prost() {
        let (response, plain) = pair();
        assert_eq!(response.encode_to_vec(), plain.encode_to_vec());
        assert_eq!(response.encoded_len(), plain.encoded_len());
    }

    #[test]
    fn what_prost_has_encoded_is_read() {
        let (response, plain) = pair();
        let decoded = QueryResponse::decode(plain.encode_to_vec().as_slice()).expect("a message");
        assert_eq!(decoded.columns, response.columns);
        let mut reader = decoded.rows.into_reader();
        let row = reader.next(1).expect("a row").expect("no error");
        assert_eq!(format!("{row:?}"), format!("{:?}", values()), "-0.0 is not 0.0");
        assert_eq!(reader.next(1).expect("a row").expect("no error"), []);
        assert!(reader.next(1).is_none());
    }

    #[test]
    fn bytes_that_are_cut_off_or_wrong_are_an_error_and_no_panic() {
        let (response, _) = pair();
        let bytes = response.rows.bytes;
        for length in 1..bytes.len() {
            let mut reader = Reader { bytes: bytes[..length].to_vec().into(), position: 0 };
            while reader.next(usize::MAX).is_some() {}
            let mut wrong = bytes.clone();
            wrong[length] ^= 0xff;
            let mut reader = Reader { bytes: wrong.into(), position: 0 };
            while reader.next(1).is_some() {}
        }
    }
}
