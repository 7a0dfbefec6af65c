//! Whose turn it is to give, where no upstream may give more than another.
//!
//! Owns the counts and the rule: who has given the least is next, and who has something to give
//! waits for whoever has given less, for a while. Threads wait elsewhere (`seat`).

use crate::moment::Moment;
use std::time::Duration;

/// How long one that was asked is waited for until it has given its part of a block, all waits
/// together: a board of 1 kB/s gives half a block of the sink `kernel` in less, and one that is
/// dead, or gives a byte now and then, holds nobody up for longer.
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
    /// How long it was waited for, and what it gave, since it last gave its part.
    waited: Duration,
    part_bytes: u64,
}

/// All upstreams, by number.
#[derive(Debug)]
pub(super) struct Turns {
    seats: Vec<Seat>,
    /// What each gives to a block.
    part_len: u64,
    /// What whoever gave last had given before: where those are who never were away.
    level: u64,
}

/// Whether one may give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It may.
    Now,
    /// Somebody has given less: look again when something changes, and at this moment.
    Later(Option<Moment>),
}

impl Turns {
    /// For so many upstreams, all of which are asked `now`. Each gives `part_len` bytes to a block.
    pub(super) fn new(upstreams: usize, part_len: u32, now: Moment) -> Self {
        let seat = Seat {
            given_bytes: 0,
            presence: Presence::Asked { since: now },
            waited: Duration::ZERO,
            part_bytes: 0,
        };
        Turns { seats: vec![seat; upstreams], part_len: part_len.into(), level: 0 }
    }

    /// It is connected to, to be asked.
    pub(super) fn handle_connecting(&mut self, number: usize, now: Moment) {
        let level = self.level;
        let seat = &mut self.seats[number];
        if seat.presence == Presence::Absent {
            seat.given_bytes = seat.given_bytes.max(level);
            seat.presence = Presence::Asked { since: now };
        }
    }

    /// It failed, or has nothing to give for now.
    pub(super) fn handle_absent(&mut self, number: usize, now: Moment) {
        self.seats[number].end_wait(now);
        self.seats[number].presence = Presence::Absent;
    }

    /// It has something to give.
    pub(super) fn handle_ready(&mut self, number: usize, now: Moment) {
        let level = self.level;
        let seat = &mut self.seats[number];
        if !seat.is_awaited(now) {
            seat.given_bytes = seat.given_bytes.max(level);
        }
        seat.end_wait(now);
        seat.presence = Presence::Ready;
    }

    /// It gave so many bytes, and is asked for more.
    pub(super) fn handle_given(&mut self, number: usize, bytes: usize, now: Moment) {
        let part_len = self.part_len;
        let seat = &mut self.seats[number];
        self.level = self.level.max(seat.given_bytes);
        seat.given_bytes += bytes as u64;
        seat.part_bytes += bytes as u64;
        if seat.part_bytes >= part_len {
            (seat.part_bytes, seat.waited) = (0, Duration::ZERO);
        }
        seat.presence = Presence::Asked { since: now };
    }

    /// Whether it may give what it has.
    pub(super) fn turn(&self, number: usize, now: Moment) -> Turn {
        let given_bytes = self.seats[number].given_bytes;
        let is_ahead = |seat: &&Seat| seat.given_bytes < given_bytes && seat.is_awaited(now);
        let mut ahead = self.seats.iter().filter(is_ahead).peekable();
        match ahead.peek() {
            None => Turn::Now,
            Some(_) => Turn::Later(ahead.filter_map(Seat::awaited_until).min()),
        }
    }
}

impl Seat {
    fn is_awaited(&self, now: Moment) -> bool {
        match self.presence {
            Presence::Absent => false,
            Presence::Asked { since } => self.waited + now.since(since) < PATIENCE,
            Presence::Ready => true,
        }
    }

    fn awaited_until(&self) -> Option<Moment> {
        match self.presence {
            Presence::Asked { since } => Some(since + PATIENCE.saturating_sub(self.waited)),
            Presence::Absent | Presence::Ready => None,
        }
    }

