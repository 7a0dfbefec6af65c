//! One block of FIPS 140-2: what its four tests need to know of 20,000 bits.
//!
//! Owns the counting and its tables (how it works: [`super`]). It judges nothing. It keeps
//! counts and the ends of the last byte, never the bytes.

use super::{BLOCK_BYTES, LONG_RUN};

/// What the tests judge.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statistics {
    /// Bits that are 1.
    pub ones: u32,
    /// Sum of the squares of how often each of the 16 nibbles came.
    pub nibble_squares: u32,
    /// Runs of zeros and of ones, by length 1 to 5, and 6 or more.
    pub runs: [[u32; 6]; 2],
    /// Length of the longest run, bits: [`LONG_RUN`] or more if it is, though it may say less.
    pub longest_run: usize,
}

/// A block being filled.
#[derive(Debug, Clone)]
pub(super) struct Block {
    len: usize,
    /// How often each byte came.
    bytes: [u16; 256],
    /// How often each joint came: trailing class of a byte, then leading class of the next.
    joints: [u16; 256],
    /// Classes of the last byte, an entry of [`CLASSES`].
    last: usize,
    /// Length so far of the run that the last bit belongs to.
    run: usize,
    longest_run: usize,
}

impl Default for Block {
    fn default() -> Self {
        Self { len: 0, bytes: [0; 256], joints: [0; 256], last: 0, run: 0, longest_run: 0 }
    }
}

impl Block {
    /// Bytes until the block is full.
    pub fn missing(&self) -> usize {
        BLOCK_BYTES - self.len
    }

    /// Counts the next bytes, which must fit.
    pub fn add(&mut self, bytes: &[u8]) {
        let full_joints = self.full_joints();
        let before = self.last;
        let mut rest = bytes;
        if let (0, Some((&first, others))) = (self.len, bytes.split_first()) {
            self.bytes[usize::from(first)] += 1;
            self.last = classes_of(first);
            rest = others;
        }
        let mut last = self.last;
        for &byte in rest {
            let classes = classes_of(byte);
            self.bytes[usize::from(byte)] += 1;
            self.joints[last & TRAILING | classes & LEADING] += 1;
            last = classes;
        }
        self.last = last;
        self.len += bytes.len();
        // A run of 26 bits fills two whole bytes at least. Without two such neighbours only
        // the runs at both ends of `bytes` can be part of one, and each ends within two bytes.
        if self.full_joints() != full_joints || bytes.len() <= 4 {
            self.follow_runs(before, bytes);
        } else {
            self.follow_runs(before, &bytes[..2]);
            self.run = 0;
            self.follow_runs(0, &bytes[bytes.len() - 2..]);
        }
    }

    /// How often two bytes of only zeros, or of only ones, stood side by side.
    fn full_joints(&self) -> u16 {
        self.joints[0x77] + self.joints[0xFF]
    }

    /// Measures the runs of `bytes`; `before` is the classes of the byte before them, whose
    /// last run is `self.run` long (0: there is no such byte).
    fn follow_runs(&mut self, mut before: usize, bytes: &[u8]) {
        for &byte in bytes {
            // One long run is enough; a dead source would keep us here for every byte.
            if self.longest_run >= LONG_RUN {
                return;
            }
            let classes = classes_of(byte);
            let continues = (before >> 4) & ONES == classes & ONES;
            let run = if continues { self.run } else { 0 } + (classes & 7) + 1;
            self.longest_run = self.longest_run.max(run);
            self.run = if classes & 7 == 7 { run } else { ((classes >> 4) & 7) + 1 };
            before = classes;
        }
    }

    /// What the full block is.
    pub fn statistics(&self) -> Statistics {
        let mut nibbles = [0u32; 16];
        let mut places = [Lanes::default(); 2];
        for (byte, &count) in self.bytes.iter().enumerate() {
            nibbles[byte >> 4] += u32::from(count);
            nibbles[byte & 15] += u32::from(count);
            places[0].add(&WITHIN[255 - byte], count);
            places[1].add(&WITHIN[byte], count);
        }
        for (joint, across) in ACROSS.iter().enumerate() {
            let (trailing, leading) = (joint >> 3, joint & 7);
            let zeros = trailing << 4 | leading;
            places[0].add(across, self.joints[zeros]);
            places[1].add(across, self.joints[zeros | ONES << 4 | ONES]);
        }
        Statistics {
            ones: places[1].get(1),
            nibble_squares: nibbles.iter().map(|count| count * count).sum(),
            runs: places.map(|places| places.runs()),
            longest_run: self.longest_run,
        }
    }
}

/// A(1) to A(7): eight counts of 16 bits, the first unused. None exceeds the block's 20,000
/// bits.
#[derive(Clone, Copy, Default)]
struct Lanes([u64; 2]);

impl Lanes {
    fn add(&mut self, places: &Lanes, times: u16) {
        self.0[0] += places.0[0] * u64::from(times);
        self.0[1] += places.0[1] * u64::from(times);
    }

    fn get(&self, k: usize) -> u32 {
        let lanes = self.0[k / 4].to_le_bytes();
        u32::from(u16::from_le_bytes([lanes[k % 4 * 2], lanes[k % 4 * 2 + 1]]))
    }

    fn runs(&self) -> [u32; 6] {
        let longer_by = |k: usize| self.get(k) - self.get(k + 1); // runs of k or more
        std::array::from_fn(|i| match i {
            5 => longer_by(6),
            _ => longer_by(i + 1) - longer_by(i + 2),
        })
    }
}

