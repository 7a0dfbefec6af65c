//! Whose turn it is to give, where no upstream may give more than another.
//!
//! Owns the counts and the rule: who has given the least is next, and who has something to give
//! waits for whoever has given less, for a while. Threads wait elsewhere (`seat`).

use crate::moment::Moment;
use std::time::Duration;

/// How long one that was asked is waited for: a board of 1 kB/s gives half a block of the sink
/// `kernel` in less, and a dead one holds nobody up for long.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What an upstream is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// Failed, or said that it has nothing: nobody waits for it.
    Absent,
    /// Is being connected to, or was asked.
    Asked {
        /// Since when.
        since: Moment,
    },
    /// Holds something to give.
    Ready,
}

#[derive(Debug, Clone, Copy)]
struct Seat {
    /// What it gave; lifted when it comes late, so that being late earns nothing.
    given_bytes: u64,
    presence: Presence,
}

/// All upstreams, by number.
#[derive(Debug)]
pub(super) struct Turns(Vec<Seat>);

/// Whether one may give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It may.
    Now,
    /// Somebody has given less: look again when something changes, and at this moment.
    Later(Option<Moment>),
}

impl Turns {
    /// For so many upstreams, all of which are asked `now`.
    pub(super) fn new(upstreams: usize, now: Moment) -> Self {
        Turns(vec![Seat { given_bytes: 0, presence: Presence::Asked { since: now } }; upstreams])
    }

    /// It is asked for more.
    pub(super) fn handle_asked(&mut self, number: usize, now: Moment) {
        self.0[number].presence = Presence::Asked { since: now };
    }

    /// It failed, or has nothing to give for now.
    pub(super) fn handle_absent(&mut self, number: usize) {
        self.0[number].presence = Presence::Absent;
    }

    /// It has something to give.
    pub(super) fn handle_ready(&mut self, number: usize, now: Moment) {
        if !self.0[number].is_awaited(now) {
            let others = self.others(number).filter(|seat| seat.is_awaited(now));
            let least = others.map(|seat| seat.given_bytes).min().unwrap_or(0);
            let seat = &mut self.0[number];
            seat.given_bytes = seat.given_bytes.max(least);
        }
        self.0[number].presence = Presence::Ready;
    }

    /// It gave so many bytes.
    pub(super) fn handle_given(&mut self, number: usize, bytes: usize) {
        self.0[number].given_bytes += bytes as u64;
    }

    /// Whether it may give what it has.
    pub(super) fn turn(&self, number: usize, now: Moment) -> Turn {
        let given_bytes = self.0[number].given_bytes;
        let ahead: Vec<_> = self
            .others(number)
            .filter(|seat| seat.given_bytes < given_bytes && seat.is_awaited(now))
            .collect();
        if ahead.is_empty() {
            return Turn::Now;
        }
        Turn::Later(ahead.iter().filter_map(|seat| seat.awaited_until()).min())
    }

    fn others(&self, number: usize) -> impl Iterator<Item = &Seat> {
        self.0.iter().enumerate().filter(move |(other, _)| *other != number).map(|(_, seat)| seat)
    }
}

impl Seat {
    fn is_awaited(&self, now: Moment) -> bool {
        match self.presence {
            Presence::Absent => false,
            Presence::Asked { since } => now.since(since) < PATIENCE,
            Presence::Ready => true,
        }
    }

    fn awaited_until(&self) -> Option<Moment> {
        match self.presence {
            Presence::Asked { since } => Some(since + PATIENCE),
            Presence::Absent | Presence::Ready => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    /// It has something; answers whether it may give, and gives if so.
    fn give(turns: &mut Turns, number: usize, bytes: usize, now: Moment) -> Turn {
        turns.handle_ready(number, now);
        let turn = turns.turn(number, now);
        if turn == Turn::Now {
            turns.handle_given(number, bytes);
            turns.handle_asked(number, now);
        }
        turn
    }

    #[test]
    fn the_fast_one_waits_for_the_slow_one() {
        let mut turns = Turns::new(2, at(0));
        assert_eq!(give(&mut turns, 0, 1250, at(0)), Turn::Now);
        assert_eq!(give(&mut turns, 0, 1250, at(1)), Turn::Later(Some(at(5))));
        assert_eq!(give(&mut turns, 1, 1000, at(2)), Turn::Now);
        assert_eq!(give(&mut turns, 0, 1250, at(2)), Turn::Later(Some(at(7))), "250 are missing");
        turns.handle_ready(1, at(3));
        assert_eq!(turns.turn(0, at(100)), Turn::Later(None), "who holds something is waited for");
        assert_eq!(give(&mut turns, 1, 250, at(100)), Turn::Now);
        assert_eq!(give(&mut turns, 0, 1250, at(100)), Turn::Now);
    }

    #[test]
    fn nobody_waits_for_the_absent_or_for_long() {
        let mut turns = Turns::new(2, at(0));
        give(&mut turns, 0, 1250, at(0));
        turns.handle_absent(1);
        assert_eq!(give(&mut turns, 0, 1250, at(1)), Turn::Now);
        turns.handle_asked(1, at(2));
        assert_eq!(give(&mut turns, 0, 1250, at(2)), Turn::Later(Some(at(7))));
        assert_eq!(give(&mut turns, 0, 1250, at(7)), Turn::Now);
    }

    #[test]
    fn coming_late_earns_nothing() {
        let mut turns = Turns::new(2, at(0));
        for second in 0..50 {
            turns.handle_absent(1);
            assert_eq!(give(&mut turns, 0, 1250, at(second)), Turn::Now);
        }
        // Both hold something from now on.
        let mut given = [0, 0];
        turns.handle_ready(0, at(50));
        for _ in 0..10 {
            turns.handle_ready(1, at(50));
            let next = usize::from(turns.turn(0, at(50)) != Turn::Now);
            assert_eq!(give(&mut turns, next, 1250, at(50)), Turn::Now);
            turns.handle_ready(next, at(50));
            given[next] += 1;
        }
        assert!(given.iter().all(|count| (4..=6).contains(count)), "{given:?}");
    }

    #[test]
    fn somebody_may_always_give() {
        let mut turns = Turns::new(3, at(0));
        let mut state = 1_u64;
        for _ in 0..10_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            for number in 0..3 {
                turns.handle_ready(number, at(1));
            }
            let may: Vec<_> = (0..3).filter(|&n| turns.turn(n, at(1)) == Turn::Now).collect();
            assert!(!may.is_empty());
            let bytes = usize::try_from(state >> 56).unwrap() + 1;
            turns.handle_given(may[bytes % may.len()], bytes);
        }
    }
}
