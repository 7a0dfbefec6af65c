//! The core with clients of the original NetRNG: each request has one answer, and in time.

use super::core::{Server, SourceState};
use super::guests::ListenerRule;
use super::session::{Peer, SessionId};
use super::simulation::script::{HELLO, PROVE, ScriptCodec, WANT, key};
use super::{ClientRule, Identity, Limits};
use crate::moment::Moment;
use crate::sample::Sample;
use crate::wire::netrng02::{Netrng02Client, Netrng02Server};
use crate::wire::{Answer, ClientCodec, Protocol, Request, ServerCodec};
use std::sync::Arc;
use std::time::Duration;

const SAMPLE: usize = 2048;
/// The original's clients sleep so long after a heartbeat.
const SLEEP: Duration = Duration::from_secs(1);

struct World {
    server: Server,
    listener: Arc<ListenerRule>,
    now: Moment,
}

impl World {
    fn new(max_clients: usize) -> World {
        World::with_keys(max_clients, 0)
    }

    /// Of the clients, so many can have keys.
    fn with_keys(max_clients: usize, keys: u8) -> World {
        let make_codec = Box::new(|rule: &ListenerRule| match rule.protocol {
            Protocol::Netrng02 => Box::new(Netrng02Server::default()) as _,
            _ => Box::new(ScriptCodec { serial: 0, proved: false, log: Arc::default() })
                as Box<dyn ServerCodec + Send>,
        });
        let limits = Limits { max_clients, ..Limits::default() };
        let clients = (1..=keys).map(|number| ClientRule {
            name: number.to_string(),
            identity: Identity::Key { key: key(number), psk: None },
            weight: 1,
            guarantee_bytes_per_s: 0,
            limit_bytes_per_s: None,
            max_sessions: 1,
            allowed: Vec::new(),
        });
        let mut server = Server::new(limits, clients.collect(), make_codec);
        server.handle_source(SourceState::Good, Moment::ZERO);
        let listener = Arc::new(ListenerRule::new(Protocol::Netrng02));
        World { server, listener, now: Moment::ZERO }
    }

    fn come(&mut self, last: u8) -> SessionId {
        let peer = Peer::Remote { address: [192, 0, 2, last].into(), port: 1 };
        self.server.handle_accept(peer, &self.listener, self.now).expect("there is room")
    }

    /// A client with a key, which wants as many bytes as one may.
    fn come_with_key(&mut self, number: u8) -> SessionId {
        let peer = Peer::Remote { address: [198, 51, 100, number].into(), port: 1 };
        let listener = Arc::new(ListenerRule::new(Protocol::Native));
        let id = self.server.handle_accept(peer, &listener, self.now).expect("there is room");
        self.server.handle_bytes(id, &[HELLO, number, PROVE, 0, WANT, 255], self.now);
        id
    }

    fn given(&mut self, id: SessionId) -> u64 {
        self.server.session(id).expect("it is still there").given_bytes
    }

    fn ask(&mut self, id: SessionId) {
        let mut words = Vec::new();
        Netrng02Client.encode(Request::Sample, &mut words).unwrap();
        self.server.handle_bytes(id, &words, self.now);
    }

    /// What it is told, as lengths of samples; 0 is a heartbeat.
    fn told(&mut self, id: SessionId) -> Vec<usize> {
        let mut words = self.server.output(id).to_vec();
        self.server.handle_sent(id, words.len(), self.now);
        let answers = std::iter::from_fn(|| Netrng02Client.decode(&mut words).unwrap());
        let lengths = answers.map(|answer| match answer {
            Answer::Sample(sample) => sample.len(),
            _ => 0,
        });
        lengths.collect()
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        self.server.handle_timeout(self.now);
    }

    fn serve(&mut self, mut samples: usize) -> usize {
        let mut stock = || {
            samples = samples.checked_sub(1)?;
            Some(Sample::new(vec![1; SAMPLE]))
        };
        self.server.serve(&mut stock, self.now)
    }
}

#[test]
fn a_request_is_put_off_after_a_second_and_then_forgotten() {
    let mut world = World::new(5);
    let id = world.come(1);
    assert_eq!(world.server.poll_timeout(), None, "who asks for nothing is owed nothing");
    world.ask(id);
    world.serve(0);
    assert_eq!(world.server.poll_timeout(), Some(world.now + Duration::from_secs(1)));
    world.pass(999);
    assert_eq!(world.told(id), []);
    world.pass(1);
    assert_eq!(world.told(id), [0]);
    assert_eq!((world.serve(3), world.told(id)), (0, vec![]), "nobody asks");
    assert_eq!(world.server.poll_timeout(), None);
    // One answer for each request, however many samples there are.
    world.ask(id);
    assert_eq!((world.serve(3), world.told(id)), (SAMPLE, vec![SAMPLE]));
    assert_eq!(world.server.poll_timeout(), None);
    world.ask(id);
    world.ask(id);
    for _ in 0..2 {
        // The second is heard once the first has its answer.
        assert_eq!((world.serve(3), world.told(id)), (SAMPLE, vec![SAMPLE]));
    }
    assert_eq!((world.serve(3), world.told(id)), (0, vec![]));
}

