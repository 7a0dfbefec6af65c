//! What it costs to decide who is next, by the number of clients that want bytes.
//!
//!     cargo bench --bench schedule
//!
//! Three costs a sample, at 10, 1,000 and 10,000 clients: the scheduler alone, without and
//! with guarantees, and the whole pure server, from the choice of the session to its next
//! request, with a protocol that does nothing.
//!
//! "No faster than log n" here: either 10,000 clients cost at most 4 times what 10 do, as
//! their logarithms are; or the last decade adds no more than each before it, as a logarithm
//! does. (Ten clients fit into one tree node: 4 times next to nothing is little.)
#![allow(clippy::print_stdout, reason = "what a bench finds is printed")]

use netrng::keys::PublicKey;
use netrng::moment::Moment;
use netrng::sample::Sample;
use netrng::server::core::{Server, SourceState};
use netrng::server::guests::ListenerRule;
use netrng::server::schedule::{FlowId, FlowRule, Scheduler};
use netrng::server::session::Peer;
use netrng::server::{ClientRule, Identity, Limits};
use netrng::sys;
use netrng::wire::{CodecError, Protocol, Reply, Request, ServerCodec};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

const SAMPLE: usize = 2048;
const COUNTS: [u32; 3] = [10, 1_000, 10_000];
/// The best of so many rounds counts, ...
const ROUNDS: usize = 15;
/// ... each of so many samples.
const SAMPLES: u32 = 20_000;
/// log 10,000 ÷ log 10.
const LOG_GROWTH: f64 = 4.0;
/// What noise may add to the last decade.
const NOISE: f64 = 1.5;

fn main() -> ExitCode {
    println!("                            ns a sample at    10   1,000  10,000 clients   growth");
    let alone = growth("scheduler", &mut COUNTS.map(|count| Flows::new(count, false)));
    let guarantees = growth("  with guarantees", &mut COUNTS.map(|count| Flows::new(count, true)));
    let whole = growth("whole pure server", &mut COUNTS.map(Sessions::new));
    let holds = alone && guarantees && whole;
    println!("\nno faster than log n: {}", if holds { "holds" } else { "DOES NOT HOLD" });
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

trait Steps {
    /// Serves at least one sample; how many.
    fn step(&mut self) -> u32;
}

/// Measures all sizes in turn, prints a line, and says whether the cost grows no faster than
/// log n.
fn growth(name: &str, sizes: &mut [impl Steps; 3]) -> bool {
    let mut best = [f64::MAX; 3];
    for _ in 0..ROUNDS {
        for (size, best) in sizes.iter_mut().zip(&mut best) {
            let started = sys::now();
            let mut samples = 0;
            while samples < SAMPLES {
                samples += size.step();
            }
            let nanos = (sys::now() - started).as_secs_f64() * 1e9 / f64::from(samples);
            *best = best.min(nanos);
        }
    }
    let [ten, thousand, ten_thousand] = best;
    println!(
        "{name:<40} {ten:>7.0} {thousand:>7.0} {ten_thousand:>7.0}           x{:.2}",
        ten_thousand / ten
    );
    let last_decade = ten_thousand - thousand;
    ten_thousand <= LOG_GROWTH * ten || last_decade <= (thousand - ten) / 2.0 * NOISE
}

/// The scheduler, with flows that never stop wanting bytes and weights as a site has them.
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
}

impl Steps for Flows {
    fn step(&mut self) -> u32 {
        self.now = self.now + Duration::from_micros(10);
        let turn = self.scheduler.poll_turn(SAMPLE, self.now).expect("all want bytes");
        self.scheduler.charge(turn.flow, turn.at_most, self.now);
        1
    }
}

/// The pure server, with sessions that ask for the next sample when they got one.
struct Sessions {
    server: Server,
    now: Moment,
    stock: Vec<Sample>,
}

impl Sessions {
    fn new(count: u32) -> Self {
        let many = count as usize;
        let limits = Limits {
            max_clients: many,
            max_handshakes: many,
            max_handshakes_per_address: many,
            handshakes_per_s: count,
            handshakes_per_s_per_address: count,
            ..Limits::default()
        };
        let mut number = 0;
        let next = move |_: &ListenerRule| {
            number += 1;
            Box::new(Nothing { key: key(number - 1), hello: true, proof: true }) as _
        };
        let mut server = Server::new(limits, (0..count).map(rule).collect(), Box::new(next));
        let now = Moment::ZERO;
        server.handle_source(SourceState::Good, now);
        let peer = Peer::Remote { address: [127, 0, 0, 1].into(), port: 1 };
        let listener = Arc::new(ListenerRule::new(Protocol::Native));
        for _ in 0..count {
            let id = server.handle_accept(peer, &listener, now).expect("there is room");
            server.handle_bytes(id, &[1; 8], now);
        }
        assert_eq!(server.served_sessions(), many, "every session has a place");
        Sessions { server, now, stock: Vec::new() }
    }
}

impl Steps for Sessions {
    fn step(&mut self) -> u32 {
        self.now = self.now + Duration::from_micros(100);
        self.stock.resize_with(16, || Sample::new(vec![0; SAMPLE]));
        let stock = &mut self.stock;
        let given = self.server.serve(&mut || stock.pop(), self.now);
        while let Some(id) = self.server.poll_flush() {
            let sent = self.server.output(id).len();
            self.server.handle_sent(id, sent, self.now);
            self.server.handle_bytes(id, &[1], self.now);
        }
        u32::try_from(given / SAMPLE).expect("a few samples")
    }
}

fn key(number: u32) -> PublicKey {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    PublicKey(bytes)
}

fn rule(number: u32) -> ClientRule {
    ClientRule {
        name: number.to_string(),
        identity: Identity::Key { key: key(number), psk: None },
        weight: 1,
        guarantee_bytes_per_s: 0,
        limit_bytes_per_s: None,
        max_sessions: 1,
        allowed: Vec::new(),
    }
}

/// A protocol that does nothing: after hello and proof each byte asks for a sample, and a
/// sample becomes one byte.
struct Nothing {
    key: PublicKey,
    hello: bool,
    proof: bool,
}

impl ServerCodec for Nothing {
    fn decode(
        &mut self,
        input: &mut Vec<u8>,
        _output: &mut Vec<u8>,
    ) -> Result<Option<Request>, CodecError> {
        if std::mem::take(&mut self.hello) {
            return Ok(Some(Request::Hello(self.key)));
        }
        if std::mem::take(&mut self.proof) {
            return Ok(Some(Request::Proved));
        }
        Ok(input.pop().map(|_| Request::Bytes(2048)))
    }

    fn encode(&mut self, reply: Reply, output: &mut Vec<u8>) -> Result<(), CodecError> {
        if matches!(reply, Reply::Sample(_)) {
            output.push(1);
        }
        Ok(())
    }
}
