use std::{collections::VecDeque, convert::Infallible};

use skylinedb_engine::Ledger;

use super::*;
use crate::service::messages::{Calls, FREE_BYTES};

/// A body that comes in these pieces.
struct Pieces(VecDeque<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}

fn message(length: usize, filling: u8) -> Vec<u8> {
    let header = [&[0][..], &u32::try_from(length).expect("a length").to_be_bytes()].concat();
    [header, vec![filling; length]].concat()
}

/// What tonic gets, and the large messages.
async fn receive(bytes: &[u8], piece_bytes: usize, ledger: Ledger) -> (Vec<u8>, Vec<(u64, Large)>) {
    let call = Calls::new(ledger).begin(None);
    let pieces = bytes.chunks(piece_bytes).map(Bytes::copy_from_slice).collect();
    let mut body = ReceivedBody::new(Pieces(pieces), Arc::clone(&call), 1 << 20);
    let mut passed = Vec::new();
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        passed.extend_from_slice(&frame.expect("a frame").into_data().expect("data"));
    }
    let large = call.state().large.drain(..).collect();
    (passed, large)
}

#[tokio::test(start_paused = true)]
async fn messages_are_the_same_in_whatever_pieces_they_come() {
    let (small, large) = (FREE_BYTES / 2, LARGE_BYTES + 100);
    let lengths = [small, 0, large, 1, large, large, 0];
    let bytes: Vec<u8> = lengths.iter().zip(1..).flat_map(|(length, filling)| message(*length, filling)).collect();
    let expected =
        [message(small, 1), message(0, 0), message(0, 0), message(1, 4), message(0, 0), message(0, 0), message(0, 0)];
    for piece_bytes in [1, 3, 5, 7, 4_096, LARGE_BYTES, bytes.len()] {
        let (passed, large_ones) = receive(&bytes, piece_bytes, Ledger::new(1 << 20)).await;
        assert_eq!(passed, expected.concat(), "in pieces of {piece_bytes}");
        let found: Vec<_> =
            large_ones.iter().map(|(number, large)| (*number, large.bytes[0], large.bytes.len())).collect();
        assert_eq!(found, [(2, 3, large), (4, 5, large), (5, 6, large)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_without_a_place_is_skipped() {
    let ledger = Ledger::new(1 << 20);
    let _full = ledger.requests.try_hold(1 << 20).expect("all of it");
    let bytes = [message(LARGE_BYTES, 7), message(3, 8)].concat();
    for piece_bytes in [1, 7, 4_096, bytes.len()] {
        let (passed, large) = receive(&bytes, piece_bytes, ledger.clone()).await;
        assert_eq!(passed, [message(0, 0), message(3, 8)].concat(), "in pieces of {piece_bytes}");
        let (0, Large { bytes, outcome: Err(error) }) = &large[0] else { panic!("{large:?}") };
        assert_eq!((bytes.as_slice(), &*error.reason), (&[7; FIRST_BYTES][..], "BUFFERS_FULL"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_tonic_refuses_and_what_is_cut_off_it_sees_itself() {
    let too_long = message(2 << 20, 1);
    assert_eq!(receive(&too_long, 4_096, Ledger::new(1 << 20)).await.0, too_long);
    for length in [3, 100, LARGE_BYTES] {
        let (passed, large) = receive(&message(LARGE_BYTES, 1)[..length], 7, Ledger::new(1 << 20)).await;
        assert!((1..5).contains(&passed.len()) && large.is_empty(), "a header that is none: {passed:?}");
    }
}
