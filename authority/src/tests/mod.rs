mod client;

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::coop::unconstrained,
};

use super::*;
use client::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, PRIORITY, Write, authority, connection, frame,
    huffman, pseudo_headers, raw, request, request_with_pseudo_headers_after,
};

const PATH: &str = "/tmp/x.sock";
const MENDED: &str = "-tmp-x-sock";
const MENDED_HUFFMAN: &str = "XXX00000000";

#[tokio::test]
async fn a_good_authority_passes_unchanged_and_nothing_is_looked_at_after_it() {
    let requests = [request(1, &authority(raw, "localhost")), request(3, &authority(raw, PATH))].concat();
    let sent = connection(&requests);
    assert_eq!(passed_however_it_is_cut(&sent).await, sent);
    assert_eq!(accepted(&sent).await, ["localhost"], "h2 refuses the second");
}

#[tokio::test]
async fn bad_authorities_are_mended() {
    let non_ascii = "/home/jürgen/sockets/x.sock";
    for (write, bad, mended) in [
        (raw as Write, PATH, MENDED),
        (raw, "tmp%2Fx.sock", "tmp-2Fx-sock"),
        (raw, "unix:/run/a b", "unix--run-a-b"),
        (raw, non_ascii, "-home-j--rgen-sockets-x-sock"),
        (huffman, PATH, MENDED_HUFFMAN),
        (huffman, "tmp%2Fx.sock", "XXXX00000000"),
        (huffman, non_ascii, "XXXXXXXXXXXXXXXXX00000000000"),
    ] {
        let sent = connection(&request(1, &authority(write, bad)));
        assert_eq!(accepted(&sent).await, [""; 0], "h2 takes {bad} as it is: this module is not needed");
        let passed = passed_however_it_is_cut(&sent).await;
        assert_eq!(accepted(&passed).await, [mended], "{bad}");
        assert_eq!(passed.len(), sent.len());
    }
}

#[tokio::test]
async fn every_way_to_write_the_header_is_known() {
    let bad = |name: &[u8]| [name, &raw(PATH)].concat();
    let named = |kind: u8, write: Write| bad(&[vec![kind], write(":authority")].concat());
    for block in [
        bad(&[0x41]),
        bad(&[0x01]),
        bad(&[0x11]),
        named(0x40, raw),
        named(0x00, raw),
        named(0x40, huffman),
        named(0x10, huffman),
        [&[0x20, 0x3f, 0xe1, 0x1f][..], &bad(&[0x41])].concat(), // after two size updates
    ] {
        let sent = connection(&request_with_pseudo_headers_after(1, &block));
        assert_eq!(accepted(&passed_however_it_is_cut(&sent).await).await, [MENDED], "{block:x?}");
    }
}

#[tokio::test]
async fn the_dynamic_table_stays_the_clients() {
    let entry = |index: usize| 0x80 | u8::try_from(61 + index).unwrap();
    let custom = |value: &str| [&[0x40][..], &raw("x-custom"), &huffman(value)].concat();
    for (write, mended) in [(raw as Write, MENDED), (huffman, MENDED_HUFFMAN)] {
        let requests = [
            request(1, &[authority(write, PATH), custom("a")].concat()),
            request(3, &[entry(2), entry(1)]),
            request(5, &[&[entry(2)][..], &custom("b"), &custom("c")].concat()),
            request(7, &[entry(4), entry(3), entry(2), entry(1)]),
            request(9, &[&[0x40 | 0x3f, 61 + 4 - 0x3f][..], &raw("/another")].concat()), // its name is that of entry 4
            request(11, &[entry(1), entry(2)]),
        ]
        .concat();
        let passed = passed_however_it_is_cut(&connection(&requests)).await;
        assert_eq!(accepted(&passed).await, [mended, mended, mended, mended, "-another", "-another"]);
    }
}

