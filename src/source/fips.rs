//! The four statistical tests of FIPS 140-2 §4.9.1 (with the change notice of 2001-10-10), as
//! counters over a source's bytes.
//!
//! Owns the tests, their totals and the alarm on their rate. It takes no source out, and one
//! failed block means nothing: a perfect source fails about 1 block in 1,250 (counted: 15,942
//! of 20 million). Bits are taken from each byte's most significant down, as `rngtest` of
//! rng-tools takes them.
//!
//! **How it is fast.** No test looks at bits one by one. Per byte it counts two things: the
//! byte, and the joint to the byte before it (how long the equal bits on each side are).
//! At the end of a block both histograms are folded into A(k), the number of places where k
//! equal bits stand in a row, for k to 7: such a place lies inside one byte or across one
//! joint, never across two. A run of length L holds max(L - k + 1, 0) of these places, so
//! A(k) - 2 A(k+1) + A(k+2) runs are exactly k long, and A(6) - A(7) are 6 or longer. The
//! poker test and the count of ones fall out of the byte histogram.

mod block;

use super::health::HealthFailure;
use block::{Block, Statistics};

/// Bytes of one block: 20,000 bits, FIPS 140-2 §4.9.1.
pub const BLOCK_BYTES: usize = 2500;

/// The run that may not occur, bits, FIPS 140-2 §4.9.1.
const LONG_RUN: usize = 26;

/// Blocks that the alarm looks back on.
pub const RATE_WINDOW: u32 = u64::BITS;

/// Failed blocks among the last [`RATE_WINDOW`] that are an alarm. A perfect source fails
/// 1 block in 1,250 and makes 40 a second at 100 kB/s; the expected false alarms in ten years
/// are 2 at a limit of five, 0.02 at six, 1e-6 at eight (a test below computes it). That
/// margin leaves room for sound sources with a slight bias, and a dead one still fails its
/// 8th block, after 20 kB.
pub const RATE_LIMIT: u32 = 8;

/// Totals since the counters were made. A failed block may have failed several tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FipsReport {
    /// Blocks that passed all four tests.
    pub blocks_ok: u64,
    /// Blocks that failed at least one.
    pub blocks_failed: u64,
    /// Failures of the monobit test.
    pub monobit: u64,
    /// Failures of the poker test.
    pub poker: u64,
    /// Failures of the runs test.
    pub runs: u64,
    /// Failures of the long run test.
    pub long_run: u64,
}

/// FIPS 140-2 over one source: totals, and the alarm on the rate of failures.
#[derive(Debug, Clone, Default)]
pub struct FipsCounters {
    block: Block,
    totals: FipsReport,
    recent: Recent,
}

/// The last blocks since the source was opened.
#[derive(Debug, Clone, Default)]
struct Recent {
    /// One bit a block, the last in the lowest; 1: failed.
    failed: u64,
    /// Blocks in `failed`.
    blocks: u32,
    alarm: Option<HealthFailure>,
}

impl FipsCounters {
    /// Counters at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts the next bytes of the source. Chunks may be cut anywhere; a block that is not
    /// full waits for its rest.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (part, rest) = bytes.split_at(bytes.len().min(self.block.missing()));
            self.block.add(part);
            if self.block.missing() == 0 {
                let verdict = Verdict::of(&self.block.statistics());
                self.block = Block::default();
                self.totals.count(verdict);
                self.recent.count(verdict);
            }
            bytes = rest;
        }
    }

    /// The totals so far.
    pub fn report(&self) -> FipsReport {
        self.totals
    }

    /// The alarm, if since the last [`restart`](Self::restart) there ever were [`RATE_LIMIT`]
    /// failures among [`RATE_WINDOW`] blocks.
    pub fn rate_alarm(&self) -> Option<HealthFailure> {
        self.recent.alarm
    }

    /// Forgets the block begun, the last blocks and the alarm, for a source that was opened
    /// again. The totals stay.
    pub fn restart(&mut self) {
        self.block = Block::default();
        self.recent = Recent::default();
    }
}

impl FipsReport {
    fn count(&mut self, verdict: Verdict) {
        self.blocks_ok += u64::from(!verdict.failed());
        self.blocks_failed += u64::from(verdict.failed());
        self.monobit += u64::from(verdict.monobit);
        self.poker += u64::from(verdict.poker);
        self.runs += u64::from(verdict.runs);
        self.long_run += u64::from(verdict.long_run);
    }
}