#[test]
fn a_source_that_fails_and_a_place_that_is_not_there_are_told_at_once() {
    let mut world = World::new(1);
    let (first, second) = (world.come(1), world.come(2));
    world.ask(first);
    world.ask(second);
    assert_eq!(world.told(second), [], "it heard of the line before it asked");
    world.server.handle_source(SourceState::Failed, world.now);
    assert_eq!(world.told(first), [0]);
    world.ask(first);
    assert_eq!(world.told(first), [0]);
    world.pass(1000);
    assert_eq!(world.told(second), [0]);
    world.server.handle_source(SourceState::Good, world.now);
    world.ask(first);
    world.ask(second);
    assert_eq!(
        (world.serve(2), world.told(first), world.told(second)),
        (SAMPLE, vec![SAMPLE], vec![])
    );
    // Its place is given on while it wants nothing.
    world.pass(6000);
    assert_eq!(world.told(second), [0]);
    world.ask(second);
    assert_eq!((world.serve(2), world.told(second)), (SAMPLE, vec![SAMPLE]));
    world.ask(first);
    assert_eq!(world.told(first), [0], "in line");
}

#[test]
fn a_goodbye_leaves_nothing_due() {
    let mut world = World::new(1);
    let id = world.come(1);
    world.ask(id);
    world.server.handle_shutdown(world.now);
    assert_eq!(world.told(id), []);
    assert_eq!(world.server.poll_timeout(), None);
}

/// How long 64 bytes take at 1,024 bytes/s.
const TICK: Duration = Duration::from_micros(62_500);

impl World {
    /// The source is good, and known to give 1,024 bytes/s.
    fn has_slow_source(&mut self) {
        self.server.handle_source(SourceState::Good, self.now);
        for _ in 0..40 {
            self.server.handle_reading(64, TICK, self.now);
        }
    }

    /// Gives what the source made in one tick, and lets that pass.
    fn tick(&mut self) {
        let mut stock = Some(Sample::new(vec![1; 64]));
        self.server.serve(&mut || stock.take(), self.now);
        self.now = self.now + TICK;
        self.server.handle_timeout(self.now);
    }
}

/// Clients with keys want bytes all along, and one of the original's asks after each answer at once
/// and after each heartbeat a second later. A round takes longer than that client waits, so most of
/// its turns come while it sleeps.
#[test]
fn whoever_is_put_off_gets_its_share_of_a_slow_source() {
    for keys in [20, 31, 48] {
        let mut world = World::with_keys(100, keys);
        world.has_slow_source();
        let others: Vec<_> = (1..=keys).map(|number| world.come_with_key(number)).collect();
        let old = world.come(1);
        let (mut asks_at, mut put_off) = (Some(world.now), 0);
        let (mut given_at, mut longest) = (world.now, Duration::ZERO);
        while world.now < Moment::ZERO + Duration::from_secs(20 * 60) {
            if asks_at.take_if(|at| *at <= world.now).is_some() {
                world.ask(old);
            }
            world.tick();
            for length in world.told(old) {
                if length == 0 {
                    put_off += 1;
                    asks_at = Some(world.now + SLEEP);
                } else {
                    longest = longest.max(world.now - given_at);
                    (given_at, asks_at) = (world.now, Some(world.now));
                }
            }
            others.iter().for_each(|&id| world.server.handle_sent(id, usize::MAX, world.now));
        }
        let got = world.given(old);
        let most = others.iter().map(|&id| world.given(id)).max().unwrap();
        assert!(put_off > 100, "of {keys}: put off {put_off} times only");
        assert!(got + SAMPLE as u64 >= most, "of {keys}: {got} bytes, another {most}");
        let round = TICK * u32::from(keys + 1);
        assert!(longest <= round + 2 * SLEEP, "of {keys}: {longest:?} without bytes");
    }
}

/// Who asked all along while there was nothing for anybody is made good what others are given
/// before it asks again.
#[test]
fn whoever_is_told_that_the_source_is_out_of_order_is_not_idle() {
    let mut world = World::with_keys(5, 4);
    world.has_slow_source();
    let old = world.come(1);
    let others = [1, 2, 3, 4].map(|number| world.come_with_key(number));
    world.server.handle_source(SourceState::Failed, world.now);
    for _ in 0..10 {
        world.pass(1000);
        world.ask(old);
        assert_eq!(world.told(old), [0]);
    }
    world.has_slow_source();
    (0..32).for_each(|_| world.tick());
    assert_eq!(world.given(old), 0);
    assert_eq!(others.map(|id| world.given(id)), [512; 4]);
    world.ask(old);
    while world.given(old) < 512 {
        world.tick();
        if !world.told(old).is_empty() {
            world.ask(old);
        }
        let given = others.map(|id| world.given(id));
        assert_eq!(given, [512; 4], "while the first has {}", world.given(old));
    }
}
