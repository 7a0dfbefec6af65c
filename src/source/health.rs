//! The continuous health tests of NIST SP 800-90B (January 2018) §4.4, on bytes.
//!
//! Owns the repetition count test, the adaptive proportion test and what to claim of a source.
//! It reads no device, discards no byte and takes no source out: it says pass or fail, and the
//! reader acts. Of the data it keeps two bytes, the last and the reference of the window.

mod cutoff;

use cutoff::Cutoffs;
use std::fmt;

/// Bytes after each (re)open that must pass both tests and are then discarded, the start-up
/// test of SP 800-90B §4.3, requirement 4, which asks for at least 1,024 samples; our samples
/// are bytes.
pub const STARTUP_BYTES: usize = 1024;

/// Window of the adaptive proportion test for samples of more than one bit, SP 800-90B §4.4.2.
const WINDOW: usize = 512;

/// Claim for a source nobody has characterised, bits per byte: full entropy less a margin of
/// one bit. A sound but unconditioned generator may have its commonest byte twice as often as
/// it should, which is 7. Claiming 8 would call it broken about once in ten years at 100 kB/s;
/// claiming 7 never does, and notices a stuck device only one byte later.
const UNKNOWN_MIN_ENTROPY: f64 = 7.0;

/// Least claim taken from the kernel, bits per byte: its smallest quality, 1 of 1024, would
/// set cutoffs so high that even a stuck device passes thousands of bytes.
const LEAST_MIN_ENTROPY: f64 = 0.1;

/// The min-entropy to claim for a source, bits per byte, when the configuration names none.
///
/// `rng_quality` is what the kernel states for its current hwrng, in bits of entropy per 1,024
/// bits (`/sys/class/misc/hw_random/rng_quality`). 0 means that the driver does not know, and
/// since Linux 6.2 a driver that states nothing shows as 1024: neither is a claim by anybody who
/// measured, so neither is taken for one.
pub fn default_min_entropy(rng_quality: Option<u32>) -> f64 {
    match rng_quality {
        None | Some(0 | 1024..) => UNKNOWN_MIN_ENTROPY,
        Some(quality) => (8.0 * f64::from(quality) / 1024.0).clamp(LEAST_MIN_ENTROPY, 8.0),
    }
}

/// Why a source counts as broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthFailure {
    /// One byte value came too often in a row, SP 800-90B §4.4.1.
    RepetitionCount {
        /// Length of the run, bytes.
        run: u64,
        /// Length that is a failure.
        cutoff: u64,
    },
    /// One byte value came too often in a window of 512 bytes, SP 800-90B §4.4.2.
    AdaptiveProportion {
        /// How often it came.
        count: usize,
        /// Count that is a failure.
        cutoff: usize,
    },
    /// Too many of the last blocks failed FIPS 140-2 (see [`super::fips`]).
    FipsRate {
        /// Blocks that failed.
        failed: u32,
        /// Blocks looked back on.
        blocks: u32,
    },
}

impl HealthFailure {
    /// The name of its counter.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RepetitionCount { .. } => "repetition-count",
            Self::AdaptiveProportion { .. } => "adaptive-proportion",
            Self::FipsRate { .. } => "fips-rate",
        }
    }
}

impl fmt::Display for HealthFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RepetitionCount { run, cutoff } => {
                write!(f, "repetition count test: {run} equal bytes in a row, {cutoff} is too many")
            }
            Self::AdaptiveProportion { count, cutoff } => write!(
                f,
                "adaptive proportion test: one value {count} times in {WINDOW} bytes, \
                 {cutoff} is too often"
            ),
            Self::FipsRate { failed, blocks } => {
                write!(f, "FIPS 140-2: {failed} of the last {blocks} blocks failed")
            }
        }
    }
}

impl std::error::Error for HealthFailure {}

/// Both continuous tests over one source, SP 800-90B §4.4.
#[derive(Debug, Clone)]
pub struct HealthTests {
    /// `None`: nothing is claimed, nothing can fail.
    cutoffs: Option<Cutoffs>,
    repetition: RepetitionCount,
    proportion: AdaptiveProportion,
}

impl HealthTests {
    /// Tests for a source that claims `min_entropy` bits per byte, 0 to 8; beyond that range
    /// the nearer end counts, and what is not a number counts as 8, the strictest.
    ///
    /// 0 claims nothing: no alarm can ever fire, not even on a stuck device. That is for
    /// benches that read `/dev/zero`, never for service.
    pub fn new(min_entropy: f64) -> Self {
        let min_entropy = if min_entropy.is_nan() { 8.0 } else { min_entropy.clamp(0.0, 8.0) };
        let cutoffs = (min_entropy > 0.0).then(|| Cutoffs::for_claim(min_entropy));
        Self { cutoffs, repetition: Default::default(), proportion: Default::default() }
    }

