//! What can be said of a source from its bytes alone: counts, estimates, a verdict, a picture.
//!
//! Pure: bytes and spans of time in, figures out. Memory is bounded whatever the length: all
//! tests count as the bytes pass, and the only bytes kept are the first [`PICTURE_BYTES`].

pub mod blocks;
pub mod distribution;
pub mod entropy;
pub mod rates;
pub mod sheet;
pub mod verdict;

use crate::source::health::{HealthFailure, HealthTests};
use blocks::Blocks;
use distribution::Distribution;
use entropy::{Bits, CONFIDENCE, most_common};
use rates::Rates;

/// Bytes kept for the picture: 256 rows of 256 bits.
pub const PICTURE_BYTES: usize = 8192;

/// Bytes compared to tell that a source repeats itself. Two such runs of at least half the
/// entropy are equal by chance once in 2^64.
const REPEAT_BYTES: u64 = 16;

/// Least claim, bits per byte, for which a repetition cannot be chance.
const REPEAT_CLAIM: f64 = 4.0;

/// All counters over one source.
#[derive(Debug, Clone)]
pub struct Tally {
    /// What the source claims, bits of min-entropy per byte.
    pub claim: f64,
    /// FIPS 140-2.
    pub blocks: Blocks,
    /// Bytes.
    pub distribution: Distribution,
    /// Bits.
    pub bits: Bits,
    /// Bytes over time.
    pub rates: Rates,
    /// The first bytes.
    pub picture: Vec<u8>,
    /// What the health tests first found.
    pub failure: Option<HealthFailure>,
    health: HealthTests,
    repeat: Repeat,
}

/// Whether bytes come again: the first, or those at a later mark. The mark moves on at each power
/// of two (Brent's search for a cycle), so whatever goes before a cycle, two or three rounds of it
/// are enough.
#[derive(Debug, Clone, Default)]
struct Repeat {
    first: u128,
    mark: u128,
    last: u128,
    seen: u64,
    /// The mark's bytes end here.
    marked_at: u64,
    found: Option<Again>,
}

/// Bytes that came twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Again {
    /// Where they stood, bytes from the start.
    pub at: u64,
    /// Where they stood again.
    pub again_at: u64,
}

impl Repeat {
    fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.last = self.last << 8 | u128::from(byte);
            self.seen += 1;
            if self.seen <= REPEAT_BYTES {
                self.first = self.last;
            } else if self.found.is_none() {
                self.compare();
            }
            if self.seen.is_power_of_two() {
                (self.mark, self.marked_at) = (self.last, self.seen);
            }
        }
    }

    fn compare(&mut self) {
        let ends_at = if self.last == self.first {
            REPEAT_BYTES
        } else if self.last == self.mark && self.marked_at >= REPEAT_BYTES {
            self.marked_at
        } else {
            return;
        };
        self.found = Some(Again { at: ends_at - REPEAT_BYTES, again_at: self.seen - REPEAT_BYTES });
    }
}

/// Min-entropy by SP 800-90B §6.3, bits per byte.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimates {
    /// §6.3.1 on bytes.
    pub common_byte: f64,
    /// §6.3.1 on bits.
    pub common_bit: f64,
    /// §6.3.2.
    pub collision: f64,
    /// §6.3.3.
    pub markov: f64,
    /// §6.3.4.
    pub compression: Option<f64>,
}

impl Estimates {
    /// The lowest, which is the one that counts (§3.1.3).
    pub fn lowest(&self) -> f64 {
        [self.common_byte, self.common_bit, self.collision, self.markov]
            .into_iter()
            .fold(self.compression.unwrap_or(8.0), f64::min)
    }
}

impl Tally {
    /// Counters for a source that claims so many bits of min-entropy per byte.
    pub fn new(claim: f64) -> Self {
        Tally {
            claim,
            blocks: Blocks::default(),
            distribution: Distribution::default(),
            bits: Bits::default(),
            rates: Rates::default(),
            picture: Vec::with_capacity(PICTURE_BYTES),
            failure: None,
            health: HealthTests::new(claim),
            repeat: Repeat::default(),
        }
    }

