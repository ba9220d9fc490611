//! HPACK's Huffman code (RFC 7541, appendix B).

use super::Malformed;

/// The code: the length of codes in bits, the first code of that length, and the bytes of these codes, which are numbered in
/// their order.
#[rustfmt::skip] // it wraps byte strings
const CODE: [(u32, u32, &[u8]); 21] = [
    (5, 0x0, b"012aceiost"),
    (6, 0x14, b" %-./3456789=A_bdfghlmnpru"),
    (7, 0x5c, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, 0xf8, b"&*,;XZ"),
    (10, 0x3f8, b"!\"()?"),
    (11, 0x7fa, b"'+|"),
    (12, 0xffa, b"#>"),
    (13, 0x1ff8, b"\0$@[]~"),
    (14, 0x3ffc, b"^}"),
    (15, 0x7ffc, b"<`{"),
    (19, 0x7_fff0, b"\\\xc3\xd0"),
    (20, 0xf_ffe6, b"\x80\x82\x83\xa2\xb8\xc2\xe0\xe2"),
    (21, 0x1f_ffdc, b"\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6"),
    (22, 0x3f_ffd2, b"\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4\xc6\xe4\
        \xe8\xe9"),
    (23, 0x7f_ffd8, b"\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4\xb6\xb7\
        \xbc\xbf\xc5\xe7\xef"),
    (24, 0xff_ffea, b"\t\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed"),
    (25, 0x1ff_ffec, b"\xc7\xcf\xea\xeb"),
    (26, 0x3ff_ffe0, b"\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff"),
    (27, 0x7ff_ffde, b"\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe"),
    (28, 0xfff_ffe2, b"\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x17\x18\x19\x1a\x1b\x1c\x1d\
        \x1e\x1f\x7f\xdc\xf9"),
    (30, 0x3fff_fffc, b"\n\r\x16"),
];

/// The code of `X`, which is a whole byte. That of `0` is five zeros.
const X: u8 = 0xfc;

pub(super) fn decode(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut text = Vec::with_capacity(bytes.len() * 8 / 5);
    let (mut code, mut length) = (0, 0);
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)) {
        code = code << 1 | u32::from(bit);
        length += 1;
        if let Some(byte) = byte(code, length) {
            text.push(byte);
            (code, length) = (0, 0);
        } else if length == 30 {
            return Err(Malformed); // the code of the end, which must not be there
        }
    }
    let is_padding = length < 8 && code == (1 << length) - 1;
    if is_padding { Ok(text) } else { Err(Malformed) }
}

/// Fills bytes with the code of a text of that length, of `X` and `0`. Not possible if the bytes are more than the text: no
/// client uses this code then.
pub(super) fn fill(bytes: &mut [u8], text_bytes: usize) -> bool {
    let spare_bits = (bytes.len() * 8).saturating_sub(text_bytes * 5);
    let xs = spare_bits / 3; // an X takes three bits more than a 0
    if xs > text_bytes {
        return false;
    }
    let (head, tail) = bytes.split_at_mut(xs);
    head.fill(X);
    tail.fill(0);
    if let Some(last) = tail.last_mut() {
        *last = (1 << (spare_bits % 3)) - 1; // it ends in ones
    }
    text_bytes > 0
}

fn byte(code: u32, length: u32) -> Option<u8> {
    let (_, first, bytes) = CODE.iter().find(|(of_length, ..)| *of_length == length)?;
    bytes.get(usize::try_from(code.checked_sub(*first)?).ok()?).copied()
}

#[cfg(test)]
pub(super) fn encode(text: &[u8]) -> Vec<u8> {
    let mut bits = Vec::new();
    for wanted in text {
        let of_wanted = |bytes: &[u8]| bytes.iter().position(|byte| byte == wanted);
        let (length, code) = CODE
            .iter()
            .find_map(|(length, first, bytes)| Some((*length, *first as usize + of_wanted(bytes)?)))
            .unwrap();
        bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
    }
    bits.resize(bits.len().next_multiple_of(8), true);
    bits.chunks(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7541, appendix C.4.
    const EXAMPLES: [(&[u8], &[u8]); 3] = [
        (b"www.example.com", &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff]),
        (b"no-cache", &[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]),
        (b"custom-key", &[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f]),
    ];

    #[test]
    fn the_examples_of_the_standard_are_read() {
        for (text, code) in EXAMPLES {
            assert_eq!(decode(code).as_deref(), Ok(text));
            assert_eq!(encode(text), code);
        }
    }

    #[test]
    fn every_byte_has_a_code() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        assert_eq!(decode(&encode(&all)), Ok(all));
    }

    #[test]
    fn what_is_no_code_is_malformed() {
        let end = [0xff; 4];
        let padding_of_zeros = [0b0000_0000];
        let padding_of_a_byte = [0b0000_0111, 0xff];
        for bytes in [&end[..], &padding_of_zeros, &padding_of_a_byte] {
            assert_eq!(decode(bytes), Err(Malformed));
        }
    }

    #[test]
    fn filled_bytes_are_a_text_of_the_length_that_was_asked_for() {
        for text_bytes in 1..100_usize {
            for code_bytes in (text_bytes * 5).div_ceil(8)..=text_bytes {
                let mut bytes = vec![0xaa; code_bytes];
                assert!(fill(&mut bytes, text_bytes));
                let text = decode(&bytes).unwrap();
                assert_eq!(text.len(), text_bytes);
                assert!(text.iter().all(|byte| b"X0".contains(byte)));
            }
        }
    }

    #[test]
    fn a_text_that_the_code_makes_longer_is_left_alone() {
        let mut bytes = encode("用户".as_bytes());
        let before = bytes.clone();
        assert!(!fill(&mut bytes, 6));
        assert_eq!(bytes, before);
        assert!(!fill(&mut [], 0));
    }
}
