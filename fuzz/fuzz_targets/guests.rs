//! Whatever comes from where nobody has a key, EGD and what balancers say: no panic, every answer
//! of the length that was asked, and any split of the bytes gives the same. The first byte chooses
//! where the input is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netrng::sample::Sample;
use netrng::wire::egd::EgdServer;
use netrng::wire::{CodecError, Reply, Request, ServerCodec, proxy};

/// The process number and its length, the longest answer that needs no stock.
const UNASKED_MAX: usize = 11;

type Talk = (Vec<Request>, Vec<u8>, Option<CodecError>);

/// All that is heard and said; every question is answered at once, in samples of at most 100.
fn talk(greet_len: u8, pieces: &[&[u8]]) -> Talk {
    let mut egd = EgdServer::new(greet_len, u32::MAX);
    let (mut input, mut output, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    let give = |egd: &mut EgdServer, mut count: usize, output: &mut Vec<u8>| {
        while count > 0 {
            let sample = Sample::new(vec![1; count.min(100)]);
            count -= sample.len();
            egd.encode(Reply::Sample(sample), output).expect("it was asked");
        }
    };
    give(&mut egd, greet_len.into(), &mut output);
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let before = output.len();
            let request = match egd.decode(&mut input, &mut output) {
                Ok(Some(request)) => request,
                Ok(None) => break,
                Err(error) => return (seen, output, Some(error)),
            };
            assert!(output.len() - before <= UNASKED_MAX);
            match request {
                Request::Bytes(count) => give(&mut egd, count as usize, &mut output),
                Request::Spare(count) => {
                    let some = Sample::new(vec![2; count as usize / 2]);
                    egd.encode(Reply::Spare(some), &mut output).expect("it was asked");
                }
                Request::Level => {
                    egd.encode(Reply::Level(7), &mut output).expect("it was asked");
                }
                _ => {}
            }
            seen.push(request);
        }
    }
    (seen, output, None)
}

fuzz_target!(|data: &[u8]| {
    let Some((&cut, data)) = data.split_first() else { return };
    let (front, back) = data.split_at(data.len().min(cut.into()));
    assert_eq!(talk(cut, &[data]), talk(cut, &[front, back]));
    let signed = [b"\r\n\r\n\0\r\nQUIT\n", data].concat();
    let (mut whole, mut piece) = (signed.clone(), signed[..12 + front.len()].to_vec());
    let mut found = proxy::decode(&mut piece);
    if found == Ok(None) {
        piece.extend_from_slice(back);
        found = proxy::decode(&mut piece);
    } else {
        piece.extend_from_slice(back);
    }
    assert_eq!(proxy::decode(&mut whole), found);
    assert!(found.is_err() || whole == piece, "what follows the header stays");
    let _ = proxy::decode(&mut data.to_vec());
});
