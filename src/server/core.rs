//! The server's core: sessions, places, shares. Events in; bytes, samples and decisions out.
//!
//! Owns every decision about who is served, and the samples from the moment they leave the
//! stock. It has no sockets, no threads and no clock: `event_loop` brings those. `handle_*`
//! feeds an event in, `poll_*` drains what follows, and each call that needs time takes
//! `now`.

use super::admission::Capacity;
use super::gate::Gate;
use super::guests::ListenerRule;
use super::roster::{Client, Roster};
use super::schedule::Scheduler;
use super::session::{EndReason, MESSAGES_BURST, Peer, Session, SessionId, State};
use super::visits::Visits;
use super::{ClientRule, Limits};
use crate::moment::Moment;
use crate::retry::Outage;
use crate::sample::Sample;
use crate::wire::{ByeReason, Protocol, Reply, ServerCodec, WaitReason};
use log::{debug, info, warn};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Bytes a session may have outstanding. What a request adds beyond that is forgotten.
pub const OUTSTANDING_MAX: u32 = 64 * 1024;
/// A session whose output holds this much gets no more, and is not read, until some of it is
/// sent.
pub const OUTPUT_MAX: usize = 16 * 1024;
/// A session that holds this much not yet heard is not read: it waits for an answer first. More
/// than any message.
pub const INPUT_MAX: usize = 16 * 1024;
/// When a client refused for want of capacity may try again. Capacity changes when another
/// client leaves, which nobody can foretell.
pub(super) const NO_CAPACITY_RETRY: Duration = Duration::from_secs(30);
/// When a client that found even the line full may try again.
pub(super) const FULL_RETRY: Duration = Duration::from_secs(10);
/// What a client is told to wait while the source is out of order.
pub(super) const SOURCE_RETRY: Duration = Duration::from_secs(5);
/// When a session that was replaced may come back. Two machines with one key would otherwise
/// throw each other out without end.
pub(super) const REPLACED_RETRY: Duration = Duration::from_secs(10);
/// After a restart clients come back within moments; their own jitter spreads them.
const SHUTDOWN_RETRY: Duration = Duration::from_secs(1);

/// Whether the source gives bytes, as the clients are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceState {
    /// Has not passed its start-up test since the server started.
    Starting,
    /// Passed, and nothing wrong since.
    Good,
    /// Out of order; the reader tries to bring it back.
    Failed,
}

/// What has happened so far, for status.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counters {
    /// Ended sessions by reason, refused connections included.
    pub ended: BTreeMap<EndReason, u64>,
    /// Handshakes answered.
    pub handshakes: u64,
    /// Sessions that proved their key.
    pub proved: u64,
    /// Bytes given to clients.
    pub given_bytes: u64,
    /// Answers that carried them.
    pub given_samples: u64,
    /// Sessions that gave their place up while idle.
    pub parked: u64,
    /// Bytes that guests wanted to add to what we have; they were dropped.
    pub offered_bytes: u64,
    /// Pages shown. Their sessions are in no other counter.
    pub pages: u64,
}

/// Makes the server's side of a protocol for a new connection.
pub type MakeCodec = Box<dyn FnMut(&ListenerRule) -> Box<dyn ServerCodec + Send> + Send>;

