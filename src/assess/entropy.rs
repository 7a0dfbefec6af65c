//! Min-entropy estimates of NIST SP 800-90B (January 2018) §6.3.1 to §6.3.4.
//!
//! Owns four of the ten estimators, those that count and need not keep the data. Bits are
//! taken from each byte's most significant down, as the standard's own tool takes them. It
//! judges nothing.
//!
//! Each estimate takes by how many standard deviations it shall favour caution. The standard
//! says [`CONFIDENCE`]; a negative number favours the source instead, which gives what it has
//! at most.

/// Standard deviations of the standard's bounds: 99 % lie within.
pub const CONFIDENCE: f64 = 2.576;

/// Most common value, §6.3.1: bits per value, where the commonest of `values` came `count`
/// times of `total`.
#[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
pub fn most_common(count: u64, total: u64, values: f64, deviations: f64) -> f64 {
    let (count, total) = (count as f64, total as f64);
    let p = count / total;
    let bound = p + deviations * (p * (1.0 - p) / (total - 1.0)).sqrt();
    bound.clamp(1.0 / values, 1.0).recip().log2()
}

/// All that the estimates on bits count.
#[derive(Debug, Clone)]
pub struct Bits {
    first: Option<u8>,
    last: u8,
    /// How often a bit (first index) was followed by a bit (second index).
    pairs: [[u64; 2]; 2],
    collision: Collision,
    compression: Compression,
}

impl Default for Bits {
    fn default() -> Self {
        Self::with_dictionary(DICTIONARY_BLOCKS)
    }
}

impl Bits {
    fn with_dictionary(blocks: u64) -> Self {
        Bits {
            first: None,
            last: 0,
            pairs: [[0; 2]; 2],
            collision: Collision::default(),
            compression: Compression::new(blocks),
        }
    }

    /// Counts the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            for place in (0..8).rev() {
                self.push(byte >> place & 1);
            }
        }
    }

    fn push(&mut self, bit: u8) {
        if self.first.is_none() {
            self.first = Some(bit);
        } else {
            self.pairs[usize::from(self.last)][usize::from(bit)] += 1;
        }
        self.last = bit;
        self.collision.push(bit);
        self.compression.push(bit);
    }

    /// How often each bit came.
    pub fn counts(&self) -> [u64; 2] {
        let mut counts = self.pairs.map(|followers| followers[0] + followers[1]);
        if self.first.is_some() {
            counts[usize::from(self.last)] += 1;
        }
        counts
    }

    /// Most common value of the bits, §6.3.1: bits per bit.
    pub fn most_common(&self, deviations: f64) -> f64 {
        let [zeros, ones] = self.counts();
        most_common(zeros.max(ones), zeros + ones, 2.0, deviations)
    }

    /// Collision estimate, §6.3.2: bits per bit.
    pub fn collision(&self, deviations: f64) -> f64 {
        self.collision.min_entropy(deviations)
    }

    /// Markov estimate, §6.3.3: bits per bit. The standard gives it no bound: 0 deviations.
    #[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
    pub fn markov(&self, deviations: f64) -> f64 {
        /// Bits of the likeliest sequence.
        const LENGTH: f64 = 128.0;
        let counts = self.counts();
        let total = (counts[0] + counts[1]) as f64;
        let start = |bit: usize| (counts[bit] as f64 / total).log2();
        let step = |from: usize, to: usize| {
            let out = (self.pairs[from][0] + self.pairs[from][1]) as f64;
            if out == 0.0 {
                return f64::NEG_INFINITY;
            }
            let p = self.pairs[from][to] as f64 / out;
            (p + deviations * (p * (1.0 - p) / out).sqrt()).clamp(0.0, 1.0).log2()
        };
        // The likeliest sequence stays where it is, changes once, or changes always.
        let mut likeliest = f64::NEG_INFINITY;
        for bit in 0..2 {
            let other = 1 - bit;
            let stays = (LENGTH - 1.0) * step(bit, bit);
            let changes = step(bit, other) + (LENGTH - 2.0) * step(other, other);
            let alternates =
                LENGTH / 2.0 * step(bit, other) + (LENGTH / 2.0 - 1.0) * step(other, bit);
            likeliest = likeliest.max(start(bit) + stays.max(changes).max(alternates));
        }
        (-likeliest / LENGTH).clamp(0.0, 1.0)
    }

    /// Compression estimate, §6.3.4: bits per bit; `None` for less than 6,012 bits.
    pub fn compression(&self, deviations: f64) -> Option<f64> {
        self.compression.min_entropy(deviations)
    }
}