    /// Tests the next bytes of the source. Chunks may be cut anywhere: the tests continue
    /// where the last call ended. They see all bytes even after a failure.
    ///
    /// # Errors
    /// The failure that some byte of this chunk completed. The whole chunk counts as failed,
    /// and so does the source until [`reset`](Self::reset) and a new start-up test.
    pub fn check(&mut self, bytes: &[u8]) -> Result<(), HealthFailure> {
        let Some(cutoffs) = self.cutoffs else { return Ok(()) };
        let repetition = self.repetition.check(bytes, cutoffs.repetition);
        let proportion = self.proportion.check(bytes, cutoffs.proportion);
        repetition.and(proportion)
    }

    /// Forgets what was seen, for a source that was opened again.
    pub fn reset(&mut self) {
        self.repetition = Default::default();
        self.proportion = Default::default();
    }

    /// Equal bytes in a row that are a failure; `None` if none are.
    pub fn repetition_cutoff(&self) -> Option<u64> {
        self.cutoffs.map(|cutoffs| cutoffs.repetition)
    }

    /// Count of one value in 512 bytes that is a failure; `None` if none is. For claims under
    /// about 0.1 this is 513: the window is too short to contradict them.
    pub fn proportion_cutoff(&self) -> Option<usize> {
        self.cutoffs.map(|cutoffs| cutoffs.proportion)
    }
}

/// State of the test of SP 800-90B §4.4.1.
#[derive(Debug, Clone, Default)]
struct RepetitionCount {
    last: u8,
    /// How often in a row `last` has come; 0 only before the first byte.
    run: u64,
}

impl RepetitionCount {
    fn check(&mut self, bytes: &[u8], cutoff: u64) -> Result<(), HealthFailure> {
        let carried = bytes.iter().take_while(|&&byte| byte == self.last).count();
        self.run += carried as u64;
        let mut run = self.run;
        let fresh = &bytes[carried..];
        if let Some(&last) = fresh.last() {
            if holds_equal_word(fresh) {
                let runs = fresh.chunk_by(|a, b| a == b).map(|equal| equal.len() as u64);
                run = run.max(runs.max().unwrap_or(0));
            }
            self.last = last;
            self.run = fresh.iter().rev().take_while(|&&byte| byte == last).count() as u64;
        }
        if run >= cutoff { Err(HealthFailure::RepetitionCount { run, cutoff }) } else { Ok(()) }
    }
}

/// Whether `bytes` may hold a run worth measuring. Every run of 7 covers one of the words of 4
/// bytes looked at here, and the least cutoff is 8 (h = 8); a random word is equal once in
/// 2^24.
fn holds_equal_word(bytes: &[u8]) -> bool {
    bytes.chunks_exact(4).any(|word| {
        let word = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
        word == word.rotate_left(8)
    })
}

/// State of the test of SP 800-90B §4.4.2.
#[derive(Debug, Clone, Default)]
struct AdaptiveProportion {
    /// First byte of the window.
    reference: u8,
    /// How often it has come in the window, itself included.
    count: usize,
    /// Bytes of the window seen.
    seen: usize,
}

impl AdaptiveProportion {
    fn check(&mut self, mut bytes: &[u8], cutoff: usize) -> Result<(), HealthFailure> {
        let mut count = 0;
        while let Some(&first) = bytes.first() {
            if self.seen == 0 {
                self.reference = first;
                self.count = 0;
            }
            let (part, rest) = bytes.split_at(bytes.len().min(WINDOW - self.seen));
            self.count += occurrences(part, self.reference);
            self.seen = (self.seen + part.len()) % WINDOW;
            count = count.max(self.count);
            bytes = rest;
        }
        if count >= cutoff {
            Err(HealthFailure::AdaptiveProportion { count, cutoff })
        } else {
            Ok(())
        }
    }
}

