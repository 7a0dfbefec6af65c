//! How failures are lived with: how long to wait before the next try, and how loudly to say
//! that it failed.
//!
//! Pure: time and randomness are arguments. Used by every stage that reopens something.

use crate::moment::Moment;
use log::Level;
use std::time::Duration;

/// Exponential backoff with full jitter: each delay is drawn between nothing and a ceiling
/// that doubles. Drawing the whole of it keeps clients apart that all lost the same server.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// Ceilings go from `first`, doubling, up to `max`.
    pub fn new(first: Duration, max: Duration) -> Self {
        Backoff { first, max, failures: 0 }
    }

    /// The delay before the next try. `random` is uniform over all of `u64`; it need not be
    /// unpredictable.
    pub fn next_delay(&mut self, random: u64) -> Duration {
        let doubled = self.first.saturating_mul(2u32.saturating_pow(self.failures));
        let ceiling_nanos = u64::try_from(doubled.min(self.max).as_nanos()).unwrap_or(u64::MAX);
        self.failures = self.failures.saturating_add(1);
        let scaled = (u128::from(ceiling_nanos) * u128::from(random)) >> 64;
        Duration::from_nanos(u64::try_from(scaled).unwrap_or(u64::MAX))
    }

    /// It worked: the next failure starts small again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// How often one kind of failure may be said aloud.
const SAY_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Kinds of failure remembered at once. Kinds are variants of an enum, so more do not occur.
const KINDS_MAX: usize = 32;

/// How loudly to say what fails: the first failure of a kind aloud, its repeats not, and the
/// recovery once, with how long it took. A peer that fails and recovers in quick turns
/// cannot fill the log.
#[derive(Debug)]
pub struct Outage<K> {
    said: Vec<(K, Moment)>,
    since: Option<Moment>,
    was_said: bool,
}

impl<K: PartialEq> Outage<K> {
    /// All is well so far.
    pub fn new() -> Self {
        Outage { said: Vec::new(), since: None, was_said: false }
    }

    /// A failure; answers the level to log it at.
    pub fn handle_failure(&mut self, kind: K, now: Moment) -> Level {
        let began = *self.since.get_or_insert(now);
        if let Some((_, when)) = self.said.iter_mut().find(|(said, _)| *said == kind) {
            // Within one outage a kind is said once, and after it not again at once.
            let already_said = *when >= began || now.since(*when) < SAY_AGAIN_AFTER;
            if already_said {
                return Level::Debug;
            }
            *when = now;
        } else if self.said.len() < KINDS_MAX {
            self.said.push((kind, now));
        } else {
            return Level::Debug;
        }
        self.was_said = true;
        Level::Warn
    }

    /// It works again; answers how long it did not, if that was said aloud.
    pub fn handle_success(&mut self, now: Moment) -> Option<Duration> {
        let since = self.since.take()?;
        std::mem::take(&mut self.was_said).then(|| now.since(since))
    }
}

impl<K: PartialEq> Default for Outage<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn ceilings_double_from_the_first_to_the_largest_and_start_over_after_success() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let mut ceiling = || backoff.next_delay(u64::MAX).as_secs_f64().round();
        let seen: Vec<f64> = (0..9).map(|_| ceiling()).collect();
        assert_eq!(seen, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]);
        backoff.reset();
        assert_eq!(backoff.next_delay(1 << 63), Duration::from_millis(500));
    }

    proptest! {
        #[test]
        fn no_number_of_failures_overflows_or_exceeds_the_largest(
            failures in 0u32..200, random in any::<u64>(),
        ) {
            let max = Duration::from_secs(60);
            let mut backoff = Backoff::new(Duration::from_secs(1), max);
            for _ in 0..failures {
                prop_assert!(backoff.next_delay(random) <= max);
            }
        }
    }

    #[test]
    fn the_first_failure_of_a_kind_is_said_aloud_and_its_repeats_are_not() {
        let mut outage = Outage::new();
        assert_eq!(outage.handle_failure("refused", at(0)), Level::Warn);
        assert_eq!(outage.handle_failure("refused", at(1)), Level::Debug);
        assert_eq!(outage.handle_failure("silent", at(2)), Level::Warn);
        assert_eq!(outage.handle_failure("refused", at(3600)), Level::Debug);
        assert_eq!(outage.handle_success(at(3601)), Some(Duration::from_secs(3601)));
        assert_eq!(outage.handle_success(at(3602)), None);
        assert_eq!(outage.handle_failure("refused", at(7200)), Level::Warn);
    }

    #[test]
    fn failing_and_recovering_in_quick_turns_is_said_once_a_minute() {
        let mut outage = Outage::new();
        let mut said = 0;
        for second in 0..600 {
            if outage.handle_failure("closed", at(second)) == Level::Warn {
                said += 1;
            }
            outage.handle_success(at(second));
        }
        assert_eq!(said, 10);
    }
}