/// How many bits come until one has come twice: two or three.
#[derive(Debug, Clone, Default)]
struct Collision {
    /// The bits since the last collision: none, one, or two that differ.
    waiting: u8,
    last: u8,
    after_two: u64,
    after_three: u64,
}

impl Collision {
    fn push(&mut self, bit: u8) {
        match self.waiting {
            1 if bit == self.last => {
                self.after_two += 1;
                self.waiting = 0;
            }
            2 => {
                self.after_three += 1;
                self.waiting = 0;
            }
            _ => self.waiting += 1,
        }
        self.last = bit;
    }

    #[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
    fn min_entropy(&self, deviations: f64) -> f64 {
        let (two, three) = (self.after_two as f64, self.after_three as f64);
        let count = two + three;
        let mean = (2.0 * two + 3.0 * three) / count;
        let deviation = (two * three / (count * (count - 1.0))).sqrt();
        let bound = mean - deviations * deviation / count.sqrt();
        // Of two values the standard's equation for p is 2 + 2 p (1 - p) = bound.
        let p = 0.5 + (1.25 - 0.5 * bound).max(0.0).sqrt();
        p.min(1.0).recip().log2()
    }
}

/// Bits of a block, §6.3.4.
const BLOCK_BITS: u32 = 6;
const BLOCK_VALUES: usize = 1 << BLOCK_BITS;
/// Blocks that only fill the dictionary, §6.3.4.
const DICTIONARY_BLOCKS: u64 = 1000;
/// What the standard corrects the standard deviation by, §6.3.4: blocks of one sequence are
/// not independent.
const DEVIATION_FACTOR: f64 = 0.5907;
/// Halvings of the interval in which p is sought: to 1e-12.
const SEARCH_STEPS: u32 = 40;
/// The sum that p is sought by runs over millions of distances. From this one on it goes in
/// steps of a part of the distance: off by less than 1e-6.
const EXACT_DISTANCE: u64 = 1024;

/// Maurer's universal statistic: how far back each block of six bits last stood.
#[derive(Debug, Clone)]
struct Compression {
    dictionary_blocks: u64,
    block: usize,
    bits: u32,
    blocks: u64,
    /// The number of the block that last had each value; 0: none.
    last: [u64; BLOCK_VALUES],
    /// Sum of log2 of the distances, and of their squares.
    sum: f64,
    squares: f64,
}

impl Compression {
    fn new(dictionary_blocks: u64) -> Self {
        Compression {
            dictionary_blocks,
            block: 0,
            bits: 0,
            blocks: 0,
            last: [0; BLOCK_VALUES],
            sum: 0.0,
            squares: 0.0,
        }
    }

    fn push(&mut self, bit: u8) {
        self.block = (self.block << 1 | usize::from(bit)) % BLOCK_VALUES;
        self.bits += 1;
        if self.bits == BLOCK_BITS {
            self.bits = 0;
            self.end_block();
        }
    }

