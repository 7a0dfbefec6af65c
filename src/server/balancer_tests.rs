//! The core behind load balancers: whose address counts, and what a header that is late, broken
//! or from a stranger does.

use super::core::{Server, SourceState};
use super::gate::Refusal;
use super::guests::ListenerRule;
use super::session::{EndReason, Peer, SessionId, State};
use super::simulation::script::{HELLO, PROVE, ScriptCodec, WANT, key};
use super::{ClientRule, Identity, Limits};
use crate::moment::Moment;
use crate::sample::Sample;
use crate::wire::egd::EgdServer;
use crate::wire::{CodecError, Protocol, ServerCodec};
use std::sync::Arc;
use std::time::Duration;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const BALANCER: [u8; 4] = [192, 0, 2, 10];
const ALICE: [u8; 4] = [198, 51, 100, 1];
const START: Moment = Moment::ZERO;

/// In the name of somebody at `address`.
fn header(address: [u8; 4]) -> Vec<u8> {
    [SIGNATURE, &[0x21, 0x11, 0, 12], &address, &BALANCER, &[4, 0, 0x23, 0x1D]].concat()
}

/// In the balancer's own name.
fn check() -> Vec<u8> {
    [SIGNATURE, &[0x20, 0, 0, 0]].concat()
}

/// Claims the key that client 1 has, proves it and wants 16 bytes.
const OPENING: [u8; 6] = [HELLO, 1, PROVE, 0, WANT, 4];

struct World {
    server: Server,
    listener: Arc<ListenerRule>,
}

impl World {
    /// One client, which may come from [`ALICE`] only.
    fn new(protocol: Protocol) -> World {
        let make_codec = Box::new(|rule: &ListenerRule| match rule.protocol {
            Protocol::Egd => Box::new(EgdServer::new(rule.greet_len, 1)) as _,
            _ => Box::new(ScriptCodec { serial: 0, proved: false, log: Arc::default() })
                as Box<dyn ServerCodec + Send>,
        });
        let client = ClientRule {
            name: "alice".to_owned(),
            identity: Identity::Key { key: key(1), psk: None },
            weight: 1,
            guarantee_bytes_per_s: 0,
            limit_bytes_per_s: None,
            max_sessions: 1,
            allowed: vec!["198.51.100.0/24".parse().unwrap()],
        };
        let limits = Limits {
            max_handshakes_per_address: 3,
            handshakes_per_s_per_address: 5,
            ..Limits::default()
        };
        let mut listener = ListenerRule::new(protocol);
        listener.balancers = vec!["192.0.2.10/32".parse().unwrap()];
        listener.greet_len = 64;
        let mut server = Server::new(limits, vec![client], make_codec);
        server.handle_source(SourceState::Good, START);
        World { server, listener: Arc::new(listener) }
    }

    fn accept(&mut self, address: [u8; 4]) -> SessionId {
        let peer = Peer::Remote { address: address.into(), port: 1 };
        self.server.handle_accept(peer, &self.listener, START).expect("there is room")
    }

    fn hears(&mut self, id: SessionId, bytes: &[u8]) {
        self.server.handle_bytes(id, bytes, START);
    }

    /// A connection from `address` that says this.
    fn says(&mut self, address: [u8; 4], bytes: &[u8]) -> SessionId {
        let id = self.accept(address);
        self.hears(id, bytes);
        id
    }

    fn address(&self, id: SessionId) -> Option<std::net::IpAddr> {
        match self.server.sessions[id.0].as_ref()?.peer {
            Peer::Remote { address, .. } => Some(address),
            Peer::Local { .. } => None,
        }
    }

    fn state(&self, id: SessionId) -> Option<State> {
        Some(self.server.sessions[id.0].as_ref()?.state)
    }

    fn ended(&mut self) -> Vec<EndReason> {
        std::iter::from_fn(|| self.server.poll_ended()).map(|(_, reason)| reason).collect()
    }
}

#[test]
fn header_and_first_message_come_in_one_piece_or_split_at_every_byte() {
    let said = [&header(ALICE)[..], &OPENING].concat();
    for cut in 0..=said.len() {
        let mut world = World::new(Protocol::Native);
        let id = world.accept(BALANCER);
        world.hears(id, &said[..cut]);
        world.hears(id, &said[cut..]);
        assert_eq!(world.state(id), Some(State::Served), "split at {cut}");
        assert_eq!(world.address(id), Some(ALICE.into()));
    }
    let mut world = World::new(Protocol::Native);
    let id = world.accept(BALANCER);
    for byte in &said {
        world.hears(id, &[*byte]);
    }
    assert_eq!(world.state(id), Some(State::Served));
}

#[test]
fn only_a_listed_balancer_speaks_for_others() {
    let said = [&header(ALICE)[..], &OPENING].concat();
    let mut world = World::new(Protocol::Native);
    // A stranger's header is garbage to the protocol that is spoken there.
    world.says([203, 0, 113, 9], &said);
    assert_eq!(world.ended(), [EndReason::Codec(CodecError::BadMessage)]);
    // A balancer that is itself announced is a client like any other: no second header.
    world.says(BALANCER, &[header(BALANCER), said].concat());
    assert_eq!(world.ended(), [EndReason::Codec(CodecError::BadMessage)]);
    assert_eq!(world.server.counters().proved, 0);
}

