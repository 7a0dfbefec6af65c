//! The life of sessions: how their state changes, when they are overdue, how they end.
//!
//! Owns the transitions and the counting that follows them; who is sent away is decided
//! elsewhere.

use super::core::Server;
use super::gate::{Origin, Refusal};
use super::session::{EndReason, Peer, Session, SessionId, State};
use crate::moment::Moment;
use crate::wire::{ByeReason, Protocol, Reply};
use log::{Level, debug, log};
use std::time::Duration;

/// How long a BYE may take to be sent.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(2);

impl Server {
    /// Says BYE and closes once that is sent. A session that has proved nothing just ends.
    pub(super) fn bye(&mut self, id: SessionId, reason: ByeReason, retry: Duration, now: Moment) {
        let Some(session) = self.session(id) else { return };
        match session.state {
            State::Closing { .. } | State::Shown { .. } => return,
            State::Handshaking { .. } | State::Visiting { .. } => {
                return self.end(id, EndReason::Bye(reason), now);
            }
            _ => {}
        }
        session.outstanding = 0;
        session.answer_by = None;
        session.spare = None;
        let flow = session.flow;
        self.set_state(id, State::Closing { deadline: now + CLOSING_TIMEOUT, reason });
        self.reply(id, Reply::Bye(reason, retry), now);
        self.settle(id);
        if let Some(flow) = flow {
            self.roster.forget_session(flow, id);
            self.refresh_flow(flow, now);
        }
        // Some protocols have no word for it: the connection's end must do.
        if self.output(id).is_empty() {
            self.end(id, EndReason::Bye(reason), now);
        }
    }

    /// Ends a session at once: what it was not sent is wiped.
    pub(super) fn end(&mut self, id: SessionId, reason: EndReason, now: Moment) {
        self.leave_state(id);
        let Some(session) = self.sessions.get_mut(id.0).and_then(Option::take) else { return };
        self.log_end(&session, reason, now);
        if let Some(at) = session.timer {
            self.timers.remove(&(at, id));
        }
        if session.rule.protocol != Protocol::Http {
            *self.counters.ended.entry(reason).or_default() += 1;
        }
        self.ended.push_back((id, reason));
        self.free.push(id.0);
        if let Some(flow) = session.flow {
            if session.is_proved() {
                self.roster.forget_session(flow, id);
                self.roster.record_end(flow, reason);
            }
            self.refresh_flow(flow, now);
        }
    }

    fn log_end(&mut self, session: &Session, reason: EndReason, now: Moment) {
        let peer = session.peer;
        if session.awaits_proxy {
            self.log_balancer(session, reason, now);
        }
        if !session.is_proved() {
            return debug!("{peer} ended before it proved a key: {reason}");
        }
        let client = session.flow.and_then(|flow| self.roster.by_flow_mut(flow));
        let (name, level) = match client {
            // Whoever never had a place never came, as far as the log goes.
            Some(client) if session.was_served => (client.rule.name.clone(), client.log_level(now)),
            Some(client) => (client.rule.name.clone(), Level::Debug),
            // Nobody that we know: told by whoever sent it away.
            None if session.flow.is_none() => return,
            None => ("(removed)".to_owned(), Level::Info),
        };
        log!(level, "client {name} at {peer} left: {reason}, {} bytes", session.given_bytes);
    }

    /// The one place where a session's state changes: whatever counts it follows.
    pub(super) fn set_state(&mut self, id: SessionId, state: State) {
        self.leave_state(id);
        let Some(session) = self.sessions.get_mut(id.0).and_then(Option::as_mut) else { return };
        session.state = state;
        match state {
            State::Handshaking { deadline } => {
                self.handshaking.insert((deadline, id));
            }
            State::InLine => self.queue_up(id),
            State::Parked => self.parked += 1,
            State::Served => {
                self.served += 1;
                session.flow.into_iter().for_each(|flow| self.roster.take_place(flow));
            }
            State::Visiting { .. } | State::Shown { .. } => self.visits.open.push_back(id),
            State::Closing { .. } => {}
        }
        self.settle(id);
    }

