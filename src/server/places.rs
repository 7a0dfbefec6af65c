//! Places: who is served, who waits in line, who gave the place up.
//!
//! Owns the rules for `max_clients`, the waiting line, admission by guarantee and idle
//! sessions. A session that gives its place up keeps its connection and joins the line when it
//! asks again, so idle clients that swap places cost no handshakes.
//!
//! Guests are here as far as there is room: they make way for whoever has a key, in the places
//! and in the line; and the guest with the most places for one that has two fewer.

use super::admission::{self, Admission};
use super::core::{FULL_RETRY, NO_CAPACITY_RETRY, SOURCE_RETRY, Server};
use super::session::{Session, SessionId, State};
use crate::moment::Moment;
use crate::wire::{ByeReason, Reply, WaitReason};
use log::{log, warn};
use std::time::Duration;

/// Up to here in the line every step forward is told; further back, each halving.
const TELL_EVERY_PLACE: usize = 8;

impl Server {
    /// Serves a proved session, or lets it wait in line, or sends it away with a reason.
    /// `replaces`: it takes over from an older session of the same client, place included.
    pub(super) fn find_place(&mut self, id: SessionId, replaces: bool, now: Moment) {
        // Whoever waits while there are places waits for something else (see `promote`).
        let is_next = self.line.is_empty() || !self.places_changed || replaces;
        if is_next && self.served < self.limits.max_clients {
            match self.admission(id) {
                Admission::Yes => return self.seat(id, now),
                Admission::No { most_bytes_per_s } => {
                    return self.refuse_promise(id, most_bytes_per_s, now);
                }
                Admission::Later => {}
            }
        }
        if self.takes_over(id, now) {
            return self.seat(id, now);
        }
        let is_parked = self.session(id).is_some_and(|session| session.state == State::Parked);
        if self.line.len() + self.parked - usize::from(is_parked) >= self.limits.max_waiting {
            match self.last_guest_waiting(id) {
                Some(guest) => self.bye(guest, ByeReason::Full, FULL_RETRY, now),
                None => return self.bye(id, ByeReason::Full, FULL_RETRY, now),
            }
        }
        self.set_state(id, State::InLine);
        let place = self.line.iter().position(|&other| other == id).map_or(1, |at| at + 1);
        self.tell_place(id, place, now);
        if self.served >= self.limits.max_clients {
            self.idle_check = Some(now);
        }
    }

    /// Puts a session in line: behind all, or if it has a key before all guests.
    pub(super) fn queue_up(&mut self, id: SessionId) {
        let mut at = self.line.len();
        if !self.is_guest(id) {
            at = self.line.iter().position(|&other| self.is_guest(other)).unwrap_or(at);
        }
        self.line.insert(at, id);
    }

    fn is_guest(&self, id: SessionId) -> bool {
        self.sessions.get(id.0).and_then(Option::as_ref).is_some_and(Session::is_guest)
    }

    /// Whether a guest gives up its place for this session, and has done so.
    fn takes_over(&mut self, id: SessionId, now: Moment) -> bool {
        let is_full = self.served == self.limits.max_clients;
        if !is_full || !matches!(self.admission(id), Admission::Yes) {
            return false;
        }
        let flow = self.session(id).and_then(|session| session.flow);
        let own = flow.and_then(|flow| self.roster.by_flow(flow));
        // After the swap a guest must not have more than the one it drove out.
        let least = own.filter(|client| client.is_guest()).map_or(1, |client| client.places + 2);
        let guests = self.roster.iter().filter(|client| client.is_guest());
        let most = guests.max_by_key(|client| client.places);
        let Some(client) = most.filter(|client| client.places >= least) else { return false };
        let seated = client.sessions.iter().rev().copied().filter_map(|id| {
            let session = self.sessions.get(id.0).and_then(Option::as_ref)?;
            (session.state == State::Served).then_some((session.outstanding > 0, id))
        });
        // One that wants nothing, else the newest.
        let Some((is_waiting, victim)) = seated.min_by_key(|&(is_waiting, _)| is_waiting) else {
            return false;
        };
        if self.line.len() + self.parked >= self.limits.max_waiting {
            self.bye(victim, ByeReason::Full, FULL_RETRY, now);
            return true;
        }
        self.set_state(victim, if is_waiting { State::InLine } else { State::Parked });
        self.refresh(victim, now);
        self.idle_check = Some(now);
        true
    }

    /// Who goes when somebody with a key finds even the line full.
    fn last_guest_waiting(&self, newcomer: SessionId) -> Option<SessionId> {
        let waits = |session: &Session| matches!(session.state, State::InLine | State::Parked);
        let guests = self.iter().filter(|(_, s)| s.is_guest() && waits(s));
        let last = guests.max_by_key(|(_, session)| session.proved_at);
        last.map(|(id, _)| id).filter(|_| !self.is_guest(newcomer))
    }

