//! The parts, one by one: frames, Noise, the scheduler, the tests of the source.
//!
//!     cargo bench --bench micro
//!
//! Ends with how the cost of a scheduling decision grows with the number of clients.
#![allow(clippy::print_stdout, reason = "what a bench finds is printed")]

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use netrng::keys::{PrivateKey, Psk};
use netrng::moment::Moment;
use netrng::sample::Sample;
use netrng::server::schedule::{FlowId, FlowRule, Scheduler};
use netrng::source::fips::FipsCounters;
use netrng::source::health::HealthTests;
use netrng::sys;
use netrng::wire::hedge::Hedge;
use netrng::wire::native::{Initiator, Responder, SharedHedge, public_key};
use netrng::wire::plain::{PlainClient, PlainServer};
use netrng::wire::{Answer, ClientCodec, Reply, Request, ServerCodec, Welcome};
use std::hint;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SAMPLE: usize = 2048;
/// Cost at 10,000 clients to the cost at 10, at most: log 10,000 ÷ log 10.
const GROWTH_MAX: f64 = 4.0;

fn main() -> std::process::ExitCode {
    divan::main();
    scheduler_growth()
}

// ---- wire -----------------------------------------------------------------------------

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
    let mut bytes = Vec::new();
    samples(bencher, |sample| {
        PlainServer.encode(Reply::Sample(sample), &mut bytes).expect("it is open");
        black_box(PlainClient.decode(&mut bytes).expect("it is whole"));
    });
}

#[divan::bench]
fn plain_request(bencher: Bencher<'_, '_>) {
    let (mut up, mut down) = (Vec::new(), Vec::new());
    bencher.bench_local(|| {
        PlainClient.encode(Request::Bytes(2048), &mut up).expect("it is open");
        PlainServer.decode(&mut up, &mut down).expect("it is whole")
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

// ---- scheduler ------------------------------------------------------------------------

/// Flows that never stop wanting bytes; weights and guarantees as a mixed site has them.
struct Flows {
    scheduler: Scheduler,
    now: Moment,
}

impl Flows {
    fn new(count: u32, guarantees: bool) -> Self {
        let mut scheduler = Scheduler::new(SAMPLE);
        for number in 0..count {
            let rule = FlowRule {
                weight: 1 + number % 4,
                guarantee_bytes_per_s: u64::from(guarantees) * u64::from(number % 3) * 1000,
                limit_bytes_per_s: None,
            };
            scheduler.set_rule(FlowId(number), rule, Moment::ZERO);
            scheduler.set_want(FlowId(number), u64::MAX, Moment::ZERO);
        }
        Flows { scheduler, now: Moment::ZERO }
    }

    /// One decision: who is next, and the bill.
    fn step(&mut self) {
        self.now = self.now + Duration::from_micros(10);
        let turn = self.scheduler.poll_turn(SAMPLE, self.now).expect("all want bytes");
        self.scheduler.charge(turn.flow, turn.at_most, self.now);
    }
}

#[divan::bench(args = [10, 1_000, 10_000])]
fn schedule_one_sample(bencher: Bencher<'_, '_>, flows: u32) {
    let mut flows = Flows::new(flows, false);
    bencher.bench_local(|| flows.step());
}

#[divan::bench(args = [10, 1_000, 10_000])]
fn schedule_one_sample_with_guarantees(bencher: Bencher<'_, '_>, flows: u32) {
    let mut flows = Flows::new(flows, true);
    bencher.bench_local(|| flows.step());
}

/// Nanoseconds a decision, at 10, 1,000 and 10,000 clients in turn; the best of many rounds.
fn scheduler_growth() -> std::process::ExitCode {
    const ROUNDS: usize = 15;
    const STEPS: u32 = 20_000;
    let mut holds = true;
    for guarantees in [false, true] {
        let mut sizes = [10, 1_000, 10_000].map(|count| (Flows::new(count, guarantees), f64::MAX));
        for _ in 0..ROUNDS {
            for (flows, best) in &mut sizes {
                let started = sys::now();
                for _ in 0..STEPS {
                    flows.step();
                }
                hint::black_box(&flows.scheduler);
                let nanos = (sys::now() - started).as_secs_f64() * 1e9 / f64::from(STEPS);
                *best = best.min(nanos);
            }
        }
        let [ten, thousand, ten_thousand] = sizes.map(|(_, best)| best);
        let growth = ten_thousand / ten;
        println!(
            "scheduler, guarantees {guarantees:>5}: {ten:.0} ns at 10, {thousand:.0} ns at 1,000, \
             {ten_thousand:.0} ns at 10,000 clients: x{growth:.2}, log n grows x{GROWTH_MAX}"
        );
        holds &= growth <= GROWTH_MAX;
    }
    println!("no faster than log n: {}", if holds { "holds" } else { "DOES NOT HOLD" });
    if holds { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