/// The pure server.
pub struct Server {
    pub(super) limits: Limits,
    pub(super) make_codec: MakeCodec,
    pub(super) roster: Roster,
    pub(super) sessions: Vec<Option<Session>>,
    pub(super) free: Vec<usize>,
    pub(super) scheduler: Scheduler,
    pub(super) capacity: Capacity,
    pub(super) gate: Gate,
    /// Sessions that have not proved a key, oldest first.
    pub(super) handshaking: BTreeSet<(Moment, SessionId)>,
    /// Sessions that wait for a place, first come first.
    pub(super) line: VecDeque<SessionId>,
    pub(super) parked: usize,
    pub(super) served: usize,
    pub(super) timers: BTreeSet<(Moment, SessionId)>,
    /// When idle sessions are looked for, while somebody waits in line.
    pub(super) idle_check: Option<Moment>,
    dirty: Vec<SessionId>,
    /// Sessions that want what nobody waits for.
    pub(super) spare: VecDeque<SessionId>,
    /// Balancers that do not say in whose name they come.
    pub(super) balancers: Outage<EndReason>,
    /// Bytes in the stock.
    pub(super) stocked: usize,
    pub(super) ended: VecDeque<(SessionId, EndReason)>,
    pub(super) source: SourceState,
    /// Left over from a sample that was not given whole.
    pub(super) open: Sample,
    broken_promise: bool,
    pub(super) visits: Visits,
    /// Somebody left a place or the line: look who can have it.
    pub(super) places_changed: bool,
    pub(super) counters: Counters,
}

impl Server {
    /// A server with nobody connected and a source that has not passed yet.
    pub fn new(limits: Limits, clients: Vec<ClientRule>, make_codec: MakeCodec) -> Self {
        let mut server = Server {
            scheduler: Scheduler::new(limits.sample_size),
            gate: Gate::new(limits.handshakes_per_s, limits.handshakes_per_s_per_address),
            limits,
            make_codec,
            roster: Roster::default(),
            sessions: Vec::new(),
            free: Vec::new(),
            capacity: Capacity::default(),
            handshaking: BTreeSet::new(),
            line: VecDeque::new(),
            parked: 0,
            served: 0,
            timers: BTreeSet::new(),
            idle_check: None,
            dirty: Vec::new(),
            spare: VecDeque::new(),
            balancers: Outage::new(),
            stocked: 0,
            ended: VecDeque::new(),
            source: SourceState::Starting,
            open: Sample::default(),
            broken_promise: false,
            visits: Visits::default(),
            places_changed: false,
            counters: Counters::default(),
        };
        server.handle_clients(clients, Moment::ZERO);
        server
    }

    /// What has happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The clients it knows.
    pub fn clients(&self) -> impl Iterator<Item = &Client> {
        self.roster.iter()
    }

    /// Measured bytes per second of the source.
    pub fn capacity_bytes_per_s(&self) -> Option<u64> {
        self.capacity.bytes_per_s()
    }

    /// How long a peer may take nothing of what is sent to it.
    pub fn write_timeout(&self) -> Duration {
        self.limits.write_timeout
    }

    /// Sessions with a place.
    pub fn served_sessions(&self) -> usize {
        self.served
    }

    /// Sessions in line for a place.
    pub fn waiting_sessions(&self) -> usize {
        self.line.len()
    }

    /// Connections that have not proved a key.
    pub fn handshaking_sessions(&self) -> usize {
        self.handshaking.len()
    }

    // ---- events -------------------------------------------------------------------------

    /// A connection was accepted. `None`: it is refused, and counted; close it.
    pub fn handle_accept(
        &mut self,
        peer: Peer,
        rule: &Arc<ListenerRule>,
        now: Moment,
    ) -> Option<SessionId> {
        let is_visit = rule.protocol == Protocol::Http;
        // A balancer comes in many names: the gate counts those. A guest has nothing to prove:
        // it costs no more than its refusal, and its sessions are counted elsewhere.
        let awaits_proxy = rule.is_balancer(peer);
        let is_at_gate = !awaits_proxy && !is_visit && !rule.protocol.has_guests();
        let admitted = match is_visit {
            true => self.make_room_for_visit(peer, rule, now),
            false => self.knock(peer, is_at_gate, awaits_proxy, now),
        };
        if let Err(refusal) = admitted {
            debug!("{peer} refused: {refusal}");
            if !is_visit {
                *self.counters.ended.entry(EndReason::Refused(refusal)).or_default() += 1;
            }
            return None;
        }
        let deadline = now + self.limits.handshake_timeout;
        let session = Session {
            peer,
            state: match is_visit {
                true => State::Visiting { deadline },
                false => State::Handshaking { deadline },
            },
            rule: Arc::clone(rule),
            awaits_proxy,
            is_at_gate,
            spare: None,
            codec: None,
            input: Vec::new(),
            output: Vec::new(),
            flow: None,
            outstanding: 0,
            answer_by: None,
            active_at: now,
            was_served: false,
            told_place: 0,
            stuck_since: None,
            timer: None,
            message_allowance: MESSAGES_BURST,
            allowance_at: now,
            dirty: false,
            given_bytes: 0,
            proved_at: now,
        };
        let id = match self.free.pop() {
            Some(index) => SessionId(index),
            None => {
                self.sessions.push(None);
                SessionId(self.sessions.len() - 1)
            }
        };
        self.sessions[id.0] = Some(session);
        match is_visit {
            true => self.visits.open.push_back(id),
            false => drop(self.handshaking.insert((deadline, id))),
        }
        self.settle(id);
        if !awaits_proxy {
            self.welcome(id, now);
            // Turned away at once: there is no connection yet that would have to be closed.
            let is_in = self.session(id).is_some();
            if !is_in {
                self.ended.pop_back();
            }
            self.promote(now);
            return is_in.then_some(id);
        }
        Some(id)
    }

