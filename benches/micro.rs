//! The parts of a sample's way, one by one: frames, Noise, the tests of the source.
//!
//!     cargo bench --bench micro [-- FILTER]

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use netrng::keys::{PrivateKey, Psk};
use netrng::sample::Sample;
use netrng::source::fips::FipsCounters;
use netrng::source::health::HealthTests;
use netrng::sys;
use netrng::wire::hedge::Hedge;
use netrng::wire::native::{Initiator, Responder, SharedHedge, public_key};
use netrng::wire::plain::{PlainClient, PlainServer};
use netrng::wire::{Answer, ClientCodec, Reply, Request, ServerCodec, Welcome};
use std::sync::{Arc, Mutex};

const SAMPLE: usize = 2048;

fn main() {
    divan::main();
}

// ---- wire ----------------------------------------------------------------------------

/// Bytes as a good source gives them.
fn random(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    assert!(sys::random::try_random(&mut bytes));
    bytes
}

fn hedge() -> SharedHedge {
    Arc::new(Mutex::new(Hedge::new(PrivateKey::new([7; 32]), sys::random::gather)))
}

/// Both sides, after the handshake and the first request.
fn handshake(hedge: &SharedHedge) -> (Initiator, Responder) {
    let (mine, theirs) = (PrivateKey::new([1; 32]), PrivateKey::new([2; 32]));
    let psk = Psk::new([3; 32]);
    let mut client = Initiator::new(&mine, &public_key(&theirs), Some(&psk), Arc::clone(hedge));
    let mut server = Responder::new(&theirs, Arc::clone(hedge));
    let (mut up, mut down) = (Vec::new(), Vec::new());
    client.start(&mut up).expect("a key is made");
    assert!(matches!(server.decode(&mut up, &mut down), Ok(Some(Request::Hello(_)))));
    server.encode(Reply::Welcome(psk, Welcome::default()), &mut down).expect("it said hello");
    assert!(matches!(client.decode(&mut down), Ok(Some(Answer::Welcome(_)))));
    client.encode(Request::Bytes(1), &mut up).expect("it is open");
    assert_eq!(server.decode(&mut up, &mut down), Ok(Some(Request::Proved)));
    assert_eq!(server.decode(&mut up, &mut down), Ok(Some(Request::Bytes(1))));
    (client, server)
}

#[divan::bench]
fn handshake_both_sides(bencher: Bencher<'_, '_>) {
    let hedge = hedge();
    bencher.bench_local(|| handshake(&hedge));
}

fn samples(bencher: Bencher<'_, '_>, mut step: impl FnMut(Sample)) {
    let bencher = bencher.counter(BytesCount::new(SAMPLE));
    bencher.with_inputs(|| Sample::new(random(SAMPLE))).bench_local_values(&mut step);
}

#[divan::bench]
fn noise_seal_and_rekey(bencher: Bencher<'_, '_>) {
    let (_client, mut server) = handshake(&hedge());
    let mut output = Vec::new();
    samples(bencher, |sample| {
        output.clear();
        server.encode(Reply::Sample(sample), &mut output).expect("it is open");
    });
}

#[divan::bench]
fn noise_seal_open_and_rekey(bencher: Bencher<'_, '_>) {
    let (mut client, mut server) = handshake(&hedge());
    let mut bytes = Vec::new();
    samples(bencher, |sample| {
        server.encode(Reply::Sample(sample), &mut bytes).expect("it is open");
        black_box(client.decode(&mut bytes).expect("it is whole"));
    });
}

#[divan::bench]
fn noise_request(bencher: Bencher<'_, '_>) {
    let (mut client, mut server) = handshake(&hedge());
    let (mut up, mut down) = (Vec::new(), Vec::new());
    bencher.bench_local(|| {
        client.encode(Request::Bytes(2048), &mut up).expect("it is open");
        server.decode(&mut up, &mut down).expect("it is whole")
    });
}

#[divan::bench]
fn plain_sample_both_sides(bencher: Bencher<'_, '_>) {
    let (mut server, mut bytes) = (PlainServer::default(), Vec::new());
    samples(bencher, |sample| {
        server.encode(Reply::Sample(sample), &mut bytes).expect("it is open");
        black_box(PlainClient.decode(&mut bytes).expect("it is whole"));
    });
}

#[divan::bench]
fn plain_request(bencher: Bencher<'_, '_>) {
    let (mut server, mut up, mut down) = (PlainServer::default(), Vec::new(), Vec::new());
    PlainClient.encode(Request::Name(String::new()), &mut up).expect("it is the first");
    server.decode(&mut up, &mut down).expect("it is whole");
    bencher.bench_local(|| {
        PlainClient.encode(Request::Bytes(2048), &mut up).expect("it is open");
        server.decode(&mut up, &mut down).expect("it is whole")
    });
}

// ---- source ---------------------------------------------------------------------------

#[divan::bench(args = [7.0, 1.0])]
fn health_tests(bencher: Bencher<'_, '_>, min_entropy: f64) {
    let mut tests = HealthTests::new(min_entropy);
    let bytes = random(SAMPLE);
    bencher.counter(BytesCount::new(SAMPLE)).bench_local(|| tests.check(black_box(&bytes)));
}

#[divan::bench]
fn fips_random(bencher: Bencher<'_, '_>) {
    let mut counters = FipsCounters::new();
    let bytes = random(SAMPLE);
    bencher.counter(BytesCount::new(SAMPLE)).bench_local(|| counters.update(black_box(&bytes)));
}

/// The worst there is: runs without end.
#[divan::bench]
fn fips_zeros(bencher: Bencher<'_, '_>) {
    let mut counters = FipsCounters::new();
    let bytes = vec![0; SAMPLE];
    bencher.counter(BytesCount::new(SAMPLE)).bench_local(|| counters.update(black_box(&bytes)));
}
