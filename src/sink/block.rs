//! Blocks of 2,500 bytes for the kernel: gathered, tested, handed out 64 bytes at a time.
//!
//! Owns the bytes that wait to be fed, and wipes them as they go. No I/O: it does not know when
//! the kernel wants them.

use crate::sample::Sample;
use crate::source::fips::{BLOCK_BYTES, FipsCounters};
use crate::sys::pool::FEED_LEN;
use zeroize::{Zeroize, Zeroizing};

/// Feeds that a block makes: 39. Four bytes are left over.
pub(super) const FEEDS: usize = BLOCK_BYTES / FEED_LEN;

/// A feed; wiped on drop.
pub(super) type Feed = Zeroizing<[u8; FEED_LEN]>;

/// A block being filled or used up.
///
/// **A feed takes every 39th byte.** All upstreams give the same to a block (`client::turns`), so
/// each feed has bytes of every one of them. Taken from the front, the 64 bytes that initialise
/// a kernel would all be of one upstream, and that one might know them.
#[derive(Debug)]
pub(super) struct Block {
    bytes: Zeroizing<Vec<u8>>,
    /// Feeds handed out; [`FEEDS`]: all. Counts only in a block that is full and passed.
    used: usize,
    is_tested: bool,
}

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filled {
    /// The block wants more.
    No,
    /// It is full and passed FIPS 140-2.
    Passed,
    /// It was full, failed, and is wiped and empty again.
    Failed,
}

impl Block {
    pub(super) fn new() -> Self {
        // Room for all of it: a vector that grows leaves copies behind.
        let bytes = Zeroizing::new(Vec::with_capacity(BLOCK_BYTES));
        Block { bytes, used: 0, is_tested: false }
    }

    /// Takes a sample; what the block has no room for is wiped. Not to be called on a block
    /// that still has feeds.
    pub(super) fn fill(&mut self, sample: Sample) -> Filled {
        let room = BLOCK_BYTES - self.bytes.len();
        let taken = &sample.as_bytes()[..sample.len().min(room)];
        self.bytes.extend_from_slice(taken);
        if self.bytes.len() < BLOCK_BYTES {
            return Filled::No;
        }
        let mut fips = FipsCounters::new();
        fips.update(&self.bytes);
        self.is_tested = fips.report().blocks_ok == 1;
        self.used = 0;
        if self.is_tested {
            return Filled::Passed;
        }
        self.empty();
        Filled::Failed
    }

    /// The next 64 bytes, if the block has any; they are wiped here.
    pub(super) fn next_feed(&mut self) -> Option<Feed> {
        if !self.is_tested {
            return None;
        }
        let mut feed = Feed::new([0; FEED_LEN]);
        for (byte, held) in
            feed.iter_mut().zip(self.bytes.iter_mut().skip(self.used).step_by(FEEDS))
        {
            *byte = std::mem::take(held);
        }
        self.used += 1;
        if self.used == FEEDS {
            self.empty();
        }
        Some(feed)
    }

    fn empty(&mut self) {
        // Keeps its room.
        self.bytes.as_mut_slice().zeroize();
        self.bytes.clear();
        self.is_tested = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passes FIPS 140-2, and any two places differ in most bytes.
    fn good(seed: u64) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (z ^ (z >> 31)).to_le_bytes()[0]
        };
        (0..BLOCK_BYTES).map(|_| next()).collect()
    }

    #[test]
    fn a_block_gives_each_of_its_bytes_once_and_forgets_them() {
        let bytes = good(1);
        let mut block = Block::new();
        assert!(block.next_feed().is_none());
        assert_eq!(block.fill(Sample::new(bytes[..2048].to_vec())), Filled::No);
        assert!(block.next_feed().is_none(), "nothing untested leaves");
        let rest = [&bytes[2048..], &[7; 100]].concat();
        assert_eq!(block.fill(Sample::new(rest)), Filled::Passed);
        let mut fed: Vec<u8> = Vec::new();
        for index in 0..FEEDS {
            let feed = block.next_feed().unwrap();
            let expected: Vec<u8> =
                bytes.iter().copied().skip(index).step_by(FEEDS).take(FEED_LEN).collect();
            assert_eq!(feed[..], expected);
            fed.extend(&feed[..]);
        }
        assert!(block.next_feed().is_none());
        assert_eq!(fed.len(), FEEDS * FEED_LEN);
        let mut sorted = [fed, bytes[FEEDS * FEED_LEN..].to_vec()].concat();
        let mut all = bytes;
        sorted.sort_unstable();
        all.sort_unstable();
        assert_eq!(sorted, all);
    }

    #[test]
    fn a_block_that_fails_is_gone_and_the_next_is_judged_by_itself() {
        let mut block = Block::new();
        let mut spoilt = good(2);
        spoilt[1000..1100].fill(0);
        assert_eq!(block.fill(Sample::new(spoilt)), Filled::Failed);
        assert!(block.next_feed().is_none());
        assert_eq!(block.bytes.capacity(), BLOCK_BYTES);
        assert_eq!(block.fill(Sample::new(good(3))), Filled::Passed);
    }

    #[test]
    fn of_two_upstreams_each_has_half_of_every_feed() {
        let mut block = Block::new();
        let (ours, theirs) = (good(4), good(5));
        let half = BLOCK_BYTES / 2;
        block.fill(Sample::new(theirs[..half].to_vec()));
        assert_eq!(block.fill(Sample::new(ours[half..].to_vec())), Filled::Passed);
        for index in 0..FEEDS {
            block.next_feed().unwrap();
            let places = (0..FEED_LEN).map(|row| index + row * FEEDS);
            let known = places.filter(|place| *place < half).count();
            assert!((31..=33).contains(&known), "{known} of {FEED_LEN} bytes");
        }
    }
}
