//! Header blocks (HPACK, RFC 7541), as far as they must be read to find the authority in them.
//!
//! An authority is mended where it is, and keeps both its lengths: that of its bytes here, and that of its text, which is
//! what counts in the dynamic table. So the frames around it need not change, and the table that h2 makes has the entries
//! that the client believes it has. Nobody has to decode the other headers, or to encode any.

use std::ops::Range;

use http::uri::Authority;

use super::{Malformed, huffman};

const AUTHORITY: usize = 1; // in the static table, which ends at 61
const DYNAMIC: usize = 62;

/// What makes a literal an entry of the dynamic table.
const INDEXED: u8 = 0x40;

/// Which entries of the client's dynamic table are authorities, for clients that name a header by such an entry: one bit
/// each, the newest is the lowest. The table has 4,096 bytes, and an entry counts 32 more than its text: there are at most
/// 128.
#[derive(Debug, Default)]
pub(super) struct Authorities(u128);

impl Authorities {
    /// Mends the authorities in the next header block. Says whether there was one to mend.
    pub(super) fn mend(&mut self, block: &mut [u8]) -> Result<bool, Malformed> {
        let mut mended = false;
        let mut reader = Reader { block, at: 0 };
        while let Some(&kind) = reader.block.get(reader.at) {
            let name_bits = match kind {
                0x80.. => {
                    reader.integer(7)?; // a whole entry of a table
                    continue;
                }
                INDEXED..0x80 => 6,
                0x20..INDEXED => {
                    reader.integer(5)?; // another size of the table
                    continue;
                }
                ..0x20 => 4,
            };
            let is_authority = match reader.integer(name_bits)? {
                0 => reader.text()?.is_authority(reader.block)?,
                index @ ..DYNAMIC => index == AUTHORITY,
                index => self.contains(index - DYNAMIC),
            };
            let value = reader.text()?;
            if is_authority {
                mended |= value.mend(reader.block)?;
            }
            if kind & INDEXED != 0 {
                self.0 = self.0 << 1 | u128::from(is_authority);
            }
        }
        Ok(mended)
    }

    fn contains(&self, age: usize) -> bool {
        u32::try_from(age).ok().and_then(|age| self.0.checked_shr(age)).is_some_and(|bits| bits & 1 == 1)
    }
}

struct Reader<'a> {
    block: &'a mut [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = *self.block.get(self.at).ok_or(Malformed)?;
        self.at += 1;
        Ok(byte)
    }

    /// A number that begins in the lowest bits of the next byte. One that goes on for more than four bytes is no length of
    /// anything here.
    fn integer(&mut self, bits: u8) -> Result<usize, Malformed> {
        let most = usize::from(u8::MAX >> (8 - bits));
        let mut value = usize::from(self.byte()?) & most;
        if value < most {
            return Ok(value);
        }
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn text(&mut self) -> Result<Text, Malformed> {
        let is_huffman = self.block.get(self.at).is_some_and(|byte| byte & 0x80 != 0);
        let length = self.integer(7)?;
        let start = self.at;
        self.at = start + length;
        if self.at > self.block.len() {
            return Err(Malformed);
        }
        Ok(Text { at: start..self.at, is_huffman })
    }
}

/// A name or a value, and how it is written.
struct Text {
    at: Range<usize>,
    is_huffman: bool,
}

impl Text {
    fn is_authority(&self, block: &[u8]) -> Result<bool, Malformed> {
        let bytes = &block[self.at.clone()];
        Ok(if self.is_huffman { huffman::decode(bytes)? == b":authority" } else { bytes == b":authority" })
    }

    /// Makes this another authority if it is a bad one, and if it can.
    fn mend(self, block: &mut [u8]) -> Result<bool, Malformed> {
        let bytes = &mut block[self.at];
        if self.is_huffman {
            let text = huffman::decode(bytes)?;
            return Ok(!is_good(&text) && huffman::fill(bytes, text.len()));
        }
        if is_good(bytes) || bytes.is_empty() {
            return Ok(false);
        }
        for byte in bytes.iter_mut().filter(|byte| !byte.is_ascii_alphanumeric()) {
            *byte = b'-';
        }
        Ok(true)
    }
}

/// Whether h2 takes it: it asks the same.
fn is_good(authority: &[u8]) -> bool {
    Authority::try_from(authority).is_ok()
}