    fn leave_state(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get(id.0).and_then(Option::as_ref) else { return };
        match session.state {
            State::Handshaking { deadline } => {
                if self.handshaking.remove(&(deadline, id)) && session.is_at_gate {
                    self.gate.leave(session.peer.origin());
                }
            }
            State::InLine => {
                self.line.retain(|&other| other != id);
                self.places_changed = true;
            }
            State::Parked => self.parked -= 1,
            State::Served => {
                self.served -= 1;
                session.flow.into_iter().for_each(|flow| self.roster.leave_place(flow));
                self.places_changed = true;
            }
            State::Visiting { .. } | State::Shown { .. } => {
                self.visits.open.retain(|&other| other != id);
            }
            State::Closing { .. } => {}
        }
    }

    /// Lets a connection in among those that have proved nothing.
    ///
    /// # Errors
    /// The gate's refusal of its address, or [`Refusal::Crowded`].
    pub(super) fn knock(
        &mut self,
        peer: Peer,
        is_at_gate: bool,
        awaits_proxy: bool,
        now: Moment,
    ) -> Result<(), Refusal> {
        if is_at_gate {
            self.gate.enter(peer.origin(), now)?;
        }
        if !is_at_gate && !awaits_proxy {
            return Ok(());
        }
        let room = self.make_room(peer, now);
        if room.is_err() && is_at_gate {
            self.gate.leave(peer.origin());
        }
        room
    }

    /// Makes room among those who have proved nothing: the oldest of a crowded address goes,
    /// then the oldest of all. Only those go that have not even claimed a key: a handshake takes
    /// moments, so they have least excuse, and what the others cost is paid already.
    ///
    /// # Errors
    /// [`Refusal::Crowded`], if all of them are in the middle of a handshake.
    pub(super) fn make_room(&mut self, peer: Peer, now: Moment) -> Result<(), Refusal> {
        self.thin_out(peer.origin(), now)?;
        if self.handshaking.len() >= self.limits.max_handshakes {
            // One user of this machine can come as thousands: they keep nobody on the network out.
            let is_local = |session: &Session| matches!(session.peer, Peer::Local { .. });
            let mut done = self.evict_silent(is_local, now);
            if done.is_err() && matches!(peer, Peer::Remote { .. }) {
                done = self.evict_silent(|_| true, now);
            }
            done?;
        }
        Ok(())
    }

    /// The part of [`Server::make_room`] that concerns one address.
    pub(super) fn thin_out(&mut self, origin: Origin, now: Moment) -> Result<(), Refusal> {
        if self.gate.pending(origin) > self.limits.max_handshakes_per_address {
            self.evict_silent(|s| s.is_at_gate && s.peer.origin() == origin, now)?;
        }
        Ok(())
    }

    fn evict_silent(
        &mut self,
        which: impl Fn(&Session) -> bool,
        now: Moment,
    ) -> Result<(), Refusal> {
        let oldest = self.handshaking.iter().map(|&(_, id)| id).find(|id| {
            let session = self.sessions.get(id.0).and_then(Option::as_ref);
            session.is_some_and(|session| session.flow.is_none() && which(session))
        });
        self.end(oldest.ok_or(Refusal::Crowded)?, EndReason::Crowded, now);
        Ok(())
    }

    /// Sets the session's timer to its nearest deadline.
    pub(super) fn settle(&mut self, id: SessionId) {
        let write_timeout = self.limits.write_timeout;
        let Some(session) = self.sessions.get_mut(id.0).and_then(Option::as_mut) else { return };
        let deadline = session.deadline(write_timeout);
        if session.timer == deadline {
            return;
        }
        if let Some(at) = session.timer {
            self.timers.remove(&(at, id));
        }
        if let Some(at) = deadline {
            self.timers.insert((at, id));
        }
        session.timer = deadline;
    }

    pub(super) fn overdue(&self, id: SessionId, now: Moment) -> Option<EndReason> {
        let session = self.sessions.get(id.0).and_then(Option::as_ref)?;
        if session.stuck_since.is_some_and(|since| since + self.limits.write_timeout <= now) {
            return Some(EndReason::WriteTimeout);
        }
        match session.state {
            State::Handshaking { deadline } | State::Visiting { deadline } if deadline <= now => {
                Some(EndReason::HandshakeTimeout)
            }
            State::Shown { deadline } if deadline <= now => Some(EndReason::WriteTimeout),
            State::Closing { deadline, reason } if deadline <= now => Some(EndReason::Bye(reason)),
            _ => None,
        }
    }
}