#[tokio::test]
async fn the_table_evicts_what_the_client_evicts() {
    // The table has 4,096 bytes: the authority's 32 + 10 + 11, forty others of 32 + 1 + 67, and 43 for the last.
    let other = |bytes: usize| [&[0x40][..], &raw("x"), &raw(&"y".repeat(bytes))].concat();
    for (last_bytes, is_there) in [(10, true), (11, false)] {
        for write in [raw as Write, huffman] {
            let others = [other(67).repeat(40), other(last_bytes)].concat();
            let oldest = 0x80 | (61 + 42);
            let requests = [request(1, &[authority(write, PATH), others].concat()), request(3, &[oldest])].concat();
            let passed = passed_however_it_is_cut(&connection(&requests)).await;
            assert_eq!(accepted(&passed).await.len() == 2, is_there);
        }
    }
}

#[tokio::test]
async fn padding_priority_and_continuations_are_followed() {
    let block =
        [pseudo_headers(), authority(raw, PATH), [&[0x00][..], &raw("x"), &raw(&"y".repeat(300))].concat()].concat();
    let priority = [0, 0, 0, 0, 15];
    let padded = [&[3][..], &block, &[0; 3]].concat();
    let both = [&[3][..], &priority, &block[..30], &[0; 3]].concat();
    let cut_in_the_authority = pseudo_headers().len() + 5;
    for frames in [
        frame(HEADERS, END_HEADERS | PADDED, 1, &padded),
        frame(HEADERS, END_HEADERS | PRIORITY, 1, &[&priority[..], &block].concat()),
        [frame(HEADERS, PADDED | PRIORITY, 1, &both), frame(CONTINUATION, END_HEADERS, 1, &block[30..])].concat(),
        [
            frame(HEADERS, END_STREAM, 1, &block[..cut_in_the_authority]),
            frame(CONTINUATION, 0, 1, &[]),
            frame(CONTINUATION, 0, 1, &block[cut_in_the_authority..][..2]),
            frame(CONTINUATION, END_HEADERS, 1, &block[cut_in_the_authority + 2..]),
        ]
        .concat(),
    ] {
        let sent = connection(&frames);
        let passed = passed_however_it_is_cut(&sent).await;
        assert_eq!(accepted(&passed).await, [MENDED]);
        assert_eq!(passed.len(), sent.len());
    }
}

#[tokio::test]
async fn data_between_mended_requests_passes_unchanged() {
    let data: Vec<u8> = (0..=u8::MAX).cycle().take(10_000).collect();
    let part = |stream, value| {
        let frames = [frame(HEADERS, END_HEADERS, stream, &[pseudo_headers(), authority(raw, value)].concat())];
        [&frames[..], &[frame(DATA, 0, stream, &data), frame(DATA, END_STREAM, stream, &data)]].concat().concat()
    };
    let sent = connection(&[part(1, PATH), part(3, "/other")].concat());
    let wanted = connection(&[part(1, MENDED), part(3, "-other")].concat());
    for chunk in [1, 2, 3, 5, 8, 13, 100, 1_000, 9_999, usize::MAX] {
        assert_eq!(pass(&sent[..], chunk).await, wanted, "in pieces of {chunk}");
    }
}

#[tokio::test]
async fn what_is_malformed_passes_unchanged() {
    let bad = [pseudo_headers(), authority(raw, PATH)].concat();
    let endless = [frame(HEADERS, 0, 1, &bad), frame(CONTINUATION, 0, 1, &[0; 16_000]).repeat(5)].concat();
    let with_too_much_padding = [&[255][..], &bad].concat();
    for frames in [
        frame(HEADERS, END_HEADERS, 1, &[&bad[..], &[0x80 | 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 1]].concat()),
        frame(HEADERS, END_HEADERS, 1, &bad[..bad.len() - 1]),
        frame(HEADERS, END_HEADERS, 1, &[&[0x41, 0x84][..], &[0xff; 4]].concat()),
        frame(HEADERS, END_HEADERS | PADDED, 1, &with_too_much_padding),
        frame(HEADERS, END_HEADERS | PADDED, 1, &[]),
        frame(HEADERS, END_HEADERS | PRIORITY, 1, &[1, 2]),
        [frame(HEADERS, 0, 1, &bad), frame(DATA, 0, 1, &[0; 100])].concat(),
        [frame(HEADERS, 0, 1, &bad), frame(CONTINUATION, 0, 1, &[]).repeat(100)].concat(),
        frame(HEADERS, 0, 1, &bad), // ends too soon
        frame(HEADERS, END_HEADERS, 1, &bad)[..20].to_vec(),
        frame(HEADERS, END_HEADERS, 1, &bad)[..5].to_vec(),
        endless,
    ] {
        let sent = connection(&frames);
        for chunk in [1, 10, 1_000, usize::MAX] {
            assert_eq!(pass(&sent[..], chunk).await, sent);
        }
    }
}