/// How often `value` is in `part`, which is at most a window long: eight bytes at a time, as
/// eight counters in a word, which 64 additions of 0 or 1 cannot overflow.
fn occurrences(part: &[u8], value: u8) -> usize {
    const LOW_BITS: u64 = 0x7F7F_7F7F_7F7F_7F7F;
    const ONES: u64 = 0x0101_0101_0101_0101;
    let pattern = u64::from(value) * ONES;
    let words = part.chunks_exact(8);
    let tail = words.remainder().iter().filter(|&&byte| byte == value).count();
    let mut count = tail + words.len() * 8;
    let mut unequal = 0;
    for word in words {
        let word = [word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7]];
        let differs = u64::from_ne_bytes(word) ^ pattern;
        unequal += ((((differs & LOW_BITS) + LOW_BITS) | differs) >> 7) & ONES;
    }
    for byte in unequal.to_ne_bytes() {
        count -= usize::from(byte);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn the_claim_follows_the_kernel_where_it_states_one() {
        let claims = [None, Some(0), Some(1), Some(512), Some(700), Some(1024), Some(u32::MAX)];
        let expected = [7.0, 7.0, 0.1, 4.0, 5.46875, 7.0, 7.0];
        assert_eq!(claims.map(default_min_entropy), expected);
    }

    #[test]
    fn claims_out_of_range_count_as_the_nearest_and_nan_as_the_strictest() {
        let cutoff = |h| HealthTests::new(h).repetition_cutoff();
        let strict = Some(8);
        assert_eq!([9.0, f64::INFINITY, f64::NAN].map(cutoff), [strict; 3]);
        assert_eq!([0.0, -1.0, f64::NEG_INFINITY].map(cutoff), [None; 3]);
    }

    #[test]
    fn no_claim_never_fails() {
        let mut tests = HealthTests::new(0.0);
        assert_eq!(tests.check(&[0; 100_000]), Ok(()));
        assert_eq!((tests.repetition_cutoff(), tests.proportion_cutoff()), (None, None));
    }

    #[test]
    fn a_stuck_source_fails_at_the_cutoff_and_passes_after_reset() {
        for value in [0, 7, 255] {
            let mut tests = HealthTests::new(7.0);
            assert_eq!(tests.check(&[1, 2, 3]), Ok(()));
            (0..8).for_each(|_| assert_eq!(tests.check(&[value]), Ok(())));
            let failure = HealthFailure::RepetitionCount { run: 9, cutoff: 9 };
            assert_eq!(tests.check(&[value]), Err(failure));
            assert_eq!(
                failure.to_string(),
                "repetition count test: 9 equal bytes in a row, 9 is too many"
            );
            tests.reset();
            assert_eq!(tests.check(&[value; 8]), Ok(()));
        }
    }

    #[test]
    fn a_value_too_frequent_in_a_window_fails() {
        // h = 7: 29 of 512. Every 18th byte is 28.4 in a window, every 17th is 30.1.
        let bytes = |every: usize| -> Vec<u8> {
            let other = |i: usize| (i % 251).to_le_bytes()[0].max(1);
            (0..STARTUP_BYTES).map(|i| if i % every == 0 { 0 } else { other(i) }).collect()
        };
        assert_eq!(HealthTests::new(7.0).check(&bytes(19)), Ok(()));
        let failure = HealthTests::new(7.0).check(&bytes(17)).unwrap_err();
        assert_eq!(failure, HealthFailure::AdaptiveProportion { count: 31, cutoff: 29 });
        assert_eq!(
            failure.to_string(),
            "adaptive proportion test: one value 31 times in 512 bytes, 29 is too often"
        );
    }

    /// Index of the first byte at which either test alarms, byte by byte as §4.4.1 and §4.4.2
    /// put it.
    fn reference(bytes: &[u8], cutoffs: Cutoffs) -> Option<usize> {
        let (mut run, mut count) = (0, 0);
        for (i, &byte) in bytes.iter().enumerate() {
            run = if i > 0 && bytes[i - 1] == byte { run + 1 } else { 1 };
            let window_start = i - i % WINDOW;
            if i == window_start {
                count = 0;
            }
            count += usize::from(byte == bytes[window_start]);
            if run >= cutoffs.repetition || count >= cutoffs.proportion {
                return Some(i);
            }
        }
        None
    }

    proptest! {
        #[test]
        fn any_split_fails_in_the_chunk_where_the_standard_does(
            stretches in vec((any::<u8>(), 1usize..14, 0usize..60), 1..80),
            seed: u64,
            values in 1u64..=256,
            h in 0.5..8.0,
            cuts in vec(0usize..4000, 0..30),
        ) {
            let mut state = seed;
            let mut bytes = Vec::new();
            for (value, times, then) in stretches {
                bytes.extend(std::iter::repeat_n(value, times));
                for _ in 0..then {
                    state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
                    bytes.push(((state >> 33) % values).to_le_bytes()[0]);
                }
            }
            let mut tests = HealthTests::new(h);
            let expected = reference(&bytes, tests.cutoffs.unwrap());
            let mut cuts = [cuts, vec![0, bytes.len()]].concat();
            cuts.retain(|&cut| cut <= bytes.len());
            cuts.sort_unstable();
            let found = cuts.windows(2).find(|cut| tests.check(&bytes[cut[0]..cut[1]]).is_err());
            prop_assert_eq!(found.is_some(), expected.is_some());
            if let (Some(cut), Some(at)) = (found, expected) {
                prop_assert!((cut[0]..cut[1]).contains(&at));
            }
        }
    }
}