    /// Bytes came in.
    pub fn handle_bytes(&mut self, id: SessionId, bytes: &[u8], now: Moment) {
        let Some(session) = self.session(id) else { return };
        session.input.extend_from_slice(bytes);
        session.fill_allowance(now);
        if !self.hear_balancer(id, now) {
            return self.promote(now);
        }
        let Some(session) = self.session(id) else { return };
        if session.codec.is_none() && !session.input.is_empty() {
            let rule = Arc::clone(&session.rule);
            // Before the first byte a connection costs no cryptography, and a plain one never.
            let begun = match rule.protocol {
                Protocol::Native => self.gate.begin_handshake(now),
                _ => Ok(()),
            };
            if let Err(refusal) = begun {
                return self.end(id, EndReason::Refused(refusal), now);
            }
            let codec = (self.make_codec)(&rule);
            let Some(session) = self.session(id) else { return };
            session.codec = Some(codec);
        }
        self.handle_input(id, now);
        self.promote(now);
    }

    /// The peer closed the connection, or it broke.
    pub fn handle_closed(&mut self, id: SessionId, reason: EndReason, now: Moment) {
        let reason = match self.session(id).map(|session| session.state) {
            Some(State::Closing { reason, .. }) => EndReason::Bye(reason),
            Some(_) => reason,
            None => return,
        };
        self.end(id, reason, now);
        self.promote(now);
    }

    /// The first `count` bytes of the output were sent.
    pub fn handle_sent(&mut self, id: SessionId, count: usize, now: Moment) {
        let Some(session) = self.session(id) else { return };
        if count >= session.output.len() {
            session.output = Vec::new();
        } else {
            session.output.drain(..count);
        }
        if session.output.is_empty() {
            session.stuck_since = None;
        } else if count > 0 || session.stuck_since.is_none() {
            session.stuck_since = Some(now);
        }
        let reason = match session.state {
            _ if !session.output.is_empty() => None,
            State::Closing { reason, .. } => Some(EndReason::Bye(reason)),
            State::Shown { .. } => Some(EndReason::Shown),
            _ => None,
        };
        if let Some(reason) = reason {
            self.end(id, reason, now);
        } else {
            self.settle(id);
            self.handle_input(id, now);
        }
        self.promote(now);
    }

    /// The source passed its tests or failed.
    pub fn handle_source(&mut self, state: SourceState, now: Moment) {
        if std::mem::replace(&mut self.source, state) == state {
            return;
        }
        if state == SourceState::Good {
            return;
        }
        self.open = Sample::default();
        self.capacity.reset();
        for id in self.ids() {
            self.tell_wait(id, now);
        }
    }

    /// So many bytes wait in the stock.
    pub fn handle_stocked(&mut self, bytes: usize) {
        self.stocked = bytes;
    }

