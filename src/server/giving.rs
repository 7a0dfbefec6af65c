//! Giving bytes away: from the stock, by the scheduler's turns, into the sessions' outputs.
//!
//! Owns the samples between the stock and the wire, and what the scheduler is told of who wants
//! bytes. Whose turn it is decides `schedule`.

use super::core::{OUTPUT_MAX, Server, SourceState};
use super::schedule::FlowId;
use super::session::{EndReason, SessionId, Spare, State};
use crate::moment::Moment;
use crate::sample::{SAMPLE_SIZE_MIN, Sample};
use crate::wire::Reply;

/// Bytes given away before sockets are looked at again, so that a fast source does not keep
/// the loop from them.
const SERVE_BYTES_MAX: usize = 256 * 1024;
/// Messages that each answer with bytes earns: a request, a ping, and to spare ...
const MESSAGES_PER_ANSWER: u32 = 4;
/// ... and one for so many bytes of it: one answer may be to many small requests.
const BYTES_PER_MESSAGE: u32 = 16;

impl Server {
    /// Gives bytes away until nobody wants any, the stock is empty, or sockets are due.
    /// Returns the bytes given.
    pub fn serve(&mut self, stock: &mut dyn FnMut() -> Option<Sample>, now: Moment) -> usize {
        let given = self.serve_waiting(stock, now);
        while let Some(id) = self.spare.pop_front() {
            if let Some(want) = self.session(id).and_then(|session| session.spare.take()) {
                self.spare_some(id, want, stock, now);
            }
        }
        given
    }

    /// Whether somebody wants what nobody waits for, and is still to be told.
    pub fn is_asked(&self) -> bool {
        !self.spare.is_empty()
    }

    /// Whether anybody waits for bytes, or there are none to be had.
    fn is_short(&mut self, now: Moment) -> bool {
        self.source != SourceState::Good || self.scheduler.has_turn(now)
    }

    /// Answers whoever takes only what nobody waits for: at once, with little or nothing.
    fn spare_some(
        &mut self,
        id: SessionId,
        want: Spare,
        stock: &mut dyn FnMut() -> Option<Sample>,
        now: Moment,
    ) {
        let is_short = self.is_short(now);
        match want {
            Spare::Level => {
                let bytes = if is_short { 0 } else { self.stocked + self.open.len() };
                let bits = u32::try_from(bytes.saturating_mul(8)).unwrap_or(u32::MAX);
                self.reply(id, Reply::Level(bits), now);
            }
            Spare::Bytes(count) => {
                let sample = match is_short {
                    true => None,
                    false => self.take_spare(id, count, stock, now),
                };
                // Who asks in vain is bounded by the clock.
                if let (Some(session), Some(_)) = (self.session(id), &sample) {
                    session.earn_messages(MESSAGES_PER_ANSWER);
                }
                self.reply(id, Reply::Spare(sample.unwrap_or_default()), now);
            }
        }
    }

    /// Up to `count` bytes for a session while nobody has a turn, nor any other of its client
    /// waits for the limit; booked as its client's.
    fn take_spare(
        &mut self,
        id: SessionId,
        count: u32,
        stock: &mut dyn FnMut() -> Option<Sample>,
        now: Moment,
    ) -> Option<Sample> {
        let session = self.session(id).filter(|session| session.state == State::Served)?;
        let flow = session.flow.filter(|flow| self.wanted(*flow) == 0)?;
        // Its limit holds as for everybody.
        self.scheduler.set_want(flow, count.into(), now);
        let turn = self.scheduler.poll_turn(count as usize, now).filter(|turn| turn.flow == flow);
        let most = turn.map_or(0, |turn| turn.at_most.min(count as usize));
        while self.open.len() < most {
            let Some(sample) = stock() else { break };
            self.open.append(sample);
        }
        let given = most.min(self.open.len());
        let piece = (given > 0).then(|| {
            self.scheduler.charge(flow, given, now);
            self.counters.given_bytes += given as u64;
            self.counters.given_samples += 1;
            self.roster.record_given(flow, given as u64, now);
            self.open.split_front(given)
        });
        if let Some(session) = self.session(id) {
            session.given_bytes += given as u64;
            session.active_at = now;
        }
        self.refresh_flow(flow, now);
        piece
    }