    #[inline(never)] // the bits of a byte are counted in a row: one copy, not eight
    #[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
    fn end_block(&mut self) {
        self.blocks += 1;
        let last = std::mem::replace(&mut self.last[self.block], self.blocks);
        if self.blocks > self.dictionary_blocks {
            // A value that never came counts as if it stood before the first block.
            let log2 = ((self.blocks - last) as f64).log2();
            self.sum += log2;
            self.squares += log2 * log2;
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
    fn min_entropy(&self, deviations: f64) -> Option<f64> {
        let count = self.blocks.checked_sub(self.dictionary_blocks).filter(|&count| count >= 2)?;
        let count = count as f64;
        let mean = self.sum / count;
        let variance = (self.squares / (count - 1.0) - mean * mean).max(0.0);
        let bound = mean - deviations * DEVIATION_FACTOR * variance.sqrt() / count.sqrt();
        // The commonest block has p, all others share the rest: the smaller p, the farther
        // back blocks stand.
        let others = BLOCK_VALUES as f64 - 1.0;
        let expected = |p: f64| self.expected(p) + others * self.expected((1.0 - p) / others);
        let (mut low, mut high) = (1.0 / BLOCK_VALUES as f64, 1.0);
        if expected(low) <= bound {
            return Some(1.0);
        }
        for _ in 0..SEARCH_STEPS {
            let p = (low + high) / 2.0;
            if expected(p) > bound { low = p } else { high = p }
        }
        Some(low.recip().log2() / f64::from(BLOCK_BITS))
    }

    /// G of §6.3.4: what a block of probability `z` adds to the mean. The standard's double
    /// sum, with equal terms taken together: distance u < t occurs for each block t behind it.
    #[inline(never)] // four calls, one copy
    #[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
    fn expected(&self, z: f64) -> f64 {
        let decay = (-z).ln_1p();
        let mut sum = 0.0;
        let mut from = 2; // log2 1 = 0
        while from <= self.blocks {
            let width = (from / (EXACT_DISTANCE / 2)).max(1).min(self.blocks + 1 - from);
            let distance = from as f64 + (width - 1) as f64 / 2.0;
            let dictionary = self.dictionary_blocks as f64;
            let again = z * (self.blocks as f64 - distance.max(dictionary));
            let never = if distance > dictionary { 1.0 } else { 0.0 };
            let share = z * (decay * (distance - 1.0)).exp() * (again + never);
            sum += width as f64 * distance.log2() * share;
            from += width;
        }
        sum / (self.blocks - self.dictionary_blocks) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assess::tests::random_bytes;
    use proptest::prelude::*;

    fn bits_of(text: &str, dictionary: u64) -> Bits {
        let mut bits = Bits::with_dictionary(dictionary);
        text.bytes().for_each(|c| bits.push(c - b'0'));
        bits
    }

    /// The sequence of the examples of §6.3.2 and §6.3.3.
    const FORTY_BITS: &str = "1000111001010101110011000111001010101110";

    #[track_caller]
    fn close(found: f64, expected: f64, to: f64) {
        assert!((found - expected).abs() < to, "{found}, not {expected}");
    }

    #[test]
    fn the_example_of_6_3_1_comes_out() {
        // 20 samples of three values, the commonest 8 times.
        close(most_common(8, 20, 3.0, CONFIDENCE), 0.5363, 5e-5);
    }

    #[test]
    fn the_example_of_6_3_2_comes_out() {
        close(bits_of(FORTY_BITS, 4).collision(CONFIDENCE), 0.4483, 5e-5);
    }

    #[test]
    fn the_example_of_6_3_3_comes_out() {
        close(bits_of(FORTY_BITS, 4).markov(0.0), 0.761, 5e-4);
    }

    #[test]
    fn the_example_of_6_3_4_comes_out() {
        let bits = bits_of("100011100101010111001100011100101010111011100011", 4);
        close(bits.compression(CONFIDENCE).unwrap(), 0.1345, 5e-5);
    }

    #[test]
    fn bits_are_taken_from_the_top_of_each_byte() {
        let mut bytes = Bits::default();
        bytes.update(&[0b1000_1110, 0b0101_0101, 0b1100_1100, 0b0111_0010, 0b1010_1110]);
        assert_eq!(bytes.pairs, bits_of(FORTY_BITS, 4).pairs);
        assert_eq!(bytes.counts(), [19, 21]);
    }

    #[test]
    fn a_stuck_source_has_none() {
        for byte in [0, 0xFF] {
            let mut bits = Bits::default();
            bits.update(&[byte; 10_000]);
            let found =
                [bits.most_common(CONFIDENCE), bits.collision(CONFIDENCE), bits.markov(0.0)];
            assert_eq!(found, [0.0; 3]);
            close(bits.compression(CONFIDENCE).unwrap(), 0.0, 1e-3);
            close(bits.compression(-5.0).unwrap(), 0.0, 1e-3);
        }
    }

    #[test]
    fn alternating_bits_are_what_markov_and_compression_see() {
        let mut bits = Bits::default();
        bits.update(&[0x55; 10_000]);
        close(bits.most_common(CONFIDENCE), 1.0, 0.02);
        assert_eq!(bits.collision(CONFIDENCE), 1.0);
        close(bits.markov(0.0), 1.0 / 128.0, 1e-9);
        close(bits.compression(CONFIDENCE).unwrap(), 0.0, 1e-3);
    }

    #[test]
    fn a_perfect_source_is_near_one_and_caution_lowers_it() {
        let mut bytes = vec![0; 200_000];
        random_bytes(7, &mut bytes);
        let mut bits = Bits::default();
        bits.update(&bytes);
        assert!(bits.most_common(CONFIDENCE) > 0.99);
        assert!(bits.collision(CONFIDENCE) > 0.9);
        assert!(bits.markov(0.0) > 0.99);
        assert!(bits.compression(CONFIDENCE).unwrap() > 0.75);
        assert_eq!([bits.most_common(-5.0), bits.collision(-5.0), bits.markov(-5.0)], [1.0; 3]);
        assert_eq!(bits.compression(-5.0), Some(1.0));
    }

    #[test]
    fn too_few_blocks_have_no_compression() {
        let mut bits = Bits::default();
        bits.update(&[0x5A; 751]);
        assert_eq!(bits.compression(CONFIDENCE), None);
        bits.update(&[0x5A]);
        assert!(bits.compression(CONFIDENCE).is_some());
    }

    /// G as §6.3.4 has it.
    fn double_sum(z: f64, blocks: u32, dictionary: u32) -> f64 {
        let mut sum = 0.0;
        for t in dictionary + 1..=blocks {
            for u in 1..=t {
                let share = if u < t { z * z } else { z };
                sum += f64::from(u).log2() * share * (1.0 - z).powf(f64::from(u - 1));
            }
        }
        sum / f64::from(blocks - dictionary)
    }

    #[test]
    fn the_long_sum_is_the_standards() {
        for (z, blocks) in [(1.0 / 64.0, 4000), (0.001, 6000), (0.3, 1500), (1e-6, 5000)] {
            let mut compression = Compression::new(DICTIONARY_BLOCKS);
            compression.blocks = blocks;
            let exact = double_sum(z, u32::try_from(blocks).unwrap(), 1000);
            close(compression.expected(z) / exact, 1.0, 1e-6);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]
        #[test]
        fn estimates_stay_between_nothing_and_all(
            seed: u64, mask: u8, len in 752usize..4000, cut in 0usize..752,
        ) {
            let mut bytes = vec![0; len];
            random_bytes(seed, &mut bytes);
            bytes.iter_mut().for_each(|byte| *byte &= mask);
            let (mut whole, mut parts) = (Bits::default(), Bits::default());
            whole.update(&bytes);
            parts.update(&bytes[..cut]);
            parts.update(&bytes[cut..]);
            for deviations in [CONFIDENCE, 0.0, -5.0] {
                let found = |bits: &Bits| [
                    bits.most_common(deviations),
                    bits.collision(deviations),
                    bits.markov(deviations),
                    bits.compression(deviations).unwrap(),
                ];
                prop_assert_eq!(found(&whole), found(&parts));
                for estimate in found(&whole) {
                    prop_assert!((0.0..=1.0).contains(&estimate), "{}", estimate);
                }
            }
            prop_assert!(whole.compression(CONFIDENCE) <= whole.compression(-5.0));
            prop_assert!(whole.collision(CONFIDENCE) <= whole.collision(-5.0));
        }
    }
}
