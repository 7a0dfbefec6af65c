//! The verdict over a source: broken, uneven, or no fault found. Never: good.
//!
//! Owns the limits beyond which a figure is no chance, and the sentences. A source is broken if
//! a server would take it out, if it repeats itself, or if it surely has less min-entropy than
//! it claims. It is uneven if chance does not explain what it gives, though it keeps its claim:
//! raw noise often is.

use super::blocks::CHANCE;
use super::{Again, Tally};

/// Standard deviations that chance is given before a figure is held against a source: one
/// look in 3 million goes farther.
const SURE_DEVIATIONS: f64 = 5.0;
/// The same for a chi-square, of both tails together.
const SURE_P: f64 = 3e-7;

/// What is wrong, in sentences without a full stop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Why it is broken.
    pub broken: Vec<String>,
    /// Why it is uneven.
    pub uneven: Vec<String>,
}

impl Verdict {
    /// Judges what was counted.
    pub fn of(tally: &Tally) -> Self {
        let mut verdict = Verdict::default();
        verdict.find_broken(tally);
        verdict.find_uneven(tally);
        verdict
    }

    /// In a word or three.
    pub fn headline(&self) -> &'static str {
        if !self.broken.is_empty() {
            "broken"
        } else if !self.uneven.is_empty() {
            "uneven"
        } else {
            "no fault found"
        }
    }

    /// All reasons, the gravest first.
    pub fn reasons(&self) -> impl Iterator<Item = &String> {
        self.broken.iter().chain(&self.uneven)
    }

    fn find_broken(&mut self, tally: &Tally) {
        // Without a claim nothing is an alarm, as for a server.
        let rate_alarm = tally.blocks.fips().rate_alarm().filter(|_| tally.claim > 0.0);
        let failures = [tally.failure, rate_alarm];
        self.broken.extend(failures.into_iter().flatten().map(|failure| failure.to_string()));
        if let Some(Again { at, again_at }) = tally.repeat() {
            self.broken
                .push(format!("the 16 bytes at offset {at} come again at offset {again_at}"));
        }
        let most = tally.estimates_at(-SURE_DEVIATIONS).lowest();
        if most < tally.claim {
            self.broken.push(format!(
                "SP 800-90B credits it with at most {most:.2} bits per byte, less than the {:.2} claimed",
                tally.claim
            ));
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
    fn find_uneven(&mut self, tally: &Tally) {
        let p = tally.distribution.chi_square_p();
        if p < SURE_P {
            self.uneven.push("some byte values come more often than chance explains".to_owned());
        } else if 1.0 - p < SURE_P {
            self.uneven
                .push("the byte values come more evenly than chance would have it".to_owned());
        }
        let total = tally.distribution.bytes() as f64;
        let correlation = tally.distribution.serial_correlation().unwrap_or(1.0);
        if correlation.abs() * total.sqrt() > SURE_DEVIATIONS {
            self.uneven.push("each byte tells something about the next".to_owned());
        }
        let report = tally.blocks.report();
        let expected = report.blocks as f64 * CHANCE.any;
        // A Poisson count; the 5 are for few blocks, where it is no bell.
        if report.failed as f64 > expected + SURE_DEVIATIONS * (expected.sqrt() + 1.0) {
            self.uneven.push("more blocks fail FIPS 140-2 than chance explains".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::random_bytes;
    use super::*;

    fn judge(claim: f64, bytes: &[u8]) -> Verdict {
        let mut tally = Tally::new(claim);
        bytes.chunks(2048).for_each(|part| tally.update(part));
        Verdict::of(&tally)
    }

    fn random(seed: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        random_bytes(seed, &mut bytes);
        bytes
    }

    #[test]
    fn a_perfect_source_of_any_length_has_no_fault() {
        for seed in 0..20 {
            for len in [1024, 5000, 50_000, 500_000] {
                let verdict = judge(7.0, &random(seed, len));
                assert_eq!(verdict, Verdict::default(), "seed {seed}, {len} bytes");
            }
        }
        assert_eq!(judge(7.0, &random(1, 5000)).headline(), "no fault found");
    }

    #[test]
    fn a_stuck_source_fails_whatever_can_fail() {
        let verdict = judge(7.0, &[0x55; 50_000]);
        assert_eq!(verdict.headline(), "broken");
        let text = verdict.broken.join("\n");
        for part in ["repetition count test", "FIPS 140-2: 8 of", "come again", "at most 0.0"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_repeating_source_is_broken_though_each_cycle_is_perfect() {
        let verdict = judge(7.0, &random(1, 10_000).repeat(2));
        assert_eq!(verdict.broken, ["the 16 bytes at offset 0 come again at offset 10000"]);
    }

    #[test]
    fn a_counter_is_broken_and_too_even() {
        let counter: Vec<u8> = (0..=255).cycle().take(50_000).collect();
        let verdict = judge(7.0, &counter);
        assert_eq!(verdict.headline(), "broken");
        let text = verdict.uneven.join("\n");
        assert!(text.contains("more evenly") && text.contains("about the next"), "{text}");
    }

    /// A source whose bits are 1 in 5,050 of 10,000.
    fn slightly_biased(len: usize) -> Vec<u8> {
        let noise = random(5, 16 * len);
        let bits = noise.chunks_exact(2).map(|pair| {
            u32::from(u16::from_be_bytes([pair[0], pair[1]])) * 10_000 < 5_050 * 65_536
        });
        let bits: Vec<bool> = bits.collect();
        bits.chunks_exact(8)
            .map(|eight| eight.iter().fold(0, |byte, &bit| byte << 1 | u8::from(bit)))
            .collect()
    }

    #[test]
    fn a_slight_bias_is_uneven_under_a_claim_it_keeps_and_broken_under_one_it_does_not() {
        let bytes = slightly_biased(400_000);
        let verdict = judge(7.0, &bytes);
        assert_eq!((verdict.headline(), verdict.broken.len()), ("uneven", 0), "{verdict:?}");
        let verdict = judge(7.99, &bytes);
        assert!(verdict.broken.join("\n").contains("less than the 7.99 claimed"), "{verdict:?}");
    }
}
