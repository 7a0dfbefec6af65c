//! The fetch threads around [`Turns`]: each waits here until it may give.
//!
//! Owns the lock and the bells that wake who waits. The rule is `turns`'.

use super::turns::{Turn, Turns};
use crate::moment::Moment;
use crate::sys::latch::Latch;
use crossbeam_channel::{Receiver, Sender, select};
use std::sync::{Arc, Mutex, PoisonError};

/// What one upstream's thread knows of the others.
#[derive(Debug)]
pub(super) struct Seat {
    number: usize,
    turns: Arc<Mutex<Turns>>,
    /// Rung at each change, for all; of capacity one.
    bells: Arc<[Sender<()>]>,
    rung: Receiver<()>,
}

/// A seat for each of so many upstreams, which give `part_len` bytes each to a block.
pub(super) fn seats(upstreams: usize, part_len: u32, now: Moment) -> impl Iterator<Item = Seat> {
    let turns = Arc::new(Mutex::new(Turns::new(upstreams, part_len, now)));
    let (bells, rings): (Vec<_>, Vec<_>) =
        (0..upstreams).map(|_| crossbeam_channel::bounded(1)).unzip();
    let bells: Arc<[Sender<()>]> = bells.into();
    rings.into_iter().enumerate().map(move |(number, rung)| Seat {
        number,
        turns: Arc::clone(&turns),
        bells: Arc::clone(&bells),
        rung,
    })
}

impl Seat {
    /// It is connected to, to be asked.
    pub(super) fn handle_connecting(&self, now: Moment) {
        self.change(|turns| turns.handle_connecting(self.number, now));
    }

    /// It failed, or has nothing to give for now.
    pub(super) fn handle_absent(&self, now: Moment) {
        self.change(|turns| turns.handle_absent(self.number, now));
    }

    /// It gave so many bytes, and is asked for more.
    pub(super) fn handle_given(&self, bytes: usize, now: Moment) {
        self.change(|turns| turns.handle_given(self.number, bytes, now));
    }

    /// Has something to give and waits for its turn; `false` if told to stop.
    pub(super) fn wait_for_turn(&self, stop: &Latch) -> bool {
        self.with(|turns| turns.handle_ready(self.number, crate::sys::now()));
        loop {
            let now = crate::sys::now();
            let Turn::Later(until) = self.with(|turns| turns.turn(self.number, now)) else {
                return true;
            };
            let timeout = until.map_or_else(crossbeam_channel::never, |until| {
                crossbeam_channel::after(until.since(now))
            });
            select! {
                recv(self.rung) -> _ => {}
                recv(timeout) -> _ => {}
                recv(stop.receiver()) -> _ => return false,
            }
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Turns) -> T) -> T {
        work(&mut self.turns.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes something, and rings for all who wait: for a bell rung before, one might look too
    /// early.
    fn change(&self, work: impl FnOnce(&mut Turns)) {
        self.with(work);
        for bell in &*self.bells {
            // One that was not heard yet is enough.
            let _ = bell.try_send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::latch::latch;
    use crate::sys::now;

    #[test]
    fn a_gift_and_the_next_question_are_one_step_for_those_who_wait() {
        let (_trigger, stop) = latch().unwrap();
        let mut seats = seats(2, 1000, now());
        let (fast, slow) = (seats.next().unwrap(), seats.next().unwrap());
        fast.handle_given(1000, now());
        slow.with(|turns| turns.handle_ready(1, now()));
        let waiting = std::thread::spawn(move || fast.wait_for_turn(&stop));
        slow.handle_given(200, now());
        // It is asked and silent from here on: nobody rings any more.
        assert!(waiting.join().unwrap(), "after a while the turn comes");
    }
}
