//! What a client sends, made by hand.

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const SETTINGS: u8 = 4;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 0x01;
pub(super) const END_HEADERS: u8 = 0x04;
pub(super) const PADDED: u8 = 0x08;
pub(super) const PRIORITY: u8 = 0x20;

/// How a header's name or value is written.
pub(super) type Write = fn(&str) -> Vec<u8>;

/// All that a client sends: the preface, its settings, and these frames.
pub(super) fn connection(frames: &[u8]) -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(SETTINGS, 0, 0, &[])[..], frames].concat()
}

pub(super) fn request(stream: u32, headers: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &[&pseudo_headers(), headers].concat())
}

pub(super) fn request_with_pseudo_headers_after(stream: u32, headers: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &[headers, &pseudo_headers()].concat())
}

/// `:method: POST`, `:scheme: http`, `:path: /a.B/C`, none of them in the dynamic table.
pub(super) fn pseudo_headers() -> Vec<u8> {
    [&[0x83, 0x86, 0x04][..], &raw("/a.B/C")].concat()
}

/// An authority that becomes an entry of the dynamic table.
pub(super) fn authority(write: Write, value: &str) -> Vec<u8> {
    [&[0x41][..], &write(value)].concat()
}

pub(super) fn raw(text: &str) -> Vec<u8> {
    [&number(0, text.len())[..], text.as_bytes()].concat()
}

pub(super) fn huffman(text: &str) -> Vec<u8> {
    let code = super::super::huffman::encode(text.as_bytes());
    [&number(0x80, code.len())[..], &code].concat()
}

/// The length of a text.
fn number(flag: u8, value: usize) -> Vec<u8> {
    match value.checked_sub(127) {
        None => vec![flag | u8::try_from(value).unwrap()],
        Some(rest) => vec![flag | 127, u8::try_from(rest % 128).unwrap() | 128, u8::try_from(rest / 128).unwrap()],
    }
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
