//! How much came in the last seconds: bytes in windows of time.
//!
//! Owns a few counters in a ring. Nothing runs while nothing comes: the ring is turned by
//! whoever adds to it, and whoever reads it knows which windows are too old.

use crate::moment::Moment;
use std::time::Duration;

/// One window. A rate looks back on one to two of them: long enough for a client that takes a
/// sample every few seconds, short enough to see it stop.
pub const WINDOW: Duration = Duration::from_secs(5);
#[expect(clippy::cast_possible_truncation, reason = "seconds")]
const WINDOW_NANOS: u64 = WINDOW.as_nanos() as u64;

/// The bytes of the last windows.
#[derive(Debug)]
pub struct Windows {
    /// At least 2.
    bytes: Box<[u64]>,
    /// The number of the window that was last added to, counted from the beginning of time.
    newest: u64,
    /// When the counting began, or the first bytes came.
    since: Option<Moment>,
}

impl Windows {
    /// For so many windows, at least 2.
    pub fn new(count: usize) -> Self {
        Windows { bytes: vec![0; count].into(), newest: 0, since: None }
    }

    /// From `now` on nothing added means that nothing came.
    pub fn begin(&mut self, now: Moment) {
        self.since.get_or_insert(now);
    }

    /// Adds bytes that came at `now`.
    pub fn add(&mut self, bytes: u64, now: Moment) {
        let number = now.as_nanos() / WINDOW_NANOS;
        let passed = number.saturating_sub(self.newest);
        for step in 1..=passed.min(self.bytes.len() as u64) {
            *self.slot(number - passed + step) = 0;
        }
        self.newest = self.newest.max(number);
        self.begin(now);
        *self.slot(self.newest) += bytes;
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "whoever counts 5 s in 32 bits starts anew after 680 years"
    )]
    fn slot(&mut self, number: u64) -> &mut u64 {
        &mut self.bytes[number as usize % self.bytes.len()]
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "whoever counts 5 s in 32 bits starts anew after 680 years"
    )]
    fn window(&self, number: u64) -> u64 {
        match number <= self.newest && self.newest - number < self.bytes.len() as u64 {
            true => self.bytes[number as usize % self.bytes.len()],
            false => 0,
        }
    }

    /// Bytes per second at `now`: of this window, and of the one before in the part that is not
    /// older than a window.
    pub fn bytes_per_s(&self, now: Moment) -> u64 {
        let Some(since) = self.since else { return 0 };
        let (number, into) = (now.as_nanos() / WINDOW_NANOS, now.as_nanos() % WINDOW_NANOS);
        let before = number.checked_sub(1).map_or(0, |number| self.window(number));
        // Whoever came just now is not slow for that.
        let span = now.since(since).clamp(Duration::from_secs(1), WINDOW).as_nanos();
        let left = match span == WINDOW.as_nanos() {
            true => WINDOW_NANOS - into,
            false => WINDOW_NANOS,
        };
        let old = u128::from(before) * u128::from(left) / u128::from(WINDOW_NANOS);
        let bytes = u128::from(self.window(number)) + old;
        u64::try_from(bytes * 1_000_000_000 / span).unwrap_or(u64::MAX)
    }

    /// Bytes per second of each whole window since the counting began but the present one, oldest
    /// first.
    pub fn history(&self, now: Moment) -> Vec<u64> {
        let Some(since) = self.since else { return Vec::new() };
        let number = now.as_nanos() / WINDOW_NANOS;
        let oldest = number.saturating_sub(self.bytes.len() as u64 - 1);
        let oldest = oldest.max(since.as_nanos().div_ceil(WINDOW_NANOS));
        (oldest..number).map(|number| self.window(number) / WINDOW.as_secs()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn a_steady_rate_is_what_it_is_at_any_moment() {
        let mut windows = Windows::new(2);
        assert_eq!(windows.bytes_per_s(at(0)), 0);
        for step in 0..200 {
            windows.add(100, at(step * 100));
            if step >= 10 {
                let rate = windows.bytes_per_s(at(step * 100));
                assert!((950..=1100).contains(&rate), "{rate} at step {step}");
            }
        }
        assert_eq!(windows.bytes_per_s(at(31_000)), 0, "and then none");
    }

    #[test]
    fn the_first_bytes_are_no_burst() {
        let mut windows = Windows::new(2);
        windows.add(2000, at(4_999));
        assert_eq!(windows.bytes_per_s(at(5_001)), 2000);
        assert_eq!(windows.bytes_per_s(at(6_999)), 1000);
    }

    #[test]
    fn windows_that_nobody_added_to_are_empty() {
        let mut windows = Windows::new(4);
        windows.begin(at(0));
        windows.add(5, at(1_000));
        windows.add(10, at(6_000));
        assert_eq!(windows.history(at(11_000)), [1, 2]);
        windows.add(50, at(18_000));
        assert_eq!(windows.history(at(21_000)), [2, 0, 10]);
        assert_eq!(windows.history(at(1_000_000)), [0, 0, 0]);
    }

    #[test]
    fn there_is_no_history_of_the_time_before() {
        let mut windows = Windows::new(61);
        assert_eq!(windows.history(at(3_600_000)), []);
        windows.begin(at(3_602_000));
        assert_eq!(windows.history(at(3_609_000)), [], "no window has passed from end to end");
        windows.add(10, at(3_611_000));
        assert_eq!(windows.history(at(3_616_000)), [0, 2], "nothing came, and then something");
    }
}