    /// Counts the next bytes.
    #[inline(never)]
    pub fn update(&mut self, bytes: &[u8]) {
        self.blocks.update(bytes);
        self.distribution.update(bytes);
        self.bits.update(bytes);
        self.repeat.update(bytes);
        let room = PICTURE_BYTES - self.picture.len();
        self.picture.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if self.failure.is_none() {
            self.failure = self.health.check(bytes).err();
        }
    }

    /// 16 bytes that came twice, of a source that claims enough for this to mean something.
    pub fn repeat(&self) -> Option<Again> {
        self.repeat.found.filter(|_| self.claim >= REPEAT_CLAIM)
    }

    /// The estimates with the standard's bounds.
    pub fn estimates(&self) -> Estimates {
        Estimates { markov: 8.0 * self.bits.markov(0.0), ..self.estimates_at(CONFIDENCE) }
    }

    /// The estimates with bounds so many standard deviations on the careful side.
    fn estimates_at(&self, deviations: f64) -> Estimates {
        let commonest = *self.distribution.counts().iter().max().expect("256 counts");
        let bits = &self.bits;
        Estimates {
            common_byte: most_common(commonest, self.distribution.bytes(), 256.0, deviations),
            common_bit: 8.0 * bits.most_common(deviations),
            collision: 8.0 * bits.collision(deviations),
            markov: 8.0 * bits.markov(deviations),
            compression: bits.compression(deviations).map(|bits| 8.0 * bits),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Splitmix64, which stands in for a perfect source.
    pub(crate) fn random_bytes(seed: u64, into: &mut [u8]) {
        let mut state = seed;
        for part in into.chunks_mut(8) {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            part.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..part.len()]);
        }
    }

    #[test]
    fn the_first_bytes_are_kept_and_no_more() {
        let mut bytes = vec![0; 3 * PICTURE_BYTES];
        random_bytes(1, &mut bytes);
        let mut tally = Tally::new(7.0);
        bytes.chunks(1000).for_each(|part| tally.update(part));
        assert_eq!(tally.picture, bytes[..PICTURE_BYTES]);
        assert_eq!(tally.picture.capacity(), PICTURE_BYTES);
        assert_eq!(tally.distribution.bytes(), bytes.len() as u64);
    }

    /// What `tally` finds in `prefix` and then `rounds` of `cycle`.
    fn find(claim: f64, prefix: &[u8], cycle: &[u8], rounds: usize) -> Option<Again> {
        let mut tally = Tally::new(claim);
        tally.update(prefix);
        for _ in 0..rounds {
            cycle.chunks(7).for_each(|part| tally.update(part));
        }
        tally.repeat()
    }

    #[test]
    fn a_cycle_is_found_where_a_claim_makes_it_mean_something() {
        let mut cycle = vec![0; 5000];
        random_bytes(1, &mut cycle);
        let found = Some(Again { at: 0, again_at: 5000 });
        assert_eq!(find(7.0, &[], &cycle, 1), None);
        assert_eq!(find(7.0, &[], &cycle, 2), found);
        assert_eq!(find(1.0, &[], &cycle, 2), None);
    }

    #[test]
    fn a_cycle_is_found_whatever_goes_before() {
        for (prefix_len, cycle_len) in [(1, 300), (100, 5000), (9000, 17), (20_000, 60_000)] {
            let mut bytes = vec![0; prefix_len + cycle_len];
            random_bytes(2, &mut bytes);
            let (prefix, cycle) = bytes.split_at(prefix_len);
            let rounds = 3 + 2 * prefix_len / cycle_len;
            let found = find(7.0, prefix, cycle, rounds).expect("the mark is in the cycle by then");
            assert_eq!(found.again_at - found.at, cycle_len as u64, "{prefix_len} before");
            assert!(found.at + 16 >= prefix_len as u64);
        }
    }
}
