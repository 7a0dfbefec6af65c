//! One value, handed once from one thread to another.
//!
//! Owns the wait of the one who takes it. For streams, and for waiting for several things at
//! once, there are channels; but each type that goes through one adds ten kilobytes to the
//! binary, and this adds half of one.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Debug)]
struct Hand<T> {
    inside: Mutex<Inside<T>>,
    changed: Condvar,
}

#[derive(Debug)]
enum Inside<T> {
    Awaited,
    There(T),
    /// Taken, or never to come.
    Over,
}

impl<T> Hand<T> {
    fn inside(&self) -> MutexGuard<'_, Inside<T>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who hands the value over. Dropping it instead tells the taker that none comes.
#[derive(Debug)]
pub struct Giver<T>(Arc<Hand<T>>);

/// Who takes the value.
#[derive(Debug)]
pub struct Taker<T>(Arc<Hand<T>>);

/// The two ends.
pub fn handover<T>() -> (Giver<T>, Taker<T>) {
    let hand = Arc::new(Hand { inside: Mutex::new(Inside::Awaited), changed: Condvar::new() });
    (Giver(Arc::clone(&hand)), Taker(hand))
}

impl<T> Giver<T> {
    /// Hands it over; answers whether somebody is there to take it.
    pub fn give(self, value: T) -> bool {
        *self.0.inside() = Inside::There(value);
        Arc::strong_count(&self.0) > 1
    }
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        let mut inside = self.0.inside();
        if matches!(*inside, Inside::Awaited) {
            *inside = Inside::Over;
        }
        drop(inside);
        self.0.changed.notify_one();
    }
}

impl<T> Taker<T> {
    /// Takes the value, for which it waits `patience` at most; `None` if that was not enough,
    /// if none will come, or if it was taken before.
    pub fn wait(&self, patience: Duration) -> Option<T> {
        let inside = self.0.inside();
        let is_awaited = |inside: &mut Inside<T>| matches!(inside, Inside::Awaited);
        let waited = self.0.changed.wait_timeout_while(inside, patience, is_awaited);
        let (mut inside, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if is_awaited(&mut inside) {
            return None;
        }
        match std::mem::replace(&mut *inside, Inside::Over) {
            Inside::There(value) => Some(value),
            Inside::Awaited | Inside::Over => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_given_is_taken_once_whoever_comes_first() {
        for sooner in [true, false] {
            let (giver, taker) = handover();
            assert_eq!(taker.wait(Duration::ZERO), None, "not there yet");
            let give = std::thread::spawn(move || giver.give("word"));
            if sooner {
                assert_eq!(taker.wait(LONG), Some("word"));
                give.join().unwrap();
            } else {
                assert!(give.join().unwrap(), "there is a taker");
                assert_eq!(taker.wait(Duration::ZERO), Some("word"));
            }
            assert_eq!(taker.wait(LONG), None, "taken");
        }
    }

    #[test]
    fn a_giver_that_dies_ends_the_wait() {
        let (giver, taker) = handover::<()>();
        let dies = std::thread::spawn(move || drop(giver));
        assert_eq!(taker.wait(LONG), None);
        dies.join().unwrap();
    }

    #[test]
    fn a_giver_learns_that_nobody_takes_it() {
        let (giver, taker) = handover();
        drop(taker);
        assert!(!giver.give(1));
    }
}
