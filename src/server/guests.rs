//! Guests: clients without keys, told by where they come from.
//!
//! Owns what a listener lets its peers be, and how a guest comes to a flow of its own. A
//! protocol without keys cannot say who is there: the address can, or the kernel by the user,
//! and whoever shares one shares its part. What a guest gets is fair against everybody else's.

use super::core::Server;
use super::session::{EndReason, Peer, SessionId, Spare, State};
use super::{AddressRange, ClientRule, Identity};
use crate::moment::Moment;
use crate::wire::{CodecError, Protocol, proxy};
use log::debug;

/// What a listener lets its peers be.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerRule {
    /// What is spoken there.
    pub protocol: Protocol,
    /// How log and status call guests that come there.
    pub name: String,
    /// A guest's part of what is to be shared, against the others' weights. At least 1.
    pub weight: u32,
    /// Bytes per second that a guest never exceeds.
    pub limit_bytes_per_s: Option<u64>,
    /// Sessions of one guest at once. One more is refused: what looks like one may be many.
    pub max_sessions: u32,
    /// Where peers may come from; empty for anywhere.
    pub allowed: Vec<AddressRange>,
    /// Bytes that a guest is given before it asks.
    pub greet_len: u8,
    /// Who says first in whose name it connects, by the PROXY protocol.
    pub balancers: Vec<AddressRange>,
}

impl ListenerRule {
    /// Of a listener where this is spoken and nothing else is said.
    pub fn new(protocol: Protocol) -> Self {
        ListenerRule {
            protocol,
            name: protocol.to_string(),
            weight: 1,
            limit_bytes_per_s: None,
            max_sessions: 100,
            allowed: Vec::new(),
            greet_len: 0,
            balancers: Vec::new(),
        }
    }

    fn holds(ranges: &[AddressRange], peer: Peer) -> bool {
        match peer {
            Peer::Remote { address, .. } => ranges.iter().any(|range| range.contains(address)),
            Peer::Local { .. } => false,
        }
    }

    /// Whether a peer may come there.
    pub fn allows(&self, peer: Peer) -> bool {
        self.allowed.is_empty() || Self::holds(&self.allowed, peer)
    }

    /// Whether a peer connects in others' names.
    pub fn is_balancer(&self, peer: Peer) -> bool {
        Self::holds(&self.balancers, peer)
    }
}

impl Server {
    /// Says what is next for a session that just came: nothing, a balancer's word, or a place
    /// for a guest.
    pub(super) fn welcome(&mut self, id: SessionId, now: Moment) {
        let Some(session) = self.session(id) else { return };
        if !session.rule.allows(session.peer) {
            return self.end(id, EndReason::AddressNotAllowed, now);
        }
        if session.rule.protocol.has_guests() {
            self.seat_guest(id, now);
        }
    }

    fn seat_guest(&mut self, id: SessionId, now: Moment) {
        let Some(session) = self.session(id) else { return };
        let (peer, rule) = (session.peer, session.rule.clone());
        let identity = Identity::Guest { listener: rule.name.clone(), origin: peer.origin() };
        let client = ClientRule {
            name: format!("{} {}", rule.name, peer.origin()),
            identity,
            weight: rule.weight,
            guarantee_bytes_per_s: 0,
            limit_bytes_per_s: rule.limit_bytes_per_s,
            max_sessions: rule.max_sessions,
            allowed: Vec::new(),
        };
        let Some((flow, forgotten)) = self.roster.guest(client) else {
            debug!("{peer} refused: too many guests, or sessions of this one");
            return self.end(id, EndReason::TooManyGuests, now);
        };
        if let Some(flow) = forgotten {
            self.scheduler.remove(flow);
        }
        if let Some(rule) = self.roster.by_flow(flow).map(|client| client.flow_rule()) {
            self.scheduler.set_rule(flow, rule, now);
        }
        let codec = (self.make_codec)(&rule);
        let Some(session) = self.session(id) else { return };
        session.flow = Some(flow);
        session.codec = Some(codec);
        session.outstanding = rule.greet_len.into();
        self.handle_proved(id, now);
    }

    /// What a balancer says first. `false`: more must come, or the session is over.
    pub(super) fn hear_balancer(&mut self, id: SessionId, now: Moment) -> bool {
        let Some(session) = self.session(id) else { return false };
        if !session.awaits_proxy {
            return true;
        }
        let found = match proxy::decode(&mut session.input) {
            Ok(None) => return false,
            Ok(Some(found)) => found,
            Err(error) => {
                self.end(id, EndReason::Codec(error), now);
                return false;
            }
        };
        session.awaits_proxy = false;
        if let proxy::Proxied::For { address, port } = found {
            session.peer = Peer::Remote { address: address.to_canonical(), port };
        }
        let peer = session.peer;
        if let Err(refusal) = self.gate.enter(peer.origin(), now) {
            debug!("{peer} refused: {refusal}");
            self.end(id, EndReason::Refused(refusal), now);
            return false;
        }
        if let Some(session) = self.session(id) {
            session.is_at_gate = true;
        }
        self.welcome(id, now);
        self.session(id).is_some_and(|session| !matches!(session.state, State::Closing { .. }))
    }

    /// A guest wants what nobody else waits for, or to know how much there is.
    pub(super) fn want_spare(&mut self, id: SessionId, want: Spare, now: Moment) {
        let Some(session) = self.session(id) else { return };
        if session.state == State::Parked {
            self.find_place(id, false, now);
        }
        let Some(session) = self.session(id) else { return };
        if session.spare.replace(want).is_none() {
            self.spare.push_back(id);
        }
    }

    /// A guest offered us bytes: they are dropped, and counted.
    pub(super) fn refuse_offer(&mut self, id: SessionId, count: u32, now: Moment) {
        self.counters.offered_bytes += u64::from(count);
        let is_guest = self.session(id).is_some_and(|session| session.rule.protocol.has_guests());
        if !is_guest {
            self.end(id, EndReason::Codec(CodecError::OutOfOrder), now);
        }
    }
}