    fn end_wait(&mut self, now: Moment) {
        if let Presence::Asked { since } = self.presence {
            self.waited = PATIENCE.min(self.waited + now.since(since));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: u32 = 1250;

    const fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    /// It has something; answers whether it may give, and gives if so.
    fn give(turns: &mut Turns, number: usize, bytes: usize, now: Moment) -> Turn {
        turns.handle_ready(number, now);
        let turn = turns.turn(number, now);
        if turn == Turn::Now {
            turns.handle_given(number, bytes, now);
        }
        turn
    }

    #[test]
    fn the_fast_one_waits_for_the_slow_one() {
        let mut turns = Turns::new(2, PART, at(0));
        assert_eq!(give(&mut turns, 0, 1250, at(0)), Turn::Now);
        assert_eq!(give(&mut turns, 0, 1250, at(1)), Turn::Later(Some(at(5))));
        assert_eq!(give(&mut turns, 1, 1000, at(2)), Turn::Now);
        assert_eq!(give(&mut turns, 0, 1250, at(2)), Turn::Later(Some(at(5))), "250 are missing");
        turns.handle_ready(1, at(3));
        assert_eq!(turns.turn(0, at(100)), Turn::Later(None), "who holds something is waited for");
        assert_eq!(give(&mut turns, 1, 250, at(100)), Turn::Now);
        assert_eq!(give(&mut turns, 0, 1250, at(100)), Turn::Now);
        turns.handle_ready(0, at(101));
        assert_eq!(turns.turn(0, at(101)), Turn::Later(Some(at(105))), "it gave its part in time");
    }

    #[test]
    fn nobody_waits_for_the_absent_or_for_long() {
        let mut turns = Turns::new(2, PART, at(0));
        give(&mut turns, 0, 1250, at(0));
        turns.handle_absent(1, at(0));
        assert_eq!(give(&mut turns, 0, 1250, at(1)), Turn::Now);
        turns.handle_connecting(1, at(2));
        assert_eq!(give(&mut turns, 0, 1250, at(2)), Turn::Later(Some(at(7))));
        assert_eq!(give(&mut turns, 0, 1250, at(7)), Turn::Now);
        turns.handle_absent(1, at(8));
        turns.handle_connecting(1, at(9));
        assert_eq!(give(&mut turns, 0, 1250, at(9)), Turn::Now, "to connect again earns nothing");
    }

    #[test]
    fn who_drips_is_waited_for_once() {
        let mut turns = Turns::new(2, PART, at(0));
        let mut given = [0, 0];
        for second in 0..40 {
            if second % 4 == 0 && give(&mut turns, 1, 1, at(second)) == Turn::Now {
                given[1] += 1;
            }
            while give(&mut turns, 0, 1250, at(second)) == Turn::Now {
                given[0] += 1;
                if given[0] > 1000 {
                    return;
                }
            }
        }
        panic!("{given:?} answers in 40 s");
    }

    /// 0 gave for 1,000 s, and 1 was away.
    fn long_without_1() -> Turns {
        let mut turns = Turns::new(2, PART, at(0));
        for second in 0..1000 {
            turns.handle_absent(1, at(second));
            assert_eq!(give(&mut turns, 0, 1250, at(second)), Turn::Now);
        }
        turns
    }

    /// How many answers 1 gives in a row while 0 has some as well.
    fn answers_in_a_row(turns: &mut Turns, now: Moment) -> u32 {
        turns.handle_ready(0, now);
        turns.handle_ready(1, now);
        let mut answers = 0;
        while turns.turn(0, now) != Turn::Now {
            assert_eq!(give(turns, 1, 1250, now), Turn::Now);
            turns.handle_ready(1, now);
            answers += 1;
        }
        answers
    }

    #[test]
    fn coming_late_earns_nothing() {
        let mut turns = long_without_1();
        turns.handle_connecting(1, at(1000));
        assert!(answers_in_a_row(&mut turns, at(1000)) <= 1);
    }

    #[test]
    fn coming_late_while_the_others_are_away_earns_nothing() {
        let mut turns = long_without_1();
        turns.handle_absent(0, at(1001));
        turns.handle_connecting(1, at(1001));
        assert_eq!(give(&mut turns, 1, 1250, at(1001)), Turn::Now);
        assert!(answers_in_a_row(&mut turns, at(1002)) <= 1);
    }

    #[test]
    fn somebody_may_always_give() {
        let mut turns = Turns::new(3, PART, at(0));
        let mut state = 1_u64;
        for _ in 0..10_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            for number in 0..3 {
                turns.handle_ready(number, at(1));
            }
            let may: Vec<_> = (0..3).filter(|&n| turns.turn(n, at(1)) == Turn::Now).collect();
            assert!(!may.is_empty());
            let bytes = usize::try_from(state >> 56).unwrap() + 1;
            turns.handle_given(may[bytes % may.len()], bytes, at(1));
        }
    }
}