impl Recent {
    fn count(&mut self, verdict: Verdict) {
        self.failed = self.failed << 1 | u64::from(verdict.failed());
        self.blocks = RATE_WINDOW.min(self.blocks + 1);
        let failed = self.failed.count_ones();
        if failed >= RATE_LIMIT && self.alarm.is_none() {
            self.alarm = Some(HealthFailure::FipsRate { failed, blocks: self.blocks });
        }
    }
}

/// Which tests a block failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Verdict {
    monobit: bool,
    poker: bool,
    runs: bool,
    long_run: bool,
}

impl Verdict {
    /// FIPS 140-2 §4.9.1, change notice of 2001-10-10.
    fn of(block: &Statistics) -> Self {
        /// Allowed numbers of runs of length 1 to 5, and of 6 or more, table 3.
        const RUNS: [std::ops::RangeInclusive<u32>; 6] =
            [2315..=2685, 1114..=1386, 527..=723, 240..=384, 103..=209, 103..=209];
        // 2.16 < 16 / 5000 * squares - 5000 < 46.17, times 5000 to stay with integers.
        let poker = 16 * i64::from(block.nibble_squares) - 5000 * 5000;
        let runs_pass = |runs: &[u32; 6]| runs.iter().zip(&RUNS).all(|(n, ok)| ok.contains(n));
        Self {
            monobit: !(9725 < block.ones && block.ones < 10275),
            poker: !(10_800 < poker && poker < 230_850),
            runs: !block.runs.iter().all(runs_pass),
            long_run: block.longest_run >= LONG_RUN,
        }
    }

