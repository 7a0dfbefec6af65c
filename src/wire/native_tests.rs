//! Tests of the native protocol: both sides against each other, and against mischief.

use super::hedge::{FRESH_LEN, Hedge};
use super::native::{Initiator, Responder, SharedHedge, public_key};
use super::*;
use crate::keys::PrivateKey;
use proptest::prelude::*;
use std::sync::{Arc, Mutex};

fn hedge(seed: u8) -> SharedHedge {
    fn nothing(_: &mut [u8; FRESH_LEN]) {}
    Arc::new(Mutex::new(Hedge::new(PrivateKey::new([seed; 32]), nothing)))
}

const WELCOME: Welcome = Welcome { sample_size: 2048, guarantee_bytes_per_s: 500 };

struct Pair {
    client: Initiator,
    server: Responder,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    client_key: PublicKey,
}

impl Pair {
    fn new(client_psk: Option<&Psk>) -> Self {
        let (client_private, server_private) = (PrivateKey::new([1; 32]), PrivateKey::new([2; 32]));
        let mut client =
            Initiator::new(&client_private, &public_key(&server_private), client_psk, hedge(3));
        let server = Responder::new(&server_private, hedge(4));
        let mut to_server = Vec::new();
        client.start(&mut to_server).unwrap();
        let client_key = public_key(&client_private);
        Pair { client, server, to_server, to_client: Vec::new(), client_key }
    }

    fn server_decode(&mut self) -> Result<Option<Request>, CodecError> {
        self.server.decode(&mut self.to_server, &mut self.to_client)
    }

    fn ask(&mut self, request: Request) {
        self.client.encode(request, &mut self.to_server).unwrap();
    }

    /// Up to the point where the client has sent its first request.
    fn shake_hands(psk: Option<Psk>) -> Self {
        let mut pair = Pair::new(psk.as_ref());
        assert_eq!(pair.server_decode(), Ok(Some(Request::Hello(pair.client_key))));
        let psk = psk.unwrap_or_else(|| Psk::new([0; 32]));
        pair.server.encode(Reply::Welcome(psk, WELCOME), &mut pair.to_client).unwrap();
        let answer = pair.client.decode(&mut pair.to_client).unwrap();
        assert!(matches!(answer, Some(Answer::Welcome(WELCOME))));
        pair.ask(Request::Bytes(4096));
        pair
    }

    fn give(&mut self, byte: u8, len: usize) {
        let reply = Reply::Sample(Sample::new(vec![byte; len]));
        self.server.encode(reply, &mut self.to_client).unwrap();
    }
}

#[test]
fn a_session_from_hello_to_bye() {
    let mut pair = Pair::shake_hands(Some(Psk::new([7; 32])));
    assert_eq!(pair.server_decode(), Ok(Some(Request::Proved)));
    assert_eq!(pair.server_decode(), Ok(Some(Request::Bytes(4096))));
    assert_eq!(pair.server_decode(), Ok(None));
    for byte in 0..10 {
        pair.give(byte, 2048);
        let answer = pair.client.decode(&mut pair.to_client).unwrap();
        assert!(matches!(answer, Some(Answer::Sample(s)) if s.as_bytes() == [byte; 2048]));
    }
    pair.ask(Request::Ping(99));
    assert_eq!(pair.server_decode(), Ok(Some(Request::Ping(99))));
    pair.server.encode(Reply::Pong(99), &mut pair.to_client).unwrap();
    assert!(matches!(pair.client.decode(&mut pair.to_client), Ok(Some(Answer::Pong(99)))));
    pair.ask(Request::Bye);
    assert_eq!(pair.server_decode(), Ok(Some(Request::Bye)));
}

#[test]
fn without_a_psk_both_sides_use_zeros() {
    let mut pair = Pair::shake_hands(None);
    assert_eq!(pair.server_decode(), Ok(Some(Request::Proved)));
}

#[test]
fn a_wrong_psk_is_seen_by_the_client_before_it_asks() {
    let mut pair = Pair::new(Some(&Psk::new([7; 32])));
    pair.server_decode().unwrap();
    let other = Psk::new([8; 32]);
    pair.server.encode(Reply::Welcome(other, WELCOME), &mut pair.to_client).unwrap();
    assert!(matches!(pair.client.decode(&mut pair.to_client), Err(CodecError::BadMessage)));
}

#[test]
fn a_hello_for_another_server_does_not_decrypt() {
    let mut pair = Pair::new(None);
    let mut other = Responder::new(&PrivateKey::new([5; 32]), hedge(5));
    let result = other.decode(&mut pair.to_server, &mut Vec::new());
    assert_eq!(result, Err(CodecError::BadMessage));
}

