//! HTTP/2's frames, as far as they must be followed to find the header blocks: RFC 9113, sections 3.4, 4.1, 6.2 and 6.10.

use std::ops::Range;

use super::{Malformed, hpack::Authorities};

/// The longest header block that is looked at, with its frames. h2 is told to take 16 KiB.
pub(super) const HEADERS_MAX_BYTES: usize = 64 << 10;

/// The most frames of one header block. h2 takes 6.
const HEADERS_MAX_FRAMES: usize = 16;

const PREFACE_BYTES: usize = 24; // "PRI * HTTP/2.0…", which h2 checks
const FRAME_HEADER_BYTES: usize = 9;

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

const END_HEADERS: u8 = 0x04;
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;

/// Where we are in what a client sends.
#[derive(Debug)]
pub(super) struct Frames {
    /// How far the next frame is.
    next_frame_bytes: usize,
    authorities: Authorities,
    stage: Stage,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// No request yet.
    First,
    /// The first request's authority was bad, so others may be.
    Mending,
    /// The first was good, or something was malformed.
    Done,
}

/// What begins with a frame's header.
enum Frame {
    /// Frames that end after so many bytes, and may pass.
    Passes(usize),
    Incomplete,
}

/// The frames of one header block.
struct HeaderBlock {
    fragments: Vec<Range<usize>>,
    bytes: usize,
}

impl Default for Frames {
    fn default() -> Self {
        Self { next_frame_bytes: PREFACE_BYTES, authorities: Authorities::default(), stage: Stage::First }
    }
}

impl Frames {
    pub(super) fn are_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Follows the frames through the next bytes, and mends the authorities in them. Says how many of the bytes may pass;
    /// the others are the beginning of a header block or of a frame's header, and want to be seen again, with more.
    pub(super) fn pass(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() && !self.are_done() {
            if self.next_frame_bytes == 0 {
                match self.frame(&mut bytes[at..]) {
                    Ok(Frame::Passes(bytes)) => self.next_frame_bytes = bytes,
                    Ok(Frame::Incomplete) => return at,
                    // h2's table is what the client thinks it is, so one may stop at any time.
                    Err(Malformed) => self.stage = Stage::Done,
                }
            }
            let passed = self.next_frame_bytes.min(bytes.len() - at);
            self.next_frame_bytes -= passed;
            at += passed;
        }
        bytes.len()
    }

    fn frame(&mut self, bytes: &mut [u8]) -> Result<Frame, Malformed> {
        let Some(header) = Header::read(bytes) else { return Ok(Frame::Incomplete) };
        if header.kind != HEADERS {
            return Ok(Frame::Passes(FRAME_HEADER_BYTES + header.payload_bytes));
        }
        let Some(frames) = HeaderBlock::find(bytes)? else { return Ok(Frame::Incomplete) };

        let mut block: Vec<u8> = frames.fragments.iter().flat_map(|at| &bytes[at.clone()]).copied().collect();
        let mended = self.authorities.mend(&mut block)?;
        if mended {
            let mut rest = &block[..];
            for fragment in &frames.fragments {
                let (part, others) = rest.split_at(fragment.len());
                bytes[fragment.clone()].copy_from_slice(part);
                rest = others;
            }
        }
        if self.stage == Stage::First {
            self.stage = if mended { Stage::Mending } else { Stage::Done };
        }
        Ok(Frame::Passes(frames.bytes))
    }
}

impl HeaderBlock {
    /// The header block that begins here, if all of it is here.
    fn find(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut block = Self { fragments: Vec::new(), bytes: 0 };
        loop {
            let Some(header) = Header::read(&bytes[block.bytes..]) else { return Ok(None) };
            let kind = if block.bytes == 0 { HEADERS } else { CONTINUATION };
            let payload = block.bytes + FRAME_HEADER_BYTES..block.bytes + FRAME_HEADER_BYTES + header.payload_bytes;
            if header.kind != kind || payload.end > HEADERS_MAX_BYTES || block.fragments.len() == HEADERS_MAX_FRAMES {
                return Err(Malformed);
            }
            if bytes.len() < payload.end {
                return Ok(None);
            }
            block.bytes = payload.end;
            block.fragments.push(header.fragment(bytes, payload)?);
            if header.flags & END_HEADERS != 0 {
                return Ok(Some(block));
            }
        }
    }
}

/// The beginning of a frame. Its stream does not matter here: h2 checks that the frames of a block belong together.
struct Header {
    payload_bytes: usize,
    kind: u8,
    flags: u8,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, kind, flags, ..] = bytes.first_chunk::<FRAME_HEADER_BYTES>()?;
        Some(Self { payload_bytes: u32::from_be_bytes([0, a, b, c]) as usize, kind, flags })
    }

    /// The part of the payload that belongs to the header block.
    fn fragment(&self, bytes: &[u8], payload: Range<usize>) -> Result<Range<usize>, Malformed> {
        if self.kind == CONTINUATION {
            return Ok(payload);
        }
        let Range { mut start, mut end } = payload;
        if self.flags & PADDED != 0 {
            let padding = bytes[start..end].first().copied().ok_or(Malformed)?;
            start += 1;
            end = end.saturating_sub(padding.into());
        }
        if self.flags & PRIORITY != 0 {
            start += 5;
        }
        if start <= end { Ok(start..end) } else { Err(Malformed) }
    }
}
