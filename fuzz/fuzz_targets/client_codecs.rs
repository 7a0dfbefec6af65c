//! Whatever a server sends: no panic, and nothing passes the handshake by chance.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netrng::keys::PrivateKey;
use netrng::wire::ClientCodec;
use netrng::wire::hedge::{FRESH_LEN, Hedge};
use netrng::wire::native::{Initiator, public_key};
use netrng::wire::netrng02::Netrng02Client;
use netrng::wire::plain::PlainClient;
use std::sync::{Arc, Mutex};

fn nothing(_: &mut [u8; FRESH_LEN]) {}

fuzz_target!(|data: &[u8]| {
    let mut input = data.to_vec();
    while let Ok(Some(_)) = PlainClient.decode(&mut input) {}
    // As it comes, and as the end of a message that began well.
    for start in [&b""[..], b"\x82\xa4push\xa6sample\xa6sample"] {
        let mut input = [start, data, b"--NETRNG-SOCKET-DELIMITER"].concat();
        while let Ok(Some(_)) = Netrng02Client.decode(&mut input) {}
    }
    let hedge = Arc::new(Mutex::new(Hedge::new(PrivateKey::new([1; 32]), nothing)));
    let server = public_key(&PrivateKey::new([2; 32]));
    let mut client = Initiator::new(&PrivateKey::new([3; 32]), &server, None, hedge);
    client.start(&mut Vec::new()).expect("a fresh session can start");
    let mut input = data.to_vec();
    assert!(!matches!(client.decode(&mut input), Ok(Some(_))), "an answer without a handshake");
});