/// The class of one end of a byte: [`ONES`] if ones stand there, plus how many equal bits do,
/// less one. An entry holds the class of the byte's end (`TRAILING`) and of its start.
#[expect(clippy::cast_possible_truncation, reason = "`byte` and both classes are below 256")]
static CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let v = byte as u8;
        let leading = if v < 128 { v.leading_zeros() - 1 } else { v.leading_ones() + 7 };
        let trailing = if v & 1 == 0 { v.trailing_zeros() - 1 } else { v.trailing_ones() + 7 };
        table[byte] = (trailing << 4 | leading) as u8;
        byte += 1;
    }
    table
};
const LEADING: usize = 0x0F;
const TRAILING: usize = 0xF0;
const ONES: usize = 8;

fn classes_of(byte: u8) -> usize {
    usize::from(CLASSES[usize::from(byte)])
}

/// Places of k ones in a row within a byte.
static WITHIN: [Lanes; 256] = {
    let mut table = [Lanes([0; 2]); 256];
    let mut byte = 0;
    while byte < 256 {
        let mut starts = byte; // bits at which k ones begin
        let mut k = 1;
        while k < 8 {
            table[byte].0[k / 4] |= (starts.count_ones() as u64) << (k % 4 * 16);
            starts &= byte >> k;
            k += 1;
        }
        byte += 1;
    }
    table
};

/// Places of k equal bits in a row across a joint, by the trailing and the leading class.
static ACROSS: [Lanes; 64] = {
    let mut table = [Lanes([0; 2]); 64];
    let mut joint = 0;
    while joint < 64 {
        let (trailing, leading) = ((joint >> 3) + 1, (joint & 7) + 1);
        let mut k = 2;
        while k < 8 {
            let mut before = 1; // bits of the place that stand before the joint
            while before < k {
                let fits = before <= trailing && k - before <= leading;
                table[joint].0[k / 4] += (fits as u64) << (k % 4 * 16);
                before += 1;
            }
            k += 1;
        }
        joint += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// The same statistics, bit by bit as the standard says it.
    fn reference(bytes: &[u8]) -> Statistics {
        let bits: Vec<bool> =
            bytes.iter().flat_map(|byte| (0..8).rev().map(move |i| byte >> i & 1 == 1)).collect();
        let mut squares = 0;
        for nibble in 0..16 {
            let f = bytes.iter().map(|b| u32::from(b >> 4 == nibble) + u32::from(b & 15 == nibble));
            squares += f.sum::<u32>().pow(2);
        }
        let mut runs = [[0; 6]; 2];
        let mut longest_run = 0;
        for run in bits.chunk_by(|a, b| a == b) {
            runs[usize::from(run[0])][run.len().min(6) - 1] += 1;
            longest_run = longest_run.max(run.len());
        }
        let ones = bits.iter().map(|&bit| u32::from(bit)).sum();
        Statistics { ones, nibble_squares: squares, runs, longest_run }
    }

    fn counted<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Statistics {
        let mut block = Block::default();
        parts.into_iter().filter(|part| !part.is_empty()).for_each(|part| block.add(part));
        assert_eq!(block.missing(), 0);
        block.statistics()
    }

    fn assert_same(counted: Statistics, bytes: &[u8]) {
        let mut expected = reference(bytes);
        assert!(counted.longest_run <= expected.longest_run);
        assert_eq!(counted.longest_run >= LONG_RUN, expected.longest_run >= LONG_RUN);
        expected.longest_run = counted.longest_run;
        assert_eq!(counted, expected);
    }

    /// Stretches of random, biased and constant bytes, and of bytes with few transitions.
    fn blocks() -> impl Strategy<Value = Vec<u8>> {
        let few = (0u32..9).prop_map(|n| (0xFF00u32 >> n).to_le_bytes()[0]);
        let stretch = prop_oneof![
            vec(any::<u8>(), 1..400),
            vec(few, 1..100),
            vec(prop_oneof![Just(0u8), Just(0xFF), any::<u8>()], 1..100),
            vec((any::<u8>(), any::<u8>()).prop_map(|(a, b)| a & b), 1..400),
            (any::<u8>(), 1usize..20).prop_map(|(byte, times)| vec![byte; times]),
        ];
        vec(stretch, 5..200).prop_map(|stretches| {
            stretches.concat().into_iter().cycle().take(BLOCK_BYTES).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn counts_as_the_standard_does_in_any_split(
            bytes in blocks(),
            cuts in vec(0..BLOCK_BYTES, 0..40),
            fine in 0..BLOCK_BYTES - 8,
        ) {
            let mut cuts = [cuts, (fine..fine + 8).collect(), vec![0, BLOCK_BYTES]].concat();
            cuts.sort_unstable();
            assert_same(counted(cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]])), &bytes);
        }
    }

    #[test]
    fn every_long_run_is_seen_at_every_bit_and_cut() {
        for length in [25, 26, 27, 40] {
            for start in 0..24 {
                for flip in [0, 0xFF] {
                    let mut bytes = [0x55 ^ flip; BLOCK_BYTES];
                    for bit in 800 + start..800 + start + length {
                        let mask = 0x80 >> (bit % 8);
                        bytes[bit / 8] = bytes[bit / 8] & !mask | flip & mask;
                    }
                    let expected = reference(&bytes).longest_run;
                    for cut in 95..112 {
                        let (head, tail) = bytes.split_at(cut);
                        let (middle, tail) = tail.split_at(6);
                        let found = counted([head, middle, tail]).longest_run;
                        assert_eq!(
                            found >= LONG_RUN,
                            expected >= LONG_RUN,
                            "{length} at {start} cut {cut}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn blocks_of_one_byte_count_exactly() {
        for byte in 0..=255 {
            let bytes = [byte; BLOCK_BYTES];
            assert_same(counted([&bytes[..]]), &bytes);
        }
    }
}