    fn failed(self) -> bool {
        self.monobit || self.poker || self.runs || self.long_run
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Splitmix64: good and fast enough to stand in for a perfect source.
    fn random_bytes(state: &mut u64, into: &mut [u8]) {
        for part in into.chunks_mut(8) {
            *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            part.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..part.len()]);
        }
    }

    fn good_block() -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        random_bytes(&mut 1, &mut block);
        let mut counters = FipsCounters::new();
        counters.update(&block);
        assert_eq!(counters.report(), FipsReport { blocks_ok: 1, ..Default::default() });
        block
    }

    fn good_statistics() -> Statistics {
        Statistics {
            ones: 10_000,
            nibble_squares: 1_564_000,
            runs: [[2500, 1250, 625, 312, 156, 156]; 2],
            longest_run: 14,
        }
    }

    #[test]
    fn monobit_poker_and_long_run_have_the_limits_of_the_change_notice() {
        assert!(!Verdict::of(&good_statistics()).failed());
        let monobit = |ones| Verdict::of(&Statistics { ones, ..good_statistics() }).monobit;
        assert_eq!([9725, 9726, 10_274, 10_275].map(monobit), [true, false, false, true]);
        // X = 16 / 5000 * 1563176 - 5000 = 2.1632, and 46.1696 for 1576928.
        let poker =
            |nibble_squares| Verdict::of(&Statistics { nibble_squares, ..good_statistics() }).poker;
        let squares = [1_563_175, 1_563_176, 1_576_928, 1_576_929];
        assert_eq!(squares.map(poker), [true, false, false, true]);
        let long =
            |longest_run| Verdict::of(&Statistics { longest_run, ..good_statistics() }).long_run;
        assert_eq!([25, 26].map(long), [false, true]);
    }

    #[test]
    fn runs_have_the_limits_of_the_change_notice_for_zeros_and_ones() {
        let limits = [(2315, 2685), (1114, 1386), (527, 723), (240, 384), (103, 209), (103, 209)];
        for (bit, (length, (least, most))) in
            (0..2).flat_map(|bit| limits.into_iter().enumerate().map(move |limit| (bit, limit)))
        {
            let fails = |count| {
                let mut block = good_statistics();
                block.runs[bit][length] = count;
                Verdict::of(&block).runs
            };
            let counts = [least - 1, least, most, most + 1];
            assert_eq!(counts.map(fails), [true, false, false, true], "{bit} {length}");
        }
    }

    #[test]
    fn a_perfect_source_fails_one_block_in_1250() {
        const BLOCKS: u32 = 37_500;
        let (mut state, mut block) = (2024, [0; BLOCK_BYTES]);
        let mut counters = FipsCounters::new();
        for _ in 0..BLOCKS {
            random_bytes(&mut state, &mut block);
            counters.update(&block);
        }
        // 30 expected; a Poisson count leaves four standard deviations once in 10,000 seeds.
        let failed = counters.report().blocks_failed;
        assert!((9..=52).contains(&failed), "{failed} of {BLOCKS}");
        assert_eq!(counters.report().blocks_ok + failed, u64::from(BLOCKS));
        assert_eq!(counters.rate_alarm(), None);
    }

    #[test]
    fn a_dead_source_alarms_at_the_eighth_block() {
        let mut counters = FipsCounters::new();
        for blocks in 1..=RATE_LIMIT {
            assert_eq!(counters.rate_alarm(), None);
            counters.update(&[0; BLOCK_BYTES]);
            assert_eq!(counters.report().blocks_failed, u64::from(blocks));
        }
        let alarm = HealthFailure::FipsRate { failed: 8, blocks: 8 };
        assert_eq!(counters.rate_alarm(), Some(alarm));
        assert_eq!(alarm.to_string(), "FIPS 140-2: 8 of the last 8 blocks failed");
        let all = FipsReport {
            blocks_ok: 0,
            blocks_failed: 8,
            monobit: 8,
            poker: 8,
            runs: 8,
            long_run: 8,
        };
        assert_eq!(counters.report(), all);
    }

    #[test]
    fn failures_are_forgotten_after_the_window_but_an_alarm_is_not() {
        let good = good_block();
        let mut counters = FipsCounters::new();
        // One failure in 10 never makes 8 in 64.
        for _ in 0..20 {
            counters.update(&[0xFF; BLOCK_BYTES]);
            (0..9).for_each(|_| counters.update(&good));
        }
        assert_eq!(counters.rate_alarm(), None);
        (0..8).for_each(|_| counters.update(&[0xFF; BLOCK_BYTES]));
        (0..100).for_each(|_| counters.update(&good));
        assert_eq!(counters.rate_alarm(), Some(HealthFailure::FipsRate { failed: 8, blocks: 64 }));
    }

    #[test]
    fn restart_forgets_window_alarm_and_begun_block_but_no_total() {
        let mut counters = FipsCounters::new();
        counters.update(&[0; 9 * BLOCK_BYTES + 1]);
        let totals = counters.report();
        counters.restart();
        assert_eq!((counters.rate_alarm(), counters.report()), (None, totals));
        counters.update(&good_block());
        assert_eq!(counters.report(), FipsReport { blocks_ok: 1, ..totals });
        counters.update(&[0; 7 * BLOCK_BYTES]);
        assert_eq!(counters.rate_alarm(), None);
    }

    #[test]
    fn false_alarms_of_a_perfect_source_are_rarer_than_one_in_a_thousand_decades() {
        // A first alarm needs a failure now and RATE_LIMIT - 1 in the 63 blocks before.
        let p: f64 = 1.0 / 1250.0;
        let before = RATE_WINDOW - 1;
        let mut at_least = 0.0;
        for failed in RATE_LIMIT - 1..=before {
            let ways: f64 = (0..failed).map(|i| f64::from(before - i) / f64::from(i + 1)).product();
            at_least += ways * p.powf(failed.into()) * (1.0 - p).powf((before - failed).into());
        }
        let blocks_in_ten_years = 40.0 * 86_400.0 * 365.25 * 10.0;
        let expected = blocks_in_ten_years * p * at_least;
        assert!((1e-7..1e-5).contains(&expected), "{expected}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn blocks_carry_over_any_split(seed: u64, cuts in proptest::collection::vec(0usize..9000, 0..20)) {
            let mut bytes = vec![0; 9000];
            random_bytes(&mut { seed }, &mut bytes);
            bytes[3000..3010].fill(0);
            let mut whole = FipsCounters::new();
            whole.update(&bytes);
            let mut cuts = [cuts, vec![0, 9000]].concat();
            cuts.sort_unstable();
            let mut parts = FipsCounters::new();
            cuts.windows(2).for_each(|cut| parts.update(&bytes[cut[0]..cut[1]]));
            prop_assert_eq!(parts.report(), whole.report());
            prop_assert_eq!(whole.report().long_run, 1);
        }
    }
}
