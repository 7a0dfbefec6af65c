//! Bytes over time, in a bounded number of equal spans: when they are full, pairs become one.
//!
//! Owns no clock: spans are told.

use std::time::Duration;

/// Most spans kept.
pub const MOST_SPANS: usize = 64;

/// The first length of a span, seconds.
const FIRST_SPAN_S: f64 = 0.001;

/// Bytes by span.
#[derive(Debug, Clone)]
pub struct Rates {
    span_s: f64,
    bytes: Vec<f64>,
    end_s: f64,
}

impl Default for Rates {
    fn default() -> Self {
        Rates { span_s: FIRST_SPAN_S, bytes: Vec::with_capacity(MOST_SPANS), end_s: 0.0 }
    }
}

impl Rates {
    /// `bytes` came evenly in the `took` before `at`, counted from the start. What came before
    /// the start is left out.
    pub fn add(&mut self, at: Duration, took: Duration, bytes: usize) {
        let to = at.as_secs_f64().max(self.end_s);
        let from = to - took.as_secs_f64();
        self.end_s = to;
        while to >= self.span_s * MOST_SPANS as f64 {
            self.bytes = self.bytes.chunks(2).map(|pair| pair.iter().sum()).collect();
            self.span_s *= 2.0;
        }
        let (first, last) = (self.index(from.max(0.0)), self.index(to));
        if self.bytes.len() <= last {
            self.bytes.resize(last + 1, 0.0);
        }
        for index in first..=last {
            let start = from.max(index as f64 * self.span_s);
            let end = to.min((index + 1) as f64 * self.span_s);
            // A read that took no time at all lies in one span.
            let share = if to > from { (end - start).max(0.0) / (to - from) } else { 1.0 };
            self.bytes[index] += bytes as f64 * share;
        }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 64")]
    fn index(&self, at_s: f64) -> usize {
        (at_s / self.span_s) as usize
    }

    /// The end of the last span, seconds from the start.
    pub fn end_s(&self) -> f64 {
        self.end_s
    }

    /// Start and end in seconds, and bytes per second, of each span. A last one that has hardly
    /// begun is left out: its rate means nothing.
    pub fn spans(&self) -> impl Iterator<Item = (f64, f64, f64)> + '_ {
        self.bytes.iter().enumerate().filter_map(|(index, bytes)| {
            let start = index as f64 * self.span_s;
            let end = self.end_s.min(start + self.span_s);
            let is_long = end - start >= self.span_s / 2.0 || (index == 0 && end > start);
            is_long.then(|| (start, end, bytes / (end - start)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_steady_source_is_flat_at_its_rate() {
        let mut rates = Rates::default();
        let took = Duration::from_millis(200);
        (1..=25).for_each(|read| rates.add(took * read, took, 2000));
        let spans: Vec<_> = rates.spans().collect();
        assert!((MOST_SPANS / 2..=MOST_SPANS).contains(&spans.len()), "{}", spans.len());
        for (start, end, rate) in spans {
            assert!((rate - 10_000.0).abs() < 1e-6 && end > start, "{start} {end} {rate}");
        }
        assert_eq!(rates.end_s(), 5.0);
    }

    #[test]
    fn what_came_before_the_start_is_no_peak() {
        let mut rates = Rates::default();
        rates.add(Duration::from_millis(500), Duration::from_secs(1), 1000);
        for (.., rate) in rates.spans() {
            assert!((rate - 1000.0).abs() < 1e-6, "{rate}");
        }
    }

    #[test]
    fn a_pause_shows_as_a_gap() {
        let mut rates = Rates::default();
        let second = Duration::from_secs(1);
        rates.add(second, second, 1000);
        rates.add(second * 4, second, 1000);
        let rate_at =
            |at: f64| rates.spans().find(|(from, to, _)| *from <= at && at < *to).unwrap().2;
        assert!((rate_at(0.5) - 1000.0).abs() < 1e-6);
        assert_eq!(rate_at(2.0), 0.0);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_and_memory_is_bounded(
            reads in proptest::collection::vec((0u64..3000, 0u64..3000, 0usize..5000), 1..200),
        ) {
            let mut rates = Rates::default();
            let (mut at, mut total) = (0, 0);
            for (pause, took, bytes) in reads {
                at += pause;
                total += bytes;
                rates.add(Duration::from_millis(at), Duration::from_millis(took.min(at)), bytes);
                prop_assert!(rates.bytes.len() <= MOST_SPANS);
            }
            prop_assert!((rates.bytes.iter().sum::<f64>() - total as f64).abs() < 1e-3);
        }
    }
}