    fn serve_waiting(&mut self, stock: &mut dyn FnMut() -> Option<Sample>, now: Moment) -> usize {
        let mut given = 0;
        while given < SERVE_BYTES_MAX && self.source == SourceState::Good {
            let slice = self.slice();
            let Some(turn) = self.scheduler.poll_turn(slice, now) else { break };
            let Some(id) = self.roster.next_session(turn.flow, |id| self.can_take(id)) else {
                self.scheduler.set_want(turn.flow, 0, now);
                continue;
            };
            let outstanding = self.session(id).map_or(0, |session| session.outstanding as usize);
            let count = turn.at_most.min(outstanding);
            while self.open.len() < count {
                let Some(sample) = stock() else { return given };
                self.open.append(sample);
            }
            let piece = self.open.split_front(count);
            self.give(id, turn.flow, piece, now);
            given += count;
        }
        given
    }

    fn give(&mut self, id: SessionId, flow: FlowId, piece: Sample, now: Moment) {
        let count = piece.len();
        let bytes = u32::try_from(count).expect("not more than a sample");
        self.scheduler.charge(flow, count, now);
        let Some(session) = self.sessions.get_mut(id.0).and_then(Option::as_mut) else { return };
        session.outstanding -= bytes;
        session.given_bytes += count as u64;
        session.earn_messages(MESSAGES_PER_ANSWER + bytes / BYTES_PER_MESSAGE);
        session.active_at = now;
        let ends_request = session.answer_by.take().is_some();
        if ends_request {
            session.outstanding = 0;
        }
        let result = session.encode(Reply::Sample(piece));
        self.counters.given_bytes += count as u64;
        self.counters.given_samples += 1;
        self.roster.record_given(flow, count as u64, now);
        match result {
            Ok(()) => self.touch(id),
            Err(error) => self.end(id, EndReason::Codec(error), now),
        }
        if ends_request {
            self.settle(id);
        }
        self.refresh_flow(flow, now);
    }

    pub(super) fn can_take(&self, id: SessionId) -> bool {
        self.sessions
            .get(id.0)
            .and_then(Option::as_ref)
            .is_some_and(|session| session.wants_bytes() && session.output.len() < OUTPUT_MAX)
    }

    /// The largest answer now: a whole sample, unless a round through all who wait would take
    /// longer than `max_round`.
    fn slice(&self) -> usize {
        let most = self.limits.sample_size;
        let Some(capacity) = self.capacity.bytes_per_s() else { return most };
        let waiting = self.scheduler.waiting().max(1) as u128;
        let per_round = u128::from(capacity) * self.limits.max_round.as_millis() / 1000;
        let fair = usize::try_from(per_round / waiting).unwrap_or(most);
        fair.clamp(SAMPLE_SIZE_MIN.min(most), most)
    }

    /// Tells the scheduler what the session's client wants now.
    pub(super) fn refresh(&mut self, id: SessionId, now: Moment) {
        if let Some(flow) = self.session(id).and_then(|session| session.flow) {
            self.refresh_flow(flow, now);
        }
    }

    /// As `refresh`, for a session that was told to ask again.
    pub(super) fn refresh_put_off(&mut self, id: SessionId, now: Moment) {
        if let Some(flow) = self.session(id).and_then(|session| session.flow) {
            let want = self.wanted(flow);
            self.scheduler.put_off(flow, want, now);
        }
    }

    pub(super) fn refresh_flow(&mut self, flow: FlowId, now: Moment) {
        let want = self.wanted(flow);
        self.scheduler.set_want(flow, want, now);
    }

    /// Bytes that the sessions of a client wait for and could take.
    fn wanted(&self, flow: FlowId) -> u64 {
        let sessions = self.roster.by_flow(flow).into_iter().flat_map(|client| &client.sessions);
        sessions
            .filter(|&&id| self.can_take(id))
            .filter_map(|id| self.sessions.get(id.0).and_then(Option::as_ref))
            .map(|session| u64::from(session.outstanding))
            .sum()
    }
}
