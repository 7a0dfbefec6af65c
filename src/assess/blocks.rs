//! FIPS 140-2 as `rngtest` counts it: the four statistical tests of each block, and the
//! continuous test on words of 32 bits.
//!
//! Owns the continuous test and the totals by block; the four tests are [`crate::source::fips`].

use crate::source::fips::{BLOCK_BYTES, FipsCounters, FipsReport};

/// Share of a perfect source's blocks that fail each test: counted for runs (476 of 1.6
/// million) and for any (15,942 of 20 million), computed for the others (binomial, chi-square
/// of 15 degrees, runs of 26 equal bits).
pub const CHANCE: Chance = Chance {
    monobit: 1.04e-4,
    poker: 1.0e-4,
    runs: 3.0e-4,
    long_run: 3.0e-4,
    continuous: 625.0 / 4_294_967_296.0,
    any: 8.0e-4,
};

/// Shares of blocks, by test.
#[derive(Debug, Clone, Copy)]
pub struct Chance {
    /// The monobit test.
    pub monobit: f64,
    /// The poker test.
    pub poker: f64,
    /// The runs test.
    pub runs: f64,
    /// The long run test.
    pub long_run: f64,
    /// The continuous test.
    pub continuous: f64,
    /// At least one of them.
    pub any: f64,
}

/// Counters over a source's bytes.
#[derive(Debug, Clone, Default)]
pub struct Blocks {
    fips: FipsCounters,
    /// Bytes of the block begun.
    filled: usize,
    /// The last four bytes; a word is complete at every fourth.
    word: u32,
    /// The word before; there is none before the first.
    before: Option<u32>,
    /// Whether a word of this block was the one before it.
    repeated: bool,
    continuous: u64,
    failed: u64,
}

/// Blocks that were full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockReport {
    /// The four statistical tests.
    pub statistical: FipsReport,
    /// Blocks with a word of 32 bits equal to the one before it, FIPS 140-2 §4.9.2.
    pub continuous: u64,
    /// Blocks that failed at least one of all five.
    pub failed: u64,
    /// Blocks in all.
    pub blocks: u64,
}

impl Blocks {
    /// Counts the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (part, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.filled));
            self.follow_words(part);
            let failed = self.fips.report().blocks_failed;
            self.fips.update(part);
            if self.filled == BLOCK_BYTES {
                let repeated = std::mem::take(&mut self.repeated);
                self.continuous += u64::from(repeated);
                self.failed += u64::from(repeated || self.fips.report().blocks_failed > failed);
                self.filled = 0;
            }
            bytes = rest;
        }
    }

    fn follow_words(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.word = self.word << 8 | u32::from(byte);
            self.filled += 1;
            if self.filled % 4 == 0 {
                self.repeated |= self.before == Some(self.word);
                self.before = Some(self.word);
            }
        }
    }

    /// The totals so far.
    pub fn report(&self) -> BlockReport {
        let statistical = self.fips.report();
        BlockReport {
            statistical,
            continuous: self.continuous,
            failed: self.failed,
            blocks: statistical.blocks_ok + statistical.blocks_failed,
        }
    }

    /// The counters of the four tests, and their alarm.
    pub fn fips(&self) -> &FipsCounters {
        &self.fips
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assess::tests::random_bytes;

    fn of(bytes: &[u8]) -> BlockReport {
        let mut blocks = Blocks::default();
        bytes.chunks(777).for_each(|part| blocks.update(part));
        blocks.report()
    }

    #[test]
    fn a_repeated_word_fails_its_block_and_only_that() {
        let mut bytes = vec![0; 3 * BLOCK_BYTES];
        random_bytes(3, &mut bytes);
        assert_eq!((of(&bytes).failed, of(&bytes).blocks), (0, 3));
        // The first word of the second block, again the last of the first.
        bytes.copy_within(BLOCK_BYTES - 4..BLOCK_BYTES, BLOCK_BYTES);
        let found = of(&bytes);
        assert_eq!((found.continuous, found.failed, found.statistical.blocks_failed), (1, 1, 0));
        // Four equal bytes that are no word: nothing.
        random_bytes(3, &mut bytes);
        bytes.copy_within(4..8, 9);
        assert_eq!(of(&bytes).continuous, 0);
    }

    #[test]
    fn a_block_that_fails_everything_fails_once() {
        let found = of(&[0; 2 * BLOCK_BYTES + 100]);
        assert_eq!((found.blocks, found.failed, found.continuous), (2, 2, 2));
    }
}
