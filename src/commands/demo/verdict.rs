//! The verdict: were the bytes unique, fair, tested? Pure figures over what was recorded.

use std::collections::BTreeMap;

/// Bytes that must repeat to count as a duplicate. Two runs of 16 random bytes are equal by
/// chance once in 2^128 pairs.
const REPEAT_LEN: usize = 16;

/// What one client received, sample by sample.
#[derive(Debug, Default, Clone)]
pub struct Record {
    /// Its samples in order of arrival.
    pub samples: Vec<Vec<u8>>,
}

impl Record {
    /// Bytes in all.
    pub fn bytes(&self) -> u64 {
        self.samples.iter().map(|sample| sample.len() as u64).sum()
    }
}

/// How many runs of 16 bytes occur more than once in everything that all clients received, at
/// any offset.
pub fn duplicates(records: &[Record]) -> usize {
    let all: Vec<&[u8]> =
        records.iter().flat_map(|record| &record.samples).map(Vec::as_slice).collect();
    // Every 16th run is remembered, every run looked up: any repeat of 31 bytes is found.
    let mut first_seen: BTreeMap<&[u8], (usize, usize)> = BTreeMap::new();
    let mut found = 0;
    for (index, sample) in all.iter().enumerate() {
        for (block, run) in sample.chunks_exact(REPEAT_LEN).enumerate() {
            first_seen.entry(run).or_insert((index, block * REPEAT_LEN));
        }
    }
    for (index, sample) in all.iter().enumerate() {
        for (offset, run) in sample.windows(REPEAT_LEN).enumerate() {
            found += usize::from(first_seen.get(run).is_some_and(|&at| at != (index, offset)));
        }
    }
    found
}

/// Jain's fairness index (Jain, Chiu, Hawe 1984): 1 when all have the same, 1/n when one has
/// everything. 0 when nobody has anything.
#[expect(clippy::cast_precision_loss)]
pub fn jain(shares: &[u64]) -> f64 {
    let sum: f64 = shares.iter().map(|&share| share as f64).sum();
    let squares: f64 = shares.iter().map(|&share| (share as f64).powi(2)).sum();
    if squares == 0.0 { 0.0 } else { sum * sum / (shares.len() as f64 * squares) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The high byte of SplitMix64 (Steele, Lea, Flood 2014) at each position.
    fn bytes(seed: u64, len: u64) -> Vec<u8> {
        let mix = |i: u64| {
            let mut z = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)).to_be_bytes()[0]
        };
        (seed..seed + len).map(mix).collect()
    }

    #[test]
    fn different_samples_have_no_duplicates() {
        let record = |seed| Record { samples: vec![bytes(seed, 512), bytes(seed + 512, 512)] };
        assert_eq!(duplicates(&[record(0), record(5000)]), 0);
    }

    #[test]
    fn a_repeat_is_found_across_clients_within_one_and_at_any_offset() {
        let (one, two) = (bytes(0, 512), bytes(5000, 512));
        let mut shifted = vec![1, 2, 3];
        shifted.extend_from_slice(&one[100..200]);
        let record =
            |samples: &[&[u8]]| Record { samples: samples.iter().map(|s| s.to_vec()).collect() };
        assert!(duplicates(&[record(&[&one]), record(&[&one])]) > 0);
        assert!(duplicates(&[record(&[&two, &two])]) > 0);
        assert!(duplicates(&[record(&[&one]), record(&[&two, &shifted])]) > 0);
    }

    #[test]
    fn jain_is_one_for_equals_and_a_half_for_all_or_nothing() {
        assert_eq!(jain(&[5, 5]), 1.0);
        assert_eq!(jain(&[10, 0]), 0.5);
        assert_eq!(jain(&[0, 0]), 0.0);
    }
}