    /// The source was read: so many bytes in so much time inside reads.
    pub fn handle_reading(&mut self, bytes: u64, span: Duration, now: Moment) {
        let is_first = self.capacity.bytes_per_s().is_none();
        if self.capacity.handle_reading(bytes, span) {
            self.handle_capacity(is_first, now);
        }
    }

    /// The stock is full: the source rests until somebody takes from it.
    pub fn handle_stock_full(&mut self, now: Moment) {
        if self.capacity.handle_rest() {
            self.handle_capacity(true, now);
        }
    }

    fn handle_capacity(&mut self, is_first: bool, now: Moment) {
        let Some(capacity) = self.capacity.bytes_per_s() else { return };
        if is_first {
            info!("the source gives {capacity} bytes/s");
            self.places_changed = true;
            self.promote(now);
        }
        let promised = self.promised();
        let broken = promised > capacity;
        if broken && !self.broken_promise {
            warn!(
                "the source gives {capacity} bytes/s, less than the {promised} bytes/s guaranteed: \
                 shares shrink in proportion to the guarantees, and nobody new is promised any"
            );
        } else if self.broken_promise && !broken {
            info!("the source gives {capacity} bytes/s: all guarantees are kept again");
        }
        self.broken_promise = broken;
    }

    /// The clients file was read again: new rules hold for living sessions at once.
    pub fn handle_clients(&mut self, clients: Vec<ClientRule>, now: Moment) {
        let replaced = self.roster.replace(clients);
        for id in replaced.new_psk {
            // The old one may have leaked: who knows the new one comes back at once.
            self.bye(id, ByeReason::NotAllowed, SHUTDOWN_RETRY, now);
        }
        for (flow, sessions) in replaced.gone {
            for id in sessions {
                self.bye(id, ByeReason::NotAllowed, NO_CAPACITY_RETRY, now);
            }
            self.scheduler.remove(flow);
        }
        let rules: Vec<_> = self.roster.iter().map(|c| (c.flow, c.flow_rule())).collect();
        for (flow, rule) in rules {
            self.scheduler.set_rule(flow, rule, now);
        }
        for id in self.ids() {
            self.apply_rule(id, now);
        }
        // Whoever waits for a promise may need none any more.
        self.places_changed = true;
        self.promote(now);
    }

    /// Limits were read again. Sample size and stock stay as they were.
    pub fn handle_limits(&mut self, limits: Limits, now: Moment) {
        self.gate.set_rates(limits.handshakes_per_s, limits.handshakes_per_s_per_address);
        self.limits = Limits { sample_size: self.limits.sample_size, ..limits };
        self.places_changed = true;
        self.promote(now);
    }

    /// The server stops: everybody is told.
    pub fn handle_shutdown(&mut self, now: Moment) {
        self.limits.max_clients = 0;
        for id in self.ids() {
            self.bye(id, ByeReason::ShuttingDown, SHUTDOWN_RETRY, now);
        }
    }

