//! What the source can carry, and whether one more promise fits.
//!
//! Owns the estimate of capacity and the rule of admission. It is fed readings (bytes, time
//! spent inside reads) and knows neither devices nor clients.

use std::collections::VecDeque;
use std::time::Duration;

/// A reading is complete after this much time inside reads ...
const READING_SPAN: Duration = Duration::from_millis(200);
/// ... or after this many bytes, so that a fast source is not read for nothing.
const READING_BYTES: u64 = 1 << 20;
/// Bytes at the start that count for nothing: devices have read ahead by then, and the start-up
/// test of the source is as long.
const SKIP_BYTES: u64 = 1024;
/// Readings that the estimate looks back on: 3 s of a slow source. The median of 15 is not
/// moved by a burst from a device's own buffer, nor by one long pause.
const READINGS_MAX: usize = 15;

/// A moving estimate of the source's rate, from time spent inside reads only: a source that
/// nobody asks is neither slow nor fast.
#[derive(Debug, Default)]
pub struct Capacity {
    skipped_bytes: u64,
    bytes: u64,
    span: Duration,
    rates: VecDeque<u64>,
    /// The median of `rates`.
    median: Option<u64>,
}

impl Capacity {
    /// Takes a reading in; says whether the estimate was made anew.
    pub fn handle_reading(&mut self, bytes: u64, span: Duration) -> bool {
        let skip = (SKIP_BYTES - self.skipped_bytes).min(bytes);
        self.skipped_bytes += skip;
        if bytes == skip {
            return false;
        }
        // A long reading may begin with the bytes that do not count: the rest of it does.
        let counted = bytes - skip;
        let nanos = span.as_nanos() * u128::from(counted) / u128::from(bytes);
        self.bytes += counted;
        self.span += Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        if self.span < READING_SPAN && self.bytes < READING_BYTES {
            return false;
        }
        self.close_reading();
        true
    }

    /// The source rests, because nobody takes what it gave: if nothing is known of it yet, what
    /// was read has to do. Says whether that made the estimate.
    pub fn handle_rest(&mut self) -> bool {
        let first = self.median.is_none() && self.bytes > 0;
        if first {
            self.close_reading();
        }
        first
    }

    fn close_reading(&mut self) {
        let nanos = self.span.as_nanos().max(1);
        let rate = u128::from(self.bytes) * 1_000_000_000 / nanos;
        self.rates.push_back(u64::try_from(rate).unwrap_or(u64::MAX));
        if self.rates.len() > READINGS_MAX {
            self.rates.pop_front();
        }
        self.bytes = 0;
        self.span = Duration::ZERO;
        let mut sorted: Vec<u64> = self.rates.iter().copied().collect();
        sorted.sort_unstable();
        self.median = sorted.get(sorted.len() / 2).copied();
    }

    /// Bytes per second; `None` until the first reading is complete.
    pub fn bytes_per_s(&self) -> Option<u64> {
        self.median
    }

    /// Forgets all: after a failure the source may have become another one.
    pub fn reset(&mut self) {
        *self = Capacity::default();
    }
}

/// Whether a promise fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It fits, or nothing was promised.
    Yes,
    /// It would take from others what they were promised.
    No {
        /// Bytes per second that may be promised in all.
        most_bytes_per_s: u64,
    },
    /// The capacity is not known yet.
    Later,
}

/// Whether `guarantee` can be promised beside `promised`, both bytes per second, when
/// `headroom` (0 to 1) of the capacity may be promised.
pub fn admit(
    capacity_bytes_per_s: Option<u64>,
    headroom: f64,
    promised_bytes_per_s: u64,
    guarantee_bytes_per_s: u64,
) -> Admission {
    if guarantee_bytes_per_s == 0 {
        return Admission::Yes;
    }
    let Some(capacity) = capacity_bytes_per_s else { return Admission::Later };
    let most_bytes_per_s = promisable(capacity, headroom);
    if promised_bytes_per_s.saturating_add(guarantee_bytes_per_s) <= most_bytes_per_s {
        Admission::Yes
    } else {
        Admission::No { most_bytes_per_s }
    }
}

/// Bytes per second that may be promised in all.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
pub fn promisable(capacity_bytes_per_s: u64, headroom: f64) -> u64 {
    (capacity_bytes_per_s as f64 * headroom) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(readings: &[(u64, u64)]) -> Option<u64> {
        let mut capacity = Capacity::default();
        capacity.handle_reading(SKIP_BYTES, Duration::from_micros(1));
        for &(bytes, millis) in readings {
            capacity.handle_reading(bytes, Duration::from_millis(millis));
        }
        capacity.bytes_per_s()
    }

    #[test]
    fn unknown_until_a_reading_is_complete() {
        assert_eq!(fed(&[]), None);
        assert_eq!(fed(&[(1024, 100)]), None);
        assert_eq!(fed(&[(1024, 100), (1024, 100)]), Some(10_240));
    }

    #[test]
    fn a_burst_from_the_devices_buffer_does_not_fool_it() {
        let mut readings = vec![(2048, 200); 10];
        readings.insert(3, (65_536, 1));
        assert_eq!(fed(&readings), Some(10_240));
    }

    #[test]
    fn one_pause_does_not_fool_it_but_a_slower_source_is_noticed() {
        let mut readings = vec![(2048, 200); 10];
        readings.push((2048, 9000));
        assert_eq!(fed(&readings), Some(10_240));
        readings.extend([(1024, 200); 15]);
        assert_eq!(fed(&readings), Some(5_120));
    }

    #[test]
    fn a_full_stock_counts_for_nothing() {
        // Nobody asks for an hour: no reads, no readings, and the estimate stands.
        assert_eq!(fed(&[(2048, 200), (2048, 200)]), Some(10_240));
    }

    #[test]
    fn a_source_that_rests_before_a_reading_is_complete_is_known_by_what_it_gave() {
        let mut capacity = Capacity::default();
        capacity.handle_reading(SKIP_BYTES, Duration::from_millis(100));
        assert!(!capacity.handle_rest(), "nothing but the start-up test was read yet");
        capacity.handle_reading(34_816, Duration::from_millis(1));
        assert_eq!(capacity.bytes_per_s(), None);
        assert!(capacity.handle_rest());
        assert_eq!(capacity.bytes_per_s(), Some(34_816_000));
        capacity.handle_reading(10, Duration::from_millis(1));
        assert!(!capacity.handle_rest(), "only as long as nothing is known");
    }

    #[test]
    fn of_one_long_reading_only_the_beginning_does_not_count() {
        let mut capacity = Capacity::default();
        assert!(!capacity.handle_reading(SKIP_BYTES + 10_240, Duration::from_micros(11)));
        assert!(capacity.handle_rest(), "it would wait for ever");
        assert_eq!(capacity.bytes_per_s(), Some(1_024_000_000));
    }

    #[test]
    fn a_fast_source_is_known_after_a_mebibyte() {
        assert_eq!(fed(&[(1 << 20, 10)]), Some(104_857_600));
    }

    #[test]
    fn promises_fit_or_not() {
        assert_eq!(admit(None, 0.9, 0, 0), Admission::Yes);
        assert_eq!(admit(None, 0.9, 0, 1), Admission::Later);
        assert_eq!(admit(Some(10_000), 0.9, 8_000, 1_000), Admission::Yes);
        let no = Admission::No { most_bytes_per_s: 9_000 };
        assert_eq!(admit(Some(10_000), 0.9, 8_000, 1_001), no);
        assert_eq!(admit(Some(10_000), 0.9, u64::MAX, 1), no);
    }
}