    /// Gives free places to those who wait, first come first served.
    pub(super) fn promote(&mut self, now: Moment) {
        while std::mem::take(&mut self.places_changed) {
            let mut passed_over = 0;
            while let Some(&id) = self.line.get(passed_over) {
                if self.served >= self.limits.max_clients && !self.takes_over(id, now) {
                    break;
                }
                match self.admission(id) {
                    // Its guarantee must wait until the source is known; others need not.
                    Admission::Later => passed_over += 1,
                    Admission::Yes => self.seat(id, now),
                    Admission::No { most_bytes_per_s } => {
                        self.refuse_promise(id, most_bytes_per_s, now);
                    }
                }
            }
            self.places_changed = false;
            let places: Vec<_> = (1..).zip(self.line.iter().copied()).collect();
            for (place, id) in places {
                self.tell_place(id, place, now);
            }
        }
        if self.line.is_empty() {
            self.idle_check = None;
        }
    }

    /// Takes places from sessions that have been idle too long, as many as wait in line.
    pub(super) fn park_idle(&mut self, now: Moment) {
        self.idle_check = None;
        if self.line.is_empty() || self.served < self.limits.max_clients {
            return;
        }
        let timeout = self.limits.idle_timeout;
        let mut idle: Vec<(Moment, SessionId)> = self
            .iter()
            .filter(|(_, session)| session.state == State::Served && session.outstanding == 0)
            .map(|(id, session)| (session.active_at + timeout, id))
            .collect();
        idle.sort_unstable();
        for &(_, id) in idle.iter().take(self.line.len()).filter(|&&(at, _)| at <= now) {
            self.set_state(id, State::Parked);
            self.counters.parked += 1;
        }
        self.promote(now);
        if !self.line.is_empty() && self.served >= self.limits.max_clients {
            let next = idle.iter().map(|&(at, _)| at).find(|&at| at > now);
            self.idle_check = Some(next.unwrap_or(now + timeout));
        }
    }

    /// Bytes per second promised to clients that have a place.
    pub fn promised(&self) -> u64 {
        self.roster.promised_bytes_per_s()
    }

    fn seat(&mut self, id: SessionId, now: Moment) {
        self.set_state(id, State::Served);
        let Some(session) = self.session(id) else { return };
        session.active_at = now;
        session.told_place = 0;
        let (flow, peer) = (session.flow, session.peer);
        let is_new = !std::mem::replace(&mut session.was_served, true);
        if let Some(client) = flow.and_then(|flow| self.roster.by_flow_mut(flow)) {
            // Of a guest with many machines it is said once.
            client.refusal_logged &= client.is_guest();
            if is_new {
                let level = client.log_level(now);
                log!(level, "client {} connected from {peer}", client.rule.name);
            }
        }
        self.tell_wait(id, now);
        self.refresh(id, now);
    }

    fn tell_place(&mut self, id: SessionId, place: usize, now: Moment) {
        let places_left = self.served < self.limits.max_clients;
        let Some(session) = self.session(id) else { return };
        let told = session.told_place;
        // Far back in a long line not every step is news.
        if told == place || told != 0 && place > TELL_EVERY_PLACE && place > told / 2 {
            return;
        }
        session.told_place = place;
        let reply = if places_left {
            Reply::Wait(WaitReason::SourceStarting, SOURCE_RETRY)
        } else {
            Reply::Wait(WaitReason::InLine, Duration::from_millis(place as u64))
        };
        self.reply(id, reply, now);
    }

    fn admission(&self, id: SessionId) -> Admission {
        let flow = self.sessions.get(id.0).and_then(Option::as_ref).and_then(|s| s.flow);
        let Some(client) = flow.and_then(|flow| self.roster.by_flow(flow)) else {
            return Admission::Yes;
        };
        if client.places > 0 {
            return Admission::Yes;
        }
        let guarantee = client.rule.guarantee_bytes_per_s;
        if guarantee == 0 {
            return Admission::Yes;
        }
        let capacity = self.capacity.bytes_per_s();
        admission::admit(capacity, self.limits.headroom, self.promised(), guarantee)
    }

    fn refuse_promise(&mut self, id: SessionId, most_bytes_per_s: u64, now: Moment) {
        let promised = self.promised();
        let flow = self.session(id).and_then(|session| session.flow);
        if let Some(client) = flow.and_then(|flow| self.roster.by_flow_mut(flow)) {
            if !std::mem::replace(&mut client.refusal_logged, true) {
                warn!(
                    "client {} is refused: its guarantee of {} bytes/s does not fit beside the \
                     {promised} bytes/s promised already; {most_bytes_per_s} may be promised in all",
                    client.rule.name, client.rule.guarantee_bytes_per_s
                );
            }
        }
        self.bye(id, ByeReason::NoCapacity, NO_CAPACITY_RETRY, now);
    }
}
