//! How the bytes are spread: the figures of John Walker's `ent`, by its formulas.
//!
//! Owns counts, Shannon entropy, chi-square, mean and serial correlation, and what chance alone
//! would give. It judges nothing.

use std::f64::consts::{LN_2, LOG2_E, PI};

/// Standard deviations that the bounds of chance are wide: chance alone leaves them once in
/// 16,000 looks.
pub const CHANCE_DEVIATIONS: f64 = 4.0;

/// Variance of one evenly spread byte: (256^2 - 1) / 12.
const BYTE_VARIANCE: f64 = 65_535.0 / 12.0;

/// Degrees of freedom of 256 counts with a given sum.
const FREEDOM: u32 = 255;

/// Counts over a run of bytes. The figures are made in several places and each but a few times:
/// out of line they are in the program once.
#[derive(Debug, Clone)]
pub struct Distribution {
    counts: [u64; 256],
    first: Option<u8>,
    last: u8,
    /// Sum over all bytes but the first of each times the one before.
    products: u64,
}

impl Default for Distribution {
    fn default() -> Self {
        Distribution { counts: [0; 256], first: None, last: 0, products: 0 }
    }
}

impl Distribution {
    /// Counts the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let Some(&first) = bytes.first() else { return };
        if self.first.is_none() {
            // Times nothing: it has none before it.
            self.first = Some(first);
        }
        for &byte in bytes {
            self.counts[usize::from(byte)] += 1;
            self.products += u64::from(self.last) * u64::from(byte);
            self.last = byte;
        }
    }

    /// How often each value came.
    pub fn counts(&self) -> &[u64; 256] {
        &self.counts
    }

    /// Bytes in all.
    #[inline(never)]
    pub fn bytes(&self) -> u64 {
        self.counts.iter().sum()
    }

    #[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
    fn total(&self) -> f64 {
        self.bytes() as f64
    }

    /// Shannon entropy of the counts, bits per byte.
    #[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
    pub fn entropy(&self) -> f64 {
        let total = self.total();
        let share = |&count: &u64| count as f64 / total;
        let shares = self.counts.iter().map(share).filter(|&share| share > 0.0);
        shares.map(|share| share * share.recip().log2()).sum()
    }

    /// Chi-square against 256 values equally likely.
    #[inline(never)]
    #[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
    pub fn chi_square(&self) -> f64 {
        let expected = self.total() / 256.0;
        self.counts.iter().map(|&count| (count as f64 - expected).powi(2) / expected).sum()
    }

    /// How likely chance alone exceeds [`chi_square`](Self::chi_square).
    pub fn chi_square_p(&self) -> f64 {
        exceeded_by_chance(self.chi_square())
    }

    /// Arithmetic mean of the bytes.
    pub fn mean(&self) -> f64 {
        self.weighted(|value| value) / self.total()
    }

    /// Serial correlation of each byte with the next, the last with the first (Knuth, TAOCP 2,
    /// §3.3.2 K); `None` where all are equal.
    #[inline(never)]
    #[expect(clippy::cast_precision_loss, reason = "sums below 2^53 of bytes squared")]
    pub fn serial_correlation(&self) -> Option<f64> {
        let total = self.total();
        let round = u64::from(self.last) * u64::from(self.first.unwrap_or(0));
        let sum_squared = self.weighted(|value| value).powi(2);
        let spread = total * self.weighted(|value| value * value) - sum_squared;
        let together = total * (self.products + round) as f64 - sum_squared;
        (spread != 0.0).then(|| together / spread)
    }

    #[expect(clippy::cast_precision_loss, reason = "sums below 2^53 of bytes squared")]
    fn weighted(&self, weight: impl Fn(u64) -> u64) -> f64 {
        (0..).zip(&self.counts).map(|(value, count)| weight(value) * count).sum::<u64>() as f64
    }

    /// What chance alone gives of so many bytes.
    #[inline(never)]
    pub fn by_chance(&self) -> ByChance {
        let total = self.total();
        // Wilson and Hilferty: the cube root of chi-square over its freedom is nearly normal.
        let part = 2.0 / (9.0 * f64::from(FREEDOM));
        let cube =
            |deviations: f64| f64::from(FREEDOM) * (1.0 - part + deviations * part.sqrt()).powi(3);
        let chi_square = (cube(-CHANCE_DEVIATIONS), cube(CHANCE_DEVIATIONS));
        // To the second order the entropy falls short of 8 by chi-square / (2 n ln 2).
        let entropy = |chi_square: f64| 8.0 - chi_square / (2.0 * total * std::f64::consts::LN_2);
        let around = |middle: f64, deviation: f64| {
            (middle - CHANCE_DEVIATIONS * deviation, middle + CHANCE_DEVIATIONS * deviation)
        };
        ByChance {
            entropy: (entropy(chi_square.1), entropy(chi_square.0)),
            chi_square,
            mean: around(127.5, (BYTE_VARIANCE / total).sqrt()),
            serial_correlation: around(0.0, 1.0 / total.sqrt()),
            count: around(total / 256.0, (total / 256.0 * (255.0 / 256.0)).sqrt()),
        }
    }
}