#[tokio::test]
async fn garbage_passes_and_nothing_panics() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    for round in 0..20_000 {
        let block: Vec<u8> = (0..random()).map(|_| random()).collect();
        let mut frames = request(1, &authority(raw, PATH));
        frames.extend(frame(HEADERS, random(), 3, &block));
        frames.extend(frame(random() % 12, random(), 3, &block));
        frames.extend((0..round % 64).map(|_| random()));
        let sent = connection(&frames);
        let passed = pass(&sent[..], 1 + usize::from(random())).await;
        assert_eq!(passed.len(), sent.len());
    }
    let preface = b"GET / HTTP/1.1\r\nhost: localhost\r\naccept: */*\r\n\r\n";
    assert_eq!(pass(&preface[..], 3).await, preface);
}

#[tokio::test]
async fn nothing_is_held_back_while_the_client_waits() {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let mut server = AnyAuthority::new(server);
    let mut got = vec![0; 1 << 16];
    for part in [connection(&[]), request(1, &authority(huffman, PATH)), frame(DATA, 0, 1, b"abc"), request(3, &[])] {
        client.write_all(&part).await.unwrap();
        let read = tokio::time::timeout(Duration::from_mins(1), server.read_exact(&mut got[..part.len()]));
        assert_eq!(read.await.expect("it comes at once").unwrap(), part.len());
    }
    server.write_all(b"an answer").await.unwrap();
    client.read_exact(&mut got[..9]).await.unwrap();
    assert_eq!(&got[..9], b"an answer");
}

/// The authorities of the requests that h2 accepts.
async fn accepted(bytes: &[u8]) -> Vec<String> {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    client.write_all(bytes).await.unwrap();
    let mut connection = h2::server::handshake(server).await.unwrap();
    let mut authorities = Vec::new();
    // All is there: what does not come at once does not come.
    while let Some(Some(Ok((request, _respond)))) = unconstrained(connection.accept()).now_or_never() {
        authorities.push(request.uri().authority().map(ToString::to_string).unwrap_or_default());
    }
    authorities
}

/// What comes through, which must not depend on where the bytes are cut.
async fn passed_however_it_is_cut(sent: &[u8]) -> Vec<u8> {
    let whole = pass(sent, usize::MAX).await;
    for cut in 0..=sent.len() {
        assert_eq!(pass(sent[..cut].chain(&sent[cut..]), usize::MAX).await, whole, "cut after {cut} bytes");
    }
    assert_eq!(pass(sent, 1).await, whole, "byte for byte");
    whole
}

/// What comes through of bytes, which are read in pieces.
async fn pass(bytes: impl AsyncRead + Unpin, piece_bytes: usize) -> Vec<u8> {
    let mut filter = AnyAuthority::new(Pieces { bytes, piece_bytes });
    let mut passed = Vec::new();
    filter.read_to_end(&mut passed).await.unwrap();
    assert!(filter.filter.is_none_or(|filter| filter.held.is_empty()));
    passed
}

struct Pieces<IO> {
    bytes: IO,
    piece_bytes: usize,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Pieces<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut piece = vec![0; this.piece_bytes.min(buf.remaining())];
        let mut piece = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut this.bytes).poll_read(cx, &mut piece))?;
        buf.put_slice(piece.filled());
        Poll::Ready(Ok(()))
    }
}
