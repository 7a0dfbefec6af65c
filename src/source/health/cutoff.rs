//! The cutoffs of both tests, SP 800-90B §4.4.1 and §4.4.2.
//!
//! Owns the false-alarm probability alpha and the arithmetic. It sees no bytes.
//!
//! **False alarms.** A perfect source of 100 kB/s makes 3.15e13 bytes in ten years, and the
//! repetition count test looks once a byte. At alpha = 2^-20, the standard's example, a
//! perfect source would alarm every three minutes; at 2^-40 still dozens of times in the ten
//! years. At the alpha = 2^-50 used here both tests together are expected to alarm less than
//! once in a thousand such decades, at any claim (a test below computes it). The price is
//! small: a stuck device still fails within 8 bytes at h = 8, within 51 at h = 1.

use super::WINDOW;
use std::f64::consts::LN_2;

/// -log2 of alpha, the false-alarm probability of one test (see the head of this file).
const ALPHA_LOG2: f64 = 50.0;

/// From how many on a count is a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cutoffs {
    /// Equal bytes in a row.
    pub repetition: u64,
    /// Occurrences of one value in a window.
    pub proportion: usize,
}

impl Cutoffs {
    /// The cutoffs for a claim of `min_entropy` bits per byte, above 0 and at most 8.
    pub fn for_claim(min_entropy: f64) -> Self {
        Self {
            repetition: repetition_cutoff(min_entropy, ALPHA_LOG2),
            proportion: proportion_cutoff(min_entropy, ALPHA_LOG2),
        }
    }
}

/// C = 1 + ceil(-log2(alpha) / H), SP 800-90B §4.4.1.
#[expect(clippy::cast_possible_truncation, reason = "the cast saturates: a cutoff out of reach")]
fn repetition_cutoff(min_entropy: f64, alpha_log2: f64) -> u64 {
    ((alpha_log2 / min_entropy).ceil() as u64).saturating_add(1)
}

/// C = 1 + CRITBINOM(W, 2^-H, 1 - alpha), SP 800-90B §4.4.2: the least count that comes with a
/// probability of at most alpha.
///
/// 1 - alpha leaves few digits in a float, so this sums the upper tail instead, from its
/// smallest term, with the terms as logarithms: the first are far below what a float holds.
/// To base 2: musl's `ln` has tables of 4 kB.
fn proportion_cutoff(min_entropy: f64, alpha_log2: f64) -> usize {
    let log_odds = -min_entropy - (-(-min_entropy * LN_2).exp_m1()).log2();
    let alpha = (-alpha_log2).exp2();
    let mut cutoff = WINDOW + 1;
    let mut log_term = WINDOW as f64 * -min_entropy; // P(X = cutoff - 1)
    let mut tail = (log_term * LN_2).exp(); // P(X >= cutoff - 1)
    while tail <= alpha {
        cutoff -= 1;
        let (more, fewer) = (cutoff as f64, (WINDOW + 1 - cutoff) as f64);
        log_term += (more / fewer).log2() - log_odds;
        tail += (log_term * LN_2).exp();
    }
    cutoff
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIMS: [f64; 9] = [8.0, 7.0, 6.5, 5.0, 4.0, 3.0, 2.0, 1.0, 0.5];

    #[test]
    fn repetition_cutoffs_are_those_of_the_formula() {
        let cutoffs = CLAIMS.map(|h| repetition_cutoff(h, ALPHA_LOG2));
        assert_eq!(cutoffs, [8, 9, 9, 11, 14, 18, 26, 51, 101]);
        assert_eq!(repetition_cutoff(0.1, ALPHA_LOG2), 501);
        assert_eq!(repetition_cutoff(f64::MIN_POSITIVE, ALPHA_LOG2), u64::MAX);
    }

    #[test]
    fn proportion_cutoffs_are_those_of_exact_arithmetic() {
        // Computed apart from this code with 60 digits.
        let cutoffs = CLAIMS.map(|h| proportion_cutoff(h, ALPHA_LOG2));
        assert_eq!(cutoffs, [22, 29, 34, 57, 85, 131, 211, 346, 440]);
        let low = [0.1, 0.09, 0.01, 1e-9, f64::MIN_POSITIVE];
        assert_eq!(low.map(|h| proportion_cutoff(h, ALPHA_LOG2)), [512, 513, 513, 513, 513]);
        let wide = [8.0, 4.0, 2.0, 1.0, 0.5].map(|h| proportion_cutoff(h, 20.0));
        assert_eq!(wide, [13, 62, 177, 311, 410]);
    }

    /// Expected false alarms of both tests on a perfect source of 100 kB/s in ten years.
    fn false_alarms(cutoffs: &Cutoffs) -> f64 {
        let bytes = 100e3 * 86_400.0 * 365.25 * 10.0;
        let p: f64 = 1.0 / 256.0;
        // A run begins with a new value and goes on for C - 1 bytes.
        let repetition = bytes * p.powf(cutoffs.repetition as f64 - 1.0);
        // The reference is one of C; the others are among the 511 bytes that follow it.
        let others = cutoffs.proportion - 1;
        let mut at_least = 0.0;
        for count in others..=511 {
            let ways: f64 = (0..count).map(|i| (511 - i) as f64 / (i + 1) as f64 * p).product();
            at_least += ways * (1.0 - p).powf((511 - count) as f64);
        }
        repetition + bytes / 512.0 * at_least
    }

    #[test]
    fn a_perfect_source_alarms_less_than_once_in_a_thousand_decades() {
        for h in CLAIMS {
            let alarms = false_alarms(&Cutoffs::for_claim(h));
            assert!(alarms < 1e-3, "{alarms} at {h}");
        }
        // The number for full entropy, the strictest cutoffs, so that the bound means something.
        assert!(false_alarms(&Cutoffs::for_claim(8.0)) > 1e-5);
    }
}