    /// Time has come to `now`.
    pub fn handle_timeout(&mut self, now: Moment) {
        while let Some(&(at, id)) = self.timers.first() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            if let Some(session) = self.session(id) {
                session.timer = None;
            }
            match self.overdue(id, now) {
                Some(reason) => self.end(id, reason, now),
                None => {
                    self.put_off(id, now);
                    self.settle(id);
                }
            }
        }
        if self.idle_check.is_some_and(|at| at <= now) {
            self.park_idle(now);
        }
        self.promote(now);
    }

    // ---- what follows -------------------------------------------------------------------

    /// The earliest moment at which [`Server::handle_timeout`] or [`Server::serve`] has
    /// something to do, if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Moment> {
        let timer = self.timers.first().map(|&(at, _)| at);
        let limited = self.scheduler.poll_timeout().filter(|_| self.source == SourceState::Good);
        [timer, limited, self.idle_check].into_iter().flatten().min()
    }

    /// The next session whose output may be sent, or that may be read again.
    pub fn poll_flush(&mut self) -> Option<SessionId> {
        while let Some(id) = self.dirty.pop() {
            if let Some(session) = self.session(id) {
                session.dirty = false;
                return Some(id);
            }
        }
        None
    }

    /// The next session that ended: close its connection.
    pub fn poll_ended(&mut self) -> Option<(SessionId, EndReason)> {
        self.ended.pop_front()
    }

    /// What is to be sent to a session.
    pub fn output(&self, id: SessionId) -> &[u8] {
        self.sessions.get(id.0).and_then(Option::as_ref).map_or(&[], |session| &session.output)
    }

    /// Whether a session's bytes may be read: not while it does not take its answers.
    pub fn accepts_input(&self, id: SessionId) -> bool {
        self.sessions.get(id.0).and_then(Option::as_ref).is_some_and(|session| {
            let (input, output) = (session.input.len(), session.output.len());
            input < INPUT_MAX && output < OUTPUT_MAX && !session.is_ending()
        })
    }

    /// Whether a session has a key to prove, and has not done so yet.
    pub fn is_handshaking(&self, id: SessionId) -> bool {
        let session = self.sessions.get(id.0).and_then(Option::as_ref);
        session.is_some_and(|session| matches!(session.state, State::Handshaking { .. }))
    }

    /// Whether somebody could be given bytes now, if there were any.
    pub fn is_hungry(&mut self, now: Moment) -> bool {
        self.source == SourceState::Good && self.scheduler.has_turn(now)
    }

    /// Whether somebody waits for the capacity to be known.
    pub fn is_calibrating(&self) -> bool {
        self.capacity.bytes_per_s().is_none() && !self.line.is_empty()
    }

    // ---- inside -------------------------------------------------------------------------

    /// Tells a session that wants bytes why it gets none now.
    pub(super) fn tell_wait(&mut self, id: SessionId, now: Moment) {
        let reason = match self.source {
            SourceState::Good => return,
            SourceState::Starting => WaitReason::SourceStarting,
            SourceState::Failed => WaitReason::SourceFailed,
        };
        if self.session(id).is_some_and(|session| session.wants_bytes()) {
            self.reply(id, Reply::Wait(reason, SOURCE_RETRY), now);
        }
    }

    pub(super) fn reply(&mut self, id: SessionId, reply: Reply, now: Moment) {
        let Some(session) = self.session(id) else { return };
        let ends_request = matches!(reply, Reply::Wait(..)) && session.answer_by.take().is_some();
        if ends_request {
            session.outstanding = 0;
            session.active_at = now;
        }
        match session.encode(reply) {
            Ok(()) => self.touch(id),
            Err(error) => return self.end(id, EndReason::Codec(error), now),
        }
        if ends_request {
            self.settle(id);
            self.refresh_put_off(id, now);
        }
    }

    fn apply_rule(&mut self, id: SessionId, now: Moment) {
        let Some(session) = self.session(id) else { return };
        let (Some(flow), peer, true) = (session.flow, session.peer, session.is_proved()) else {
            return;
        };
        let Some(client) = self.roster.by_flow_mut(flow) else { return };
        if !client.rule.allows(peer) {
            return self.bye(id, ByeReason::NotAllowed, NO_CAPACITY_RETRY, now);
        }
        let surplus = client.surplus_sessions();
        for old in surplus {
            self.bye(old, ByeReason::Replaced, REPLACED_RETRY, now);
        }
        self.refresh_flow(flow, now);
    }

    /// Puts a session on the list of those to flush.
    pub(super) fn touch(&mut self, id: SessionId) {
        let Some(session) = self.session(id) else { return };
        if !std::mem::replace(&mut session.dirty, true) {
            self.dirty.push(id);
        }
    }

    pub(super) fn session(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(id.0).and_then(Option::as_mut)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        let sessions = self.sessions.iter().enumerate();
        sessions.filter_map(|(index, session)| Some((SessionId(index), session.as_ref()?)))
    }

    fn ids(&self) -> Vec<SessionId> {
        self.iter().map(|(id, _)| id).collect()
    }
}