#[test]
fn a_replayed_first_message_never_gets_past_the_proof() {
    let recorded = Pair::new(None).to_server;
    let mut server = Responder::new(&PrivateKey::new([2; 32]), hedge(9));
    let mut input = recorded;
    let hello = server.decode(&mut input, &mut Vec::new());
    assert!(matches!(hello, Ok(Some(Request::Hello(_)))), "a replay says hello like the original");
    server.encode(Reply::Welcome(Psk::new([0; 32]), WELCOME), &mut Vec::new()).unwrap();
    let mut pair = Pair::shake_hands(None);
    // What the original client went on with, in its own session, means nothing in this one.
    assert_eq!(server.decode(&mut pair.to_server, &mut Vec::new()), Err(CodecError::BadMessage));
}

#[test]
fn a_replayed_transport_message_is_refused() {
    let mut pair = Pair::shake_hands(None);
    let recorded = pair.to_server.clone();
    while pair.server_decode().unwrap().is_some() {}
    pair.to_server = recorded;
    assert_eq!(pair.server_decode(), Err(CodecError::BadMessage));
}

#[test]
fn after_a_sample_the_key_has_changed() {
    let mut pair = Pair::shake_hands(None);
    pair.server_decode().unwrap();
    pair.give(1, 64);
    pair.give(1, 64);
    let first_len = 2 + 64 + 1 + 16;
    let mut second_only = pair.to_client.split_off(first_len);
    assert_ne!(pair.to_client[2..], second_only[2..], "equal samples, different ciphertexts");
    assert!(matches!(pair.client.decode(&mut second_only), Err(CodecError::BadMessage)));
}

#[test]
fn samples_before_the_proof_are_refused_by_order() {
    let mut pair = Pair::new(None);
    let reply = Reply::Sample(Sample::new(vec![1; 64]));
    assert_eq!(pair.server.encode(reply, &mut Vec::new()), Err(CodecError::OutOfOrder));
}

#[test]
fn lengths_that_no_message_has_end_the_session() {
    let server = |bytes: &[u8]| {
        let mut codec = Responder::new(&PrivateKey::new([2; 32]), hedge(1));
        codec.decode(&mut bytes.to_vec(), &mut Vec::new())
    };
    assert_eq!(server(b"GET / HTTP/1.1\r\n"), Err(CodecError::BadLength));
    assert_eq!(server(&[0, 95]), Err(CodecError::BadLength));
    assert_eq!(server(&[0, 96]), Ok(None));
    assert_eq!(server(&[0xff, 0xff]), Err(CodecError::BadLength));
    let mut pair = Pair::shake_hands(None);
    pair.server_decode().unwrap();
    pair.to_server.clear();
    pair.to_server.extend_from_slice(&[1, 1]);
    while let Ok(Some(_)) = pair.server_decode() {}
    assert_eq!(pair.server_decode(), Err(CodecError::OutOfOrder), "broken stays broken");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_split_of_the_input_gives_the_same_requests(
        counts in proptest::collection::vec(any::<u32>(), 1..8),
        cut in 1usize..40,
    ) {
        let mut pair = Pair::shake_hands(None);
        for &count in &counts {
            pair.ask(Request::Bytes(count));
        }
        let wire = std::mem::take(&mut pair.to_server);
        let mut seen = Vec::new();
        for piece in wire.chunks(cut) {
            pair.to_server.extend_from_slice(piece);
            while let Some(request) = pair.server_decode().unwrap() {
                seen.push(request);
            }
        }
        let mut expected = vec![Request::Proved, Request::Bytes(4096)];
        expected.extend(counts.into_iter().map(Request::Bytes));
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn random_bytes_never_panic_nor_pass(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut fresh = Responder::new(&PrivateKey::new([2; 32]), hedge(1));
        prop_assert!(!matches!(fresh.decode(&mut bytes.clone(), &mut Vec::new()), Ok(Some(_))));
        let mut open = Pair::shake_hands(None);
        while open.server_decode().unwrap().is_some() {}
        open.to_server = bytes.clone();
        prop_assert!(!matches!(open.server_decode(), Ok(Some(_))));
        let mut answer = bytes;
        prop_assert!(!matches!(open.client.decode(&mut answer), Ok(Some(_))));
    }

    #[test]
    fn one_flipped_bit_anywhere_is_noticed(position in 0usize..83, bit in 0u8..8) {
        let mut pair = Pair::shake_hands(None);
        pair.server_decode().unwrap();
        pair.give(1, 64);
        pair.to_client[position] ^= 1 << bit;
        prop_assert!(!matches!(pair.client.decode(&mut pair.to_client), Ok(Some(_))));
    }
}
