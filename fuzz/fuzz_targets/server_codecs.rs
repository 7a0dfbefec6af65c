//! Whatever a client sends: no panic, no claim without a proof, and any split of the bytes gives
//! the same requests. The first byte chooses where the input is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netrng::keys::PrivateKey;
use netrng::wire::hedge::{FRESH_LEN, Hedge};
use netrng::wire::http::HttpServer;
use netrng::wire::native::Responder;
use netrng::wire::netrng02::Netrng02Server;
use netrng::wire::plain::PlainServer;
use netrng::wire::{CodecError, Request, ServerCodec};
use std::sync::{Arc, Mutex};

fn nothing(_: &mut [u8; FRESH_LEN]) {}

fn requests<C: ServerCodec>(mut codec: C, pieces: &[&[u8]]) -> (Vec<Request>, Option<CodecError>) {
    let (mut input, mut output, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match codec.decode(&mut input, &mut output) {
                Ok(Some(request)) => seen.push(request),
                Ok(None) => break,
                Err(error) => return (seen, Some(error)),
            }
        }
    }
    (seen, None)
}

fuzz_target!(|data: &[u8]| {
    let Some((&cut, data)) = data.split_first() else { return };
    let (front, back) = data.split_at(data.len().min(cut.into()));
    let plain = PlainServer::default;
    let (seen, error) = requests(plain(), &[data]);
    assert!(seen.first().is_none_or(|first| matches!(first, Request::Name(_))), "{seen:?}");
    assert!(!seen.iter().skip(1).any(|later| matches!(later, Request::Name(_))), "{seen:?}");
    assert_eq!((seen, error), requests(plain(), &[front, back]));
    // What follows a name is reached more often with one given.
    let named = [&[0, 1, 4], data].concat();
    let cut = 3 + front.len();
    assert_eq!(requests(plain(), &[&named]), requests(plain(), &[&named[..cut], &named[cut..]]));
    // A visitor says one thing, however it comes.
    let http = || HttpServer::new(Arc::from(["a.b".to_owned()]));
    let (seen, error) = requests(http(), &[data]);
    assert!(seen.len() <= 1 && error.is_none(), "{seen:?}");
    assert_eq!((seen, error), requests(http(), &[front, back]));
    let asked = [b"GET /ready HTTP/1.1\r\nHost: ", data].concat();
    let (seen, _) = requests(http(), &[&asked]);
    assert_eq!(seen, requests(http(), &[&asked[..cut], &asked[cut..]]).0);
    // One request at a time, and what the original says is reached more often with an end given.
    let old = Netrng02Server::default;
    let ended = [data, b"--NETRNG-SOCKET-DELIMITER"].concat();
    let cut = front.len();
    let (seen, error) = requests(old(), &[&ended]);
    let waits = seen.iter().position(|request| *request == Request::Sample);
    assert!(waits.is_none_or(|at| at + 1 == seen.len()), "{seen:?}");
    assert_eq!((seen, error), requests(old(), &[&ended[..cut], &ended[cut..]]));
    let hedge = Arc::new(Mutex::new(Hedge::new(PrivateKey::new([1; 32]), nothing)));
    let responder = || Responder::new(&PrivateKey::new([2; 32]), Arc::clone(&hedge));
    let (seen, _) = requests(responder(), &[front, back]);
    assert!(seen.is_empty(), "nobody without the server's public key says hello");
});
