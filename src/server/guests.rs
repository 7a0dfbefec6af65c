//! Guests: clients without keys, told by where they come from.
//!
//! Owns what a listener lets its peers be, and how a guest comes to a flow of its own. A
//! protocol without keys cannot say who is there: the address can, or the kernel by the user,
//! and whoever shares one shares its part. What a guest gets is fair against everybody else's.

use super::core::Server;
use super::schedule::FlowId;
use super::session::{EndReason, Peer, Session, SessionId, Spare, State};
use super::{AddressRange, ClientRule, Identity};
use crate::moment::Moment;
use crate::wire::proxy::{self, Proxied};
use crate::wire::{CodecError, Protocol};
use log::{debug, log, warn};
use std::sync::Arc;

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
    /// Names that a browser may call it by, beside addresses and names without dots; see
    /// [`crate::wire::http`].
    pub names: Arc<[String]>,
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
            names: Arc::from([]),
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
        let (flow, forgotten) = match self.roster.guest(client, now) {
            Ok(found) => found,
            Err(crowded) => {
                self.log_crowded(crowded, peer);
                return self.end(id, EndReason::TooManyGuests, now);
            }
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

    fn log_crowded(&mut self, crowded: Option<FlowId>, peer: Peer) {
        debug!("{peer} refused: too many guests, or sessions of this one");
        let Some(client) = crowded.and_then(|flow| self.roster.by_flow_mut(flow)) else { return };
        if !std::mem::replace(&mut client.refusal_logged, true) {
            warn!(
                "client {} has {} sessions already, one more is refused; for more raise \
                 max-sessions of that [[listen]]",
                client.rule.name, client.rule.max_sessions
            );
        }
    }

    /// What a balancer says first. `false`: more must come, or the session is over.
    pub(super) fn hear_balancer(&mut self, id: SessionId, now: Moment) -> bool {
        let Some(session) = self.session(id) else { return false };
        if !session.awaits_proxy {
            return true;
        }
        let (found, len) = match proxy::decode(&session.input) {
            Ok(None) => return false,
            // A check of our health that says no more costs no more: it is nobody yet.
            Ok(Some((Proxied::Itself, len))) if session.input.len() == len => return false,
            Ok(Some(found)) => found,
            Err(error) => {
                self.end(id, EndReason::Codec(error), now);
                return false;
            }
        };
        session.input.drain(..len);
        session.awaits_proxy = false;
        if let Proxied::For { address, port } = found {
            session.peer = Peer::Remote { address: address.to_canonical(), port };
        }
        let is_guest = session.is_guest();
        let _ = self.balancers.handle_success(now);
        if !is_guest {
            self.enter_late(id, now);
        }
        self.welcome(id, now);
        self.session(id).is_some_and(|session| !matches!(session.state, State::Closing { .. }))
    }

    /// Through the gate, like everybody from there who comes without a balancer.
    fn enter_late(&mut self, id: SessionId, now: Moment) {
        let Some(peer) = self.session(id).map(|session| session.peer) else { return };
        let mut entered = self.gate.enter(peer.origin(), now);
        if let (Ok(()), Some(session)) = (entered, self.session(id)) {
            session.is_at_gate = true;
            entered = self.thin_out(peer.origin(), now);
        }
        if let Err(refusal) = entered {
            debug!("{peer} refused: {refusal}");
            self.end(id, EndReason::Refused(refusal), now);
        }
    }

    /// A balancer that does not say in whose name it comes is set up wrongly: all its clients
    /// are turned away. Whoever comes through it cannot have said this.
    pub(super) fn log_balancer(&mut self, session: &Session, reason: EndReason, now: Moment) {
        let is_wordless = reason == EndReason::HandshakeTimeout && session.input.is_empty();
        if !is_wordless && !matches!(reason, EndReason::Codec(_)) {
            return;
        }
        let level = self.balancers.handle_failure(reason, now);
        log!(
            level,
            "balancer {} does not say in whose name it comes ({reason}), so its clients are \
             turned away: have it send PROXY protocol version 2 (HAProxy: send-proxy-v2)",
            session.peer
        );
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