/// Least and most that chance alone gives, [`CHANCE_DEVIATIONS`] wide.
#[derive(Debug, Clone, Copy)]
pub struct ByChance {
    /// Shannon entropy, bits per byte.
    pub entropy: (f64, f64),
    /// Chi-square.
    pub chi_square: (f64, f64),
    /// Arithmetic mean.
    pub mean: (f64, f64),
    /// Serial correlation.
    pub serial_correlation: (f64, f64),
    /// How often one value comes.
    pub count: (f64, f64),
}

/// The chi-square distribution's upper tail for 255 degrees of freedom: for an odd number it is
/// a finite sum (Abramowitz and Stegun 26.4.4) and the normal tail of the square root.
#[inline(never)]
fn exceeded_by_chance(chi_square: f64) -> f64 {
    let half = chi_square / 2.0;
    // Here the sum is 1 but for 1e-26, and above it the normal tail is below 1e-26.
    if half < 60.0 {
        return 1.0;
    }
    // Terms half^(j - 1/2) / Γ(j + 1/2), by their logarithm: they leave the range of a float.
    // To base 2: musl's `ln` has tables of 4 kB.
    let mut log = 0.5 * half.log2() - (PI.sqrt() / 2.0).log2() - half * LOG2_E;
    let mut sum = 0.0;
    for j in 1..=FREEDOM / 2 {
        sum += (log * LN_2).exp();
        log += (half / (f64::from(j) + 0.5)).log2();
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assess::tests::random_bytes;
    use proptest::prelude::*;

    fn of(bytes: &[u8]) -> Distribution {
        let mut distribution = Distribution::default();
        distribution.update(bytes);
        distribution
    }

    #[test]
    fn every_value_once_is_perfectly_even_and_orderly() {
        let all: Vec<u8> = (0..=255).collect();
        let even = of(&all);
        assert_eq!((even.entropy(), even.chi_square(), even.mean()), (8.0, 0.0, 127.5));
        assert_eq!(even.chi_square_p(), 1.0);
        // Worked by hand: sums of squares and of products of neighbours of 0..=255, in a ring.
        let (n, sum, squares) = (256.0, 32_640.0, 5_559_680.0);
        let products: f64 = (1..256).map(|i| f64::from(i * (i - 1))).sum();
        let expected = (n * products - sum * sum) / (n * squares - sum * sum);
        assert!((even.serial_correlation().unwrap() - expected).abs() < 1e-12);
    }

    #[test]
    fn one_value_alone_has_no_entropy_and_no_correlation() {
        let stuck = of(&[7; 1000]);
        assert_eq!((stuck.entropy(), stuck.mean()), (0.0, 7.0));
        assert_eq!(stuck.chi_square(), 255_000.0);
        assert_eq!(stuck.chi_square_p(), 0.0);
        assert_eq!(stuck.serial_correlation(), None);
    }

    #[test]
    fn the_tail_is_that_of_the_tables() {
        // 255 degrees of freedom: 1 %, 5 %, 50 %, 95 % and 99 %, as NIST's handbook and
        // Abramowitz and Stegun's expansion give them.
        let table =
            [(310.457, 0.01), (293.248, 0.05), (254.334, 0.5), (219.025, 0.95), (205.421, 0.99)];
        for (chi_square, p) in table {
            let found = exceeded_by_chance(chi_square);
            assert!((found - p).abs() < 1e-5, "{found}, not {p}");
        }
        assert_eq!(exceeded_by_chance(119.9), 1.0);
        assert!(1.0 - exceeded_by_chance(120.1) < 1e-10);
        assert!(exceeded_by_chance(600.0) < 1e-25);
        assert_eq!(exceeded_by_chance(1e9), 0.0);
    }

    #[test]
    fn a_perfect_source_stays_within_what_chance_gives() {
        let mut bytes = vec![0; 300_000];
        for seed in 0..20 {
            random_bytes(seed, &mut bytes);
            let found = of(&bytes);
            let chance = found.by_chance();
            let within = |value: f64, (least, most): (f64, f64)| {
                assert!(least < value && value < most, "seed {seed}: {least} {value} {most}");
            };
            within(found.entropy(), chance.entropy);
            within(found.chi_square(), chance.chi_square);
            within(found.mean(), chance.mean);
            within(found.serial_correlation().unwrap(), chance.serial_correlation);
        }
    }

    proptest! {
        #[test]
        fn any_split_counts_the_same(
            bytes in proptest::collection::vec(any::<u8>(), 1..300), cut in 0usize..300,
        ) {
            let cut = cut.min(bytes.len());
            let whole = of(&bytes);
            let mut parts = of(&bytes[..cut]);
            parts.update(&bytes[cut..]);
            prop_assert_eq!(whole.counts(), parts.counts());
            prop_assert_eq!(whole.serial_correlation(), parts.serial_correlation());
            prop_assert!((0.0..=8.0).contains(&whole.entropy()));
            prop_assert!((0.0..=1.0).contains(&whole.chi_square_p()));
        }
    }
}