#[test]
fn the_real_address_is_held_to_the_clients_rule_and_the_listeners() {
    let stranger = [203, 0, 113, 9];
    let mut world = World::new(Protocol::Native);
    world.says(BALANCER, &[&header(stranger)[..], &OPENING].concat());
    assert_eq!(world.ended(), [EndReason::AddressNotAllowed]);

    let mut rule = (*world.listener).clone();
    rule.allowed = vec!["198.51.100.0/24".parse().unwrap()];
    world.listener = Arc::new(rule);
    world.says(BALANCER, &header(stranger));
    assert_eq!(world.ended(), [EndReason::AddressNotAllowed]);
    let id = world.says(BALANCER, &[&header(ALICE)[..], &OPENING].concat());
    assert_eq!(world.state(id), Some(State::Served), "the balancer's own does not count");
}

#[test]
fn the_gate_counts_real_addresses() {
    let mut world = World::new(Protocol::Native);
    for last in 0..50 {
        world.says(BALANCER, &header([198, 51, 100, last]));
    }
    assert_eq!(world.ended(), [], "fifty clients of one balancer");
    // One of them comes again and again: three that say nothing, five a second.
    for _ in 0..2 {
        world.says(BALANCER, &header(ALICE));
    }
    assert_eq!(world.ended(), []);
    world.says(BALANCER, &header(ALICE));
    assert_eq!(world.ended(), [EndReason::Crowded], "the oldest goes");
    world.says(BALANCER, &header(ALICE));
    assert_eq!(world.ended(), [EndReason::Crowded]);
    world.says(BALANCER, &header(ALICE));
    assert_eq!(world.ended(), [EndReason::Refused(Refusal::HandshakeRate)]);
    assert_eq!(world.server.handshaking_sessions(), 52);
}

#[test]
fn whatever_ends_early_leaves_the_gate_as_it_was() {
    let mut world = World::new(Protocol::Native);
    for _ in 0..3 {
        let before = world.says(BALANCER, &header(ALICE)[..7]);
        let after = world.says(BALANCER, &header(ALICE));
        for id in [before, after] {
            world.server.handle_closed(id, EndReason::PeerClosed, START);
        }
    }
    let origins = [ALICE, BALANCER].map(|a| Peer::Remote { address: a.into(), port: 1 }.origin());
    assert_eq!(origins.map(|origin| world.server.gate.pending(origin)), [0, 0]);
    assert_eq!(world.server.handshaking_sessions(), 0);
}

#[test]
fn a_balancer_that_says_nothing_half_or_garbage_is_ended() {
    let other_version = [SIGNATURE, &[0x31, 0x11, 0, 0]].concat();
    for bytes in [&OPENING[..], b"PROXY TCP4", &other_version] {
        let mut world = World::new(Protocol::Native);
        world.says(BALANCER, bytes);
        assert_eq!(world.ended(), [EndReason::Codec(CodecError::BadMessage)]);
    }
    for bytes in [&[][..], &header(ALICE)[..20], &check()] {
        let mut world = World::new(Protocol::Native);
        let id = world.says(BALANCER, bytes);
        let deadline = START + Limits::default().handshake_timeout;
        assert_eq!(world.server.poll_timeout(), Some(deadline));
        // A byte now and then moves no deadline.
        world.server.handle_bytes(id, &[], START + Duration::from_secs(4));
        world.server.handle_timeout(deadline);
        assert_eq!(world.ended(), [EndReason::HandshakeTimeout]);
    }
}

#[test]
fn a_check_of_our_health_is_no_guest_until_it_asks() {
    let mut world = World::new(Protocol::Egd);
    for _ in 0..20 {
        let id = world.says(BALANCER, &check());
        assert_eq!(world.server.clients().count(), 1, "alice alone");
        world.server.handle_closed(id, EndReason::PeerClosed, START);
    }
    assert!(!world.server.is_hungry(START), "no byte is spent on a greeting");
    // Whoever is behind the balancer is greeted at once, with an address or without.
    for header in [header(ALICE), [SIGNATURE, &[0x21, 0, 0, 0]].concat()] {
        let id = world.says(BALANCER, &header);
        assert_eq!(world.state(id), Some(State::Served));
        assert!(world.server.is_hungry(START));
        world.server.serve(&mut || Some(Sample::new(vec![7; 64])), START);
    }
    let named = world.server.clients().map(|client| client.rule.name.clone());
    assert_eq!(named.collect::<Vec<_>>(), ["alice", "egd 198.51.100.1", "egd 192.0.2.10"]);
    // A check that asks is answered like anybody.
    let id = world.says(BALANCER, &[&check()[..], &[4]].concat());
    assert_eq!(world.state(id), Some(State::Served));
}
