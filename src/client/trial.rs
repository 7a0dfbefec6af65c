//! The health tests on our side: what an upstream gives is tested here before the sink sees it.
//!
//! Owns the tests of one session. A raw upstream is a source like a server's, so it must also
//! pass a start-up test, whose bytes are thrown away; `raw` does that. A netrng server has
//! tested its source, but one that lies or is broken must not spoil what honest ones give.

use crate::source::fips::FipsCounters;
use crate::source::health::{HealthFailure, HealthTests};

/// The tests over one session's bytes.
#[derive(Debug)]
pub(super) struct Trial {
    health: HealthTests,
    fips: FipsCounters,
    alarms: bool,
}

impl Trial {
    /// For a claim of `min_entropy` bits per byte; with 0 nothing can fail.
    pub(super) fn new(min_entropy: f64) -> Self {
        Trial {
            health: HealthTests::new(min_entropy),
            fips: FipsCounters::new(),
            alarms: min_entropy > 0.0,
        }
    }

    /// Tests the next bytes. After a failure none of them may be used, and the session is over.
    pub(super) fn check(&mut self, bytes: &[u8]) -> Result<(), HealthFailure> {
        if !self.alarms {
            return Ok(());
        }
        self.health.check(bytes)?;
        self.fips.update(bytes);
        self.fips.rate_alarm().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::fips::BLOCK_BYTES;

    #[test]
    fn zeros_fail_at_any_claim_but_none() {
        for claim in [0.5, 1.0, 7.0, 8.0] {
            assert!(Trial::new(claim).check(&[0; 512]).is_err(), "{claim}");
        }
        assert_eq!(Trial::new(0.0).check(&[0; 100_000]), Ok(()));
    }

    #[test]
    fn what_hides_from_the_continuous_tests_fails_by_its_fips_rate() {
        // Counts up: no value repeats, none is frequent, and one bit in eight never changes.
        let counter: Vec<u8> = (0..=127).cycle().take(BLOCK_BYTES).collect();
        let mut trial = Trial::new(1.0);
        let failed = (1..=64).find(|_| trial.check(&counter).is_err());
        assert_eq!(failed, Some(8));
    }
}
